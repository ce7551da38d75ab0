"""The pages of the documentation and the blocks of code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(
    r"(?:^<!-- (?:not run: (?P<reason>.*?)|quoted from: (?P<source>\S+)) -->\n)?"
    r"^(?P<indent> *)```(?P<language>.*)\n(?P<code>(?s:.*?))^(?P=indent)```$",
    flags=re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; `reason` says why it is not run, if it is not, and `source` which file it is quoted from."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None
    source: str | None

    @property
    def runs(self) -> bool:
        return self.reason is None and self.source is None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("code")) + 1,
            language=match["language"],
            code=re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            reason=match["reason"],
            source=match["source"],
        )
        for match in _FENCE.finditer(text)
    ]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]
