"""Draws what runs where with a thousand, a million and a hundred million people: python docs/figures/deployments.py"""

from html import escape
from pathlib import Path

WIDTH, ROW, BOX = 960, 190, 66

# (people, where, boxes from left to right, each a title and what it is, and what the arrows between them carry)
DEPLOYMENTS = [
    (
        "1,000 people",
        "one computer",
        [
            ("photographs", "a folder"),
            ("facemargin", "finds, embeds, decides; no GPU"),
            ("gallery", "a folder, 4.3 MB"),
        ],
        ["", "vectors"],
    ),
    (
        "1,000,000 people",
        "one server",
        [
            ("photographs", "a folder, or tar files"),
            ("embed", "one GPU: 6 minutes, or 13 hours of a core"),
            ("gallery", "a folder, 4.3 GB, mapped into memory"),
            ("searches", "75 a second and core"),
        ],
        ["6 GB", "2 GB", "2 GB"],
    ),
    (
        "100,000,000 people",
        "a cluster",
        [
            ("tar files", "614 GB, seen by all machines"),
            ("readers", "processes that decode"),
            ("embedders", "one a GPU; 8 GPUs: 70 minutes"),
            ("vectors", "206 GB, in pieces, then arrays"),
            ("search", "machines with 200 GB: two or more"),
        ],
        ["", "pixels", "pieces", ""],
    ),
]

STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f }
.people { font-weight: 600; font-size: 17px } .title { font-weight: 600 } .small { font-size: 12px; fill: #57606a }
.box { fill: #eef6f6; stroke: #00796b } .arrow { stroke: #57606a; fill: none } .head { fill: #57606a }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9da7b1 } .box { fill: #12302d; stroke: #4db6ac }
  .arrow { stroke: #9da7b1 } .head { fill: #9da7b1 } .back { fill: #0d1117 }
}
"""


def main() -> None:
    parts = [_deployment(number * ROW, *deployment) for number, deployment in enumerate(DEPLOYMENTS)]
    height = ROW * len(DEPLOYMENTS)
    title = "What runs where with a thousand, a million and a hundred million people"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
        f'<title>{title}</title><style>{STYLE}</style><rect class="back" width="{WIDTH}" height="{height}"/>'
        + "".join(parts)
        + "</svg>\n"
    )
    Path(__file__).with_name("deployments.svg").write_text(svg, encoding="utf-8")


def _deployment(top: int, people: str, where: str, boxes: list[tuple[str, str]], carried: list[str]) -> str:
    parts = [_text(24, top + 34, people, "people"), _text(24 + 11 * len(people), top + 34, where, "small")]
    gap = 74 if len(boxes) < 5 else 62
    width = (WIDTH - 48 - gap * (len(boxes) - 1)) / len(boxes) if len(boxes) > 3 else 220
    for number, (title, what) in enumerate(boxes):
        left, middle = 24 + number * (width + gap), top + 60 + BOX / 2 + 10
        parts.append(
            f'<rect class="box" x="{left:.0f}" y="{top + 60}" width="{width:.0f}" height="{BOX + 20}" rx="8"/>'
        )
        parts.append(_text(left + 12, top + 84, title, "title"))
        for line, words in enumerate(_lines(what, int((width - 20) / 6.6))):
            parts.append(_text(left + 12, top + 104 + 16 * line, words, "small"))
        if number:
            start, end = left - gap + 6, left - 6
            parts.append(f'<path class="arrow" d="M{start:.0f} {middle:.0f}H{end - 6:.0f}"/>')
            parts.append(f'<path class="head" d="M{end:.0f} {middle:.0f}l-9 -5v10z"/>')
            parts.append(
                _text((start + end) / 2 - 3.2 * len(carried[number - 1]), middle - 8, carried[number - 1], "small")
            )
    return "".join(parts)


def _lines(text: str, characters: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
