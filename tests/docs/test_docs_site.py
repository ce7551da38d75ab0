"""What the site makes from the code is all of it, and the files that it needs are there."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from dataclasses import fields

import pytest
import yaml

import facemargin as fm
from facemargin.backbones.info import describe_backbone
from facemargin.commands._catalogue import read_catalogue
from facemargin.margins import margin_class
from facemargin.training.config import Recipe
from tests.docs.docs_pages import ROOT

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module", autouse=True)
def mkdocs():
    """The hooks make files of MkDocs'; the texts in them need none of it."""
    if importlib.util.find_spec("mkdocs") is None:
        for name in ("mkdocs", "mkdocs.structure", "mkdocs.structure.files"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["mkdocs.structure.files"].File = object


def load(path):
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_names() -> set[str]:
    own = {name for name in fm.__all__ if not isinstance(getattr(fm, name), types.ModuleType)}
    errors = {name for name, thing in vars(fm.errors).items() if isinstance(thing, type)}
    return (own | errors) - {"__version__"} | {f"evaluation.{name}" for name in fm.evaluation.__all__}


def test_the_reference_has_every_public_name_once():
    pages = load(DOCS / "hooks" / "api_pages.py").PAGES
    listed = [name for _, _, names in pages.values() for name in names]
    assert sorted(listed) == sorted(public_names()), "add new names to PAGES in docs/hooks/api_pages.py"
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(f"reference/{page}.md" in navigation for page in pages)


def test_every_public_name_has_a_docstring():
    for name in public_names():
        thing = fm
        for part in name.split("."):
            thing = getattr(thing, part)
        if isinstance(thing, type | types.FunctionType):
            assert thing.__doc__ and len(thing.__doc__) > 20, name


def test_the_reference_of_names_has_every_name():
    text = load(DOCS / "hooks" / "choices.py").page_text()
    catalogue = read_catalogue()
    kinds = (
        "margins",
        "backbones",
        "formats",
        "pair_formats",
        "protocols",
        "metrics",
        "families",
        "models",
        "detectors",
        "verbs",
    )
    for name in (name for kind in kinds for name in catalogue[kind]):
        assert f"\n| `{name}` | " in text, name


def test_the_reference_of_fields_has_every_field_of_every_config():
    text = load(DOCS / "hooks" / "recipe_fields.py").page_text()
    sections = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    for item in fields(Recipe):
        if item.name in sections:
            names = {inner.name for inner in fields(item.default_factory)}
            assert names <= set(re.findall(r"^\| `(\w+)`", sections[item.name], re.MULTILINE)), item.name
        else:
            pattern = rf"^\| `{item.name}` \|[^|]*\| `?(.*?)`? \|"
            default = re.search(pattern, sections["The recipe itself"], re.MULTILINE)[1].replace("–", '""')
            assert repr(yaml.safe_load(default)) == repr(item.default), item.name
    for name in fm.list_margins():
        table = re.search(rf"^\*\*.*`{name}`.*\*\*\n\n((?:\|.*\n)*)", sections["head"], re.MULTILINE)[1]
        listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
        assert {inner.name for inner in fields(margin_class(name).Config)} <= listed, name
    assert all(f"`{name}`" in sections["backbone"] for name in fm.list_backbones())
    assert not re.findall(r"^\|.*\| *\|$", text, re.MULTILINE), "a field without a word on what it does"


@pytest.mark.slow
@pytest.mark.long
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^"]*"|<link[^>]*href="https?:[^"]*"'
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(fetched, page.read_text(encoding="utf-8")), page
    sheets = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.css"))
    assert not re.findall(r'url\("?https?:', sheets)
    index = json.loads((tmp_path / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"]}
    assert {"reference/losses.html#facemargin.create_head", "choosing.html#which-threshold"} <= found


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_says_what_it_was_saved_with(path):
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert any(cell["cell_type"] == "code" for cell in saved["cells"])
    again = json.loads(path.read_text(encoding="utf-8"))
    load(DOCS / "notebooks" / "run.py").run_notebook(again)
    assert without_numbers(again) == without_numbers(saved), f"run python docs/notebooks/run.py {path.name}"
    pictures = [output for cell in again["cells"] for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert pictures


def without_numbers(notebook) -> list[str]:
    """What was printed, but for numbers, which differ between machines, and the pictures' pixels."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = ["".join(output.get("text") or output["data"].get("text/plain", "a picture")) for output in outputs]
    return [re.sub(r" *-?\d+(\.\d+)?", " #", text) for text in texts]


def test_the_sizes_of_networks_are_right():
    text = (DOCS / "choosing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d.]+) M \| ([\d.]+) G \|", text, flags=re.MULTILINE)
    assert len(rows) >= 6
    for name, input_size, parameters, multiply_adds in rows:
        network = describe_backbone(name)
        assert network.input_size == int(input_size)
        assert f"{network.parameters / 1e6:.1f}" == parameters
        assert f"{network.multiply_adds / 1e9:.2f}" == multiply_adds


def test_every_page_is_in_the_navigation_and_every_entry_a_page():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("", lambda *_: None)
    navigation = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]
    entries = set(leaves(navigation))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert pages <= entries
    made = {f"reference/{name}.md" for name in load(DOCS / "hooks" / "api_pages.py").PAGES}
    made |= {load(DOCS / "hooks" / f"{name}.py").PLACE for name in ("recipe_fields", "choices")}
    made |= {f"notebooks/{path.stem}.md" for path in NOTEBOOKS}
    assert all((DOCS / entry).is_file() or (ROOT / entry).is_file() or entry in made for entry in entries)


def leaves(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [leaf for inner in (entry.values() if isinstance(entry, dict) else entry) for leaf in leaves(inner)]


def test_what_one_version_is_called_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == fm.__version__ and citation["license"] == "MIT"
    assert f"## {fm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_extra_for_users_is_on_the_page_about_installing():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "start" / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(set(known) - {"dev", "docs", "release"})
