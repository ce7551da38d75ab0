"""Command-line arguments of a verb as a typed dataclass."""

from collections.abc import Sequence
from typing import TypeVar

import tyro

from facemargin.commands._catalogue import read_catalogue
from facemargin.errors import ConfigError
from facemargin.training.explained import as_class, explained
from facemargin.training.options import check_options, check_own_options, options_of
from facemargin.training.recipe_files import list_recipes

T = TypeVar("T")

_CONFIG = (tyro.conf.FlagCreatePairsOff,)


def parse(cls: type[T], verb: str, arguments: Sequence[str]) -> T:
    """The dataclass `cls` from command-line arguments; where they are off, prints help or the nearest and exits."""
    check_options(arguments, options_of(cls, flags=True), f"facemargin {verb} --help lists them")
    args = tyro.cli(explained(cls, flags=True), args=list(arguments), prog=f"facemargin {verb}", config=_CONFIG)
    return as_class(args, cls)


def parse_known(cls: type[T], verb: str, arguments: Sequence[str]) -> tuple[T, list[str]]:
    """As `parse`, and the arguments that `cls` does not know: fields of a recipe."""
    catalogue = read_catalogue()
    tables = (catalogue["recipe"], *catalogue["margin_options"].values(), *catalogue["backbone_options"].values())
    check_own_options(arguments, options_of(cls, flags=True), {name for table in tables for name in table})
    args, unknown = tyro.cli(
        explained(cls, flags=True),
        args=list(arguments),
        prog=f"facemargin {verb}",
        return_unknown_args=True,
        config=_CONFIG,
    )
    return as_class(args, cls), unknown


def parse_with_recipe(cls: type[T], verb: str, example: str, arguments: Sequence[str]) -> tuple[str, T, list[str]]:
    """The recipe's name or file that comes first, and `parse_known` of the rest; ConfigError with the `example` where
    none comes first."""
    usage = f"{verb} RECIPE"
    if arguments and arguments[0] in ("-h", "--help"):
        parse_known(cls, usage, ["--help"])
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError(
            f"name a recipe first, as in facemargin {verb} {example}; "
            f"known: {', '.join(list_recipes())}, or a .yaml file"
        )
    args, rest = parse_known(cls, usage, arguments[1:])
    return arguments[0], args, rest
