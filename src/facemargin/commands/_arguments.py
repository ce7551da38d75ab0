"""Parses the arguments of a command into a typed dataclass."""

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
    """Parse command-line arguments into the dataclass `cls`. For wrong arguments, it prints help or a suggestion and
    exits."""
    check_options(arguments, options_of(cls, flags=True), f"facemargin {verb} --help lists them")
    args = tyro.cli(explained(cls, flags=True), args=list(arguments), prog=f"facemargin {verb}", config=_CONFIG)
    return as_class(args, cls)


def parse_known(cls: type[T], verb: str, arguments: Sequence[str]) -> tuple[T, list[str]]:
    """As `parse`, but also returns the arguments that `cls` does not know, which are fields of a recipe."""
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
    """The first argument, the name or file of a recipe, and `parse_known` of the other arguments. Raises ConfigError,
    which shows the `example`, if the first argument is not a recipe."""
    usage = f"{verb} RECIPE"
    if arguments and arguments[0] in ("-h", "--help"):
        parse_known(cls, usage, ["--help"])
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError(
            f"the first argument must be a recipe, as in facemargin {verb} {example}; known recipes: "
            f"{', '.join(list_recipes())}, or a .yaml file"
        )
    args, rest = parse_known(cls, usage, arguments[1:])
    return arguments[0], args, rest
