"""docs/losses.md says what the code does: its tables, numbers, code and figures against the library.

Shapes: B samples, C classes, D feature values.
"""

import dataclasses
import importlib.util
import json
import math
import re
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

import facemargin as fm
from facemargin.margins import ConstantScaleConfig, create_margin, margin_class
from tests.processes import run_program

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "losses.md"
TEXT = PAGE.read_text(encoding="utf-8")
FIGURES = sorted(re.findall(r"\]\((figures/losses_\w+\.svg)\)", TEXT))
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def table(header_start: str) -> dict[str, list[str]]:
    """The rows below the header line that starts so: the first cell, without backticks, to the other cells."""
    lines = TEXT.split(f"\n{header_start}")[1].splitlines()[2:]
    rows = [line.strip("|").split("|") for line in lines[: [*map(len, lines), 0].index(0)]]
    return {first.strip(" `"): [cell.strip() for cell in cells] for first, *cells in rows}


def run(*command: str) -> str:
    code, out, err = run_program(*command, cwd=ROOT)
    assert code == 0, err
    return out


def test_both_tables_name_every_margin_and_no_other():
    assert sorted(table("| name | target logit")) == fm.list_margins()
    assert sorted(table("| name | defaults")) == fm.list_margins()


@pytest.mark.parametrize("name", fm.list_margins())
def test_the_tables_say_what_the_margin_is(name):
    defaults, scale, norm_gradient, extra_terms, _ = table("| name | defaults")[name]
    config = margin_class(name).Config()
    for setting, value in re.findall(r'(\w+)=("\w+"|[\d.]+)', defaults):
        assert getattr(config, setting) == json.loads(value)
    assert scale == (f"{config.scale:.0f}" if isinstance(config, ConstantScaleConfig) else "a")
    _, negatives, _ = table("| name | target logit")[name]
    margin = create_margin(name)
    assert (negatives == "–") == (margin.negatives(torch.tensor([0.5])) is None and not margin.binary)

    generator = torch.Generator().manual_seed(0)
    head = fm.create_head(name, num_classes=7, embedding_size=5, generator=generator)
    features_BD = (8 * torch.randn(16, 5, generator=generator)).requires_grad_()
    out = head(features_BD, torch.randint(0, 7, (16,), generator=generator))
    out.loss.backward()
    # Along the feature itself only its length changes.
    radial_B = (features_BD.grad * features_BD).sum(1).abs() / features_BD.grad.norm(dim=1).clamp_min(1e-6)
    assert norm_gradient == ("yes" if radial_B.max() > 1e-2 else "no")
    assert re.findall(r"`(\w+)`", extra_terms) == [part for part in out.parts if part not in ("softmax", "binary")]


def cosine_taken_away(name: str, theta: float, norm: float) -> float:
    q = max(-1.0, min(1.0, 0.333 * (norm - 50) / (50 / 3 + 1e-3)))
    margin_of_norm = 0.45 + (0.8 - 0.45) / (110 - 10) * (norm - 10)
    moved = {
        "arcface": math.cos(theta + 0.5),
        "adaface": math.cos(theta - 0.4 * q) - 0.4 - 0.4 * q,
        "magface": math.cos(theta + margin_of_norm),
        "lh2face": math.cos(theta) - 0.35 * 50 / norm,
    }
    return math.cos(theta) - moved[name]


def test_the_cosines_taken_away_are_right():
    rows = table("| cosine taken away")
    assert sorted(rows) == ["adaface", "arcface", "lh2face", "magface"]
    for name, cells in rows.items():
        expected = [cosine_taken_away(name, math.radians(degrees), a) for degrees in (30, 75) for a in (10, 50, 100)]
        assert [float(cell) for cell in cells] == pytest.approx(expected, abs=5.1e-4)


def test_every_fence_is_of_a_kind_that_is_run():
    assert {language for language, _ in FENCES} == {"python", "sh", "text"}


