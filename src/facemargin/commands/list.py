"""`facemargin list`: margins, backbones, recipes, and everything else that has a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rich.console import Console
from rich.table import Column, Table

from facemargin.commands._arguments import parse
from facemargin.commands._catalogue import read_catalogue
from facemargin.training.recipe_files import list_recipes, summarize_recipe

Kind = Literal[
    "all", "margins", "backbones", "recipes", "protocols", "metrics", "formats", "pair_formats", "families", "detectors"
]
KINDS = get_args(Kind)


@dataclass(frozen=True)
class Arguments:
    """List the margins, backbones, recipes and protocols."""

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


def _protocols() -> Table:
    return _described("protocol", "evaluation protocols", read_catalogue()["protocols"])


def _metrics() -> Table:
    return _described("metric", "metrics of a system on pairs", read_catalogue()["metrics"])


def _formats() -> Table:
    table = Table(
        Column("format", no_wrap=True), "what is read", "what convert writes", title="formats of training sets"
    )
    writers = read_catalogue()["writers"]
    for name, description in read_catalogue()["formats"].items():
        table.add_row(name, description, writers.get(name, "–"))
    return table


def _pair_formats() -> Table:
    return _described("format", "formats of verification sets", read_catalogue()["pair_formats"])


def _families() -> Table:
    return _described("family", "families of checkpoints", read_catalogue()["families"])


def _detectors() -> Table:
    return _described("detector", "face detectors", read_catalogue()["detectors"])


def _described(heading: str, title: str, entries: Mapping[str, str]) -> Table:
    table = Table(Column(heading, no_wrap=True), "what it is", title=title)
    for name, description in entries.items():
        table.add_row(name, description)
    return table


_TABLES = {
    "margins": _margins,
    "backbones": _backbones,
    "recipes": _recipes,
    "protocols": _protocols,
    "metrics": _metrics,
    "formats": _formats,
    "pair_formats": _pair_formats,
    "families": _families,
    "detectors": _detectors,
}
