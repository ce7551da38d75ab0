"""`facemargin list`: margins, backbones, recipes and evaluation protocols."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from rich.console import Console
from rich.table import Column, Table

from facemargin.backbones import describe_backbone, list_backbones
from facemargin.commands.arguments import parse
from facemargin.evaluation.protocols.known import DESCRIPTIONS, list_protocols
from facemargin.margins import MarginConfig, list_margins, margin_class
from facemargin.training.recipe import list_recipes, load_recipe


@dataclass(frozen=True)
class Arguments:
    """Show what there is to choose from."""

    kind: Literal["all", "margins", "backbones", "recipes", "protocols"] = "all"
    """What to show."""


def main(arguments: Sequence[str]) -> int:
    # "facemargin list margins" reads better than "--kind margins"; both work.
    words = ["--kind", *arguments] if arguments and not arguments[0].startswith("-") else list(arguments)
    kind = parse(Arguments, "list", words).kind
    console = Console()
    if kind in ("all", "margins"):
        console.print(_margins())
    if kind in ("all", "backbones"):
        console.print(_backbones())
    if kind in ("all", "recipes"):
        console.print(_recipes())
    if kind in ("all", "protocols"):
        console.print(_protocols())
    return 0


def _margins() -> Table:
    table = Table(
        Column("margin", no_wrap=True), "paper", Column("settings (with defaults)", overflow="fold"), title="margins"
    )
    for name in list_margins():
        cls = margin_class(name)
        # The file's first line names the paper.
        paper = (sys.modules[cls.__module__].__doc__ or "").splitlines()[0].split(": ")[0].removesuffix(".")
        # What is the margin's own comes first, what every margin has last.
        own_first = sorted(fields(cls.Config), key=lambda field: field.name in MarginConfig.__dataclass_fields__)
        settings = ", ".join(f"{field.name}={field.default!r}" for field in own_first)
        table.add_row(name, paper, settings)
    return table


def _backbones() -> Table:
    table = Table("backbone", "input", "parameters", "multiply-adds", title="backbones, with 512 features")
    for name in list_backbones():
        info = describe_backbone(name)
        table.add_row(
            name, f"{info.input_size} px", f"{info.parameters / 1e6:.1f} M", f"{info.multiply_adds / 1e9:.2f} G"
        )
    return table


def _recipes() -> Table:
    table = Table(Column("recipe", no_wrap=True), "backbone", "what it is", title="recipes")
    for name in list_recipes():
        recipe = load_recipe(name)
        table.add_row(name, recipe.backbone.name, recipe.description)
    return table


def _protocols() -> Table:
    table = Table(Column("protocol", no_wrap=True), "what it is", title="evaluation protocols")
    for name in list_protocols():
        table.add_row(name, DESCRIPTIONS[name])
    return table