@pytest.mark.slow
def test_the_python_blocks_run_and_the_new_margin_works(tmp_path):
    script = tmp_path / "blocks.py"
    blocks = [code for language, code in FENCES if language == "python"]
    check = """
import json, torch
torch.manual_seed(0)
features, labels = 9 * torch.randn(4, 128, dtype=torch.float64), torch.tensor([3, 1, 4, 1])
out = spaces[-1]["head"].double()(features, labels)
out.loss.backward()
centres = spaces[-1]["head"].weight.tolist()
print(json.dumps({"features": features.tolist(), "centres": centres, "losses": out.losses_B.tolist()}))
"""
    # Every block has a name space of its own: it must not need the others.
    script.write_text(
        f"spaces = []\nfor code in {blocks!r}:\n    spaces.append({{'__name__': 'block'}})\n"
        f"    exec(code, spaces[-1])\n{check}",
        encoding="utf-8",
    )
    found = json.loads(run(str(script)))
    for x, y, loss in zip(found["features"], [3, 1, 4, 1], found["losses"], strict=True):
        norm = math.hypot(*x)
        logits = []
        for j, w in enumerate(found["centres"]):
            cosine = sum(a * b for a, b in zip(x, w, strict=True)) / norm / math.hypot(*w)
            logits.append(64 * (cosine - (0.35 * norm / (norm + 10) if j == y else 0)))
        peak = max(logits)
        assert loss == pytest.approx(peak + math.log(sum(math.exp(v - peak) for v in logits)) - logits[y], rel=1e-10)


@pytest.mark.slow
def test_the_commands_run():
    commands = [line for language, code in FENCES if language == "sh" for line in code.splitlines()]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        assert program == "facemargin" and (arguments[0] == "list" or "--fields" in arguments)
        run("-m", "facemargin", *arguments)


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    run("docs/figures/losses.py", str(folder))
    return folder


def without_ids_and_numbers(svg: str) -> tuple[str, list[float]]:
    svg = re.sub(r'(\bid="|href="#|url\(#)[^")]*', r"\1", svg)  # some are hashes of coordinates
    number = r"-?\d+\.\d+"
    return re.sub(number, "#", svg), [float(value) for value in re.findall(number, svg)]


@pytest.mark.slow
def test_the_page_shows_every_figure_that_the_script_draws(redrawn):
    assert [f"figures/{path.name}" for path in sorted(redrawn.iterdir())] == FIGURES
    assert all((PAGE.parent / name).is_file() for name in FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_redraws_as_it_is_committed(redrawn, name):
    committed = (PAGE.parent / name).read_text(encoding="utf-8")
    assert len(committed.encode()) < 200_000
    assert not re.search(r"<dc:|<!--|\b20\d\d-\d\d-\d\d", committed)  # no metadata, no date
    pinned = re.search(r"^matplotlib==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    if mpl.__version__ != pinned[1]:
        pytest.skip(f"the committed figures are matplotlib {pinned[1]}'s, this is {mpl.__version__}")
    skeleton, numbers = without_ids_and_numbers(committed)
    new_skeleton, new_numbers = without_ids_and_numbers((redrawn / Path(name).name).read_text(encoding="utf-8"))
    assert new_skeleton == skeleton, "run python docs/figures/losses.py and look at the figures"
    assert new_numbers == pytest.approx(numbers, abs=0.03), "run python docs/figures/losses.py and look at the figures"


def test_the_gradient_map_shows_the_gradient():
    spec = importlib.util.spec_from_file_location("docs_figures_losses", ROOT / "docs" / "figures" / "losses.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    adaface = create_margin("adaface", **figures.NORM_STATISTICS)
    for degrees, norm in ((35.0, 10.0), (40.0, 60.0), (75.0, 95.0)):
        theta, q = math.radians(degrees), 0.333 * (norm - 50) / (50 / 3 + 1e-3)
        target = 64 * (math.cos(theta - 0.4 * q) - 0.4 - 0.4 * q)
        probability = 1 / (1 + math.exp(64 * 0.5 - target))
        cosine_B, norm_B = (torch.tensor([value], dtype=torch.float64) for value in (math.cos(theta), norm))
        gradient_B, probability_B = figures.gradient_scale(adaface, cosine_B, norm_B)
        expected = (1 - probability) * math.sin(theta - 0.4 * q) / math.sin(theta)
        assert gradient_B.item() == pytest.approx(expected, rel=1e-5)
        assert probability_B.item() == pytest.approx(probability, rel=1e-4)


def headings(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if not target.startswith("https://")]
    assert len(targets) > 8
    for target in targets:
        name, _, anchor = target.partition("#")
        path = PAGE.parent / name if name else PAGE
        assert path.is_file(), target
        assert not anchor or anchor in headings(path), target


def test_every_setting_that_the_page_names_exists():
    known = {field.name for name in fm.list_margins() for field in dataclasses.fields(margin_class(name).Config)}
    named = set(re.findall(r"`(\w+)=[^`]*`", TEXT.split("\n## Corners")[1]))
    assert named and named <= known
