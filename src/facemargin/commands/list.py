"""`facemargin list`: margins, backbones, recipes, and everything else that has a name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Column, Table

from facemargin.commands._arguments import parse
from facemargin.commands._catalogue import DESCRIBED_KINDS, read_catalogue
from facemargin.training.recipe_files import list_recipes, summarize_recipe


def _margins() -> Table:
    catalogue = read_catalogue()
    longest = max(len(setting) for entry in catalogue["margins"].values() for setting in entry["settings"])
    table = Table(
        Column("margin", no_wrap=True),
        Column("paper", ratio=1),
        Column("settings (with defaults)", ratio=2, min_width=longest + 1),
        title="margins",
        caption=f"every margin also has {', '.join(catalogue['common_settings'])}",
        caption_justify="left",
        expand=True,
    )
    for name, entry in catalogue["margins"].items():
        table.add_row(name, entry["paper"], ", ".join(entry["settings"]))
    return table


def _backbones() -> Table:
    table = Table("backbone", "input", "parameters", "multiply-adds", title="backbones, with 512 features")
    for name, entry in read_catalogue()["backbones"].items():
        parameters, multiply_adds = f"{entry['parameters'] / 1e6:.1f} M", f"{entry['multiply_adds'] / 1e9:.2f} G"
        table.add_row(name, f"{entry['input_size']} px", parameters, multiply_adds)
    return table


def _recipes() -> Table:
    table = Table(Column("recipe", no_wrap=True), Column("backbone", no_wrap=True), "what it is", title="recipes")
    for name in list_recipes():
        summary = summarize_recipe(name)
        table.add_row(name, summary.backbone, summary.description)
    return table


def _formats() -> Table:
    table = Table(
        Column("format", no_wrap=True), "what is read", "what convert writes", title=DESCRIBED_KINDS["formats"].title
    )
    writers = read_catalogue()["writers"]
    for name, description in read_catalogue()["formats"].items():
        table.add_row(name, description, writers.get(name, "–"))
    return table


def _described(kind: str) -> Table:
    heading, title = DESCRIBED_KINDS[kind][1:]
    table = Table(Column(heading, no_wrap=True), "what it is", title=title)
    for name, description in read_catalogue()[kind].items():  # type: ignore[literal-required]
        table.add_row(name, description)
    return table


_TABLES: dict[str, Callable[[], Table]] = {"margins": _margins, "backbones": _backbones, "recipes": _recipes}
_TABLES |= {kind: partial(_described, kind) for kind in DESCRIBED_KINDS if kind != "writers"}
_TABLES["formats"] = _formats  # with what is written in them

KINDS = ("all", *_TABLES)

if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[KINDS]


@dataclass(frozen=True)
class Arguments:
    """List the margins, backbones, recipes, protocols, metrics, formats, families of checkpoints, released
    models, detectors and measures of quality."""

    kind: Kind = "all"
    """The kind to list."""


def main(arguments: Sequence[str]) -> int:
    # "facemargin list margins" reads better than "--kind margins"; both work.
    words = ["--kind", *arguments] if arguments and not arguments[0].startswith("-") else list(arguments)
    kind = parse(Arguments, "list", words).kind
    console = Console()
    for name, table in _TABLES.items():
        if kind in ("all", name):
            console.print(table())
    return 0
