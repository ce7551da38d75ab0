"""Command-line arguments of a verb as a typed dataclass."""

from collections.abc import Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")


def parse(cls: type[T], verb: str, arguments: Sequence[str]) -> T:
    """The dataclass `cls` from command-line arguments; where they are off, prints help or the nearest and exits."""
    return tyro.cli(cls, args=list(arguments), prog=f"facemargin {verb}", config=(tyro.conf.FlagCreatePairsOff,))


def parse_known(cls: type[T], verb: str, arguments: Sequence[str]) -> tuple[T, list[str]]:
    """As `parse`, and the arguments that `cls` does not know."""
    return tyro.cli(
        cls,
        args=list(arguments),
        prog=f"facemargin {verb}",
        return_unknown_args=True,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
