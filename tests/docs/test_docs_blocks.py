"""Every block of code in the README and the documents runs, or says why not."""

import contextlib
import io
import re
import shlex

import pytest
import yaml

from facemargin.cli import main
from facemargin.commands._verbs import VERBS
from tests.docs.docs_commands import Commands, replace_placeholders
from tests.docs.docs_pages import ALL_BLOCKS, PAGES, ROOT, blocks_of
from tests.docs.docs_stand_ins import StandIns, named_in

pytestmark = pytest.mark.usefixtures("few_resamples")

KINDS = {"sh", "python", "yaml", "toml", "console", "text"}
# How many blocks are marked `<!-- not run: … -->`: what takes hours, a GPU, an account, a download or
# another program beside it, and nothing else.
NOT_RUN = 6
LINES_OF_A_QUICK_START = 80

# Heads of so many classes take gigabytes.
FEWER_CLASSES = {"2_000_000": "2_000", "93431": "1000"}

# These register what would stay with the tests that follow: test_docs_losses.py and test_docs_extending.py run them.
REGISTERING = {"losses.md", "extending.md"}
RUNNABLE = [
    page
    for page in PAGES
    if page.name not in REGISTERING
    and any(block.runs and block.language in ("sh", "python", "console") for block in blocks_of(page))
]


def name_of(page) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("stand_ins"))


@pytest.fixture
def workplace(tmp_path, monkeypatch, forked_runs):
    """An empty current folder, without the answers of an earlier page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_every_block_is_of_a_known_kind():
    assert {block.language for block in ALL_BLOCKS} <= KINDS
    for page in PAGES:
        outside = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
        indented = re.findall(
            r"^    (?:facemargin|pip|make|torchrun|python|export|import|from) .*", outside, re.MULTILINE
        )
        assert not indented, f"{name_of(page)}: code that is indented instead of fenced is not run: {indented}"


def test_what_is_not_run_says_why_and_is_little():
    marked = [f"{block.place}: {block.reason}" for block in ALL_BLOCKS if block.reason is not None]
    assert all(len(entry.split(": ", 1)[1]) > 10 for entry in marked)
    assert len(marked) == NOT_RUN, marked
    markers = sum(len(re.findall("^ *<!-- not run", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert markers == len(marked), "a mark stands on the line before its block"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_the_blocks_of_a_page_run(page, stand_ins, workplace, monkeypatch):
    blocks = [block for block in blocks_of(page) if block.runs]
    code = "\n".join(block.code for block in blocks if block.language != "text")
    for name in named_in(replace_placeholders(code)):
        stand_ins.copy(name, workplace)
    commands, names = Commands(workplace, monkeypatch), {"__name__": "__main__"}
    for block in blocks:
        try:
            if block.language == "sh":
                commands.run(block.code)
            elif block.language == "python":
                exec(compile("\n" * (block.line - 1) + with_fewer_classes(block.code), name_of(page), "exec"), names)
            elif block.language == "console":
                check_console(block.code)
        except BaseException as error:
            error.add_note(f"in the block at {block.place}")
            raise


def with_fewer_classes(code: str) -> str:
    for many, few in FEWER_CLASSES.items():
        code = re.sub(rf"\b{many}\b", few, code)
    return code


def check_console(code: str) -> None:
    """Lines after `$` are commands; what follows each is what they print, wherever the lines break."""
    for line, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", code, flags=re.MULTILINE):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main(shlex.split(line)[1:])
        assert " ".join(printed.getvalue().split()) == " ".join(expected.split())


def usage_lines() -> list:
    return [
        pytest.param(line, id=f"{block.place} {' '.join(line.split()[:2])}")
        for block in ALL_BLOCKS
        if block.language == "text"
        for line in re.sub(r"\\\n *", " ", block.code).splitlines()
        if line.startswith("facemargin ")
    ]


@pytest.mark.parametrize("line", usage_lines())
def test_a_usage_line_names_a_verb_and_options_that_exist(line, capsys):
    _, verb, action, *_ = line.split()
    assert verb in VERBS
    options = set(re.findall(r"--[\w.-]+", line))
    with contextlib.suppress(SystemExit):
        actions = {"data": ["inspect"], "gallery": [action]}
        main([verb, *actions.get(verb, []), "--help"])
    known = capsys.readouterr().out
    assert all(re.search(rf"{re.escape(option)}(?![\w.-])", known) for option in options - {"--field", "--data.train"})


def test_the_recipe_of_the_training_page_is_one(tmp_path):
    from facemargin.training.recipe import load_recipe

    recipes = [block for block in ALL_BLOCKS if block.language == "yaml"]
    assert recipes
    for number, block in enumerate(recipes):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block.code, encoding="utf-8")
        recipe = load_recipe(str(file))
        assert recipe.head.name == yaml.safe_load(block.code)["head"]["name"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "start").glob("*.md")), ids=name_of)
def test_a_quick_start_is_read_before_the_coffee_is_cold(page):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_QUICK_START
