"""What a format of verification sets is: a name, words, and a function that opens what is in it."""

from collections.abc import Callable
from dataclasses import dataclass

from facemargin.data.formats.data_format import Location
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.registry import Registry

OpenPairs = Callable[[Location], VerificationSet | None]
"""Opens a verification set of the format; None where what is at the location is not of it. Raises DataError for what is
of it, but damaged."""


@dataclass(frozen=True)
class PairFormat:
    """`order`: formats are asked in this order, and the first that does not return None opens."""

    open: OpenPairs
    order: int


PAIR_FORMATS: Registry[PairFormat] = Registry("format of pairs", "facemargin.data.pairs", plural="pair_formats")


def register_pair_format(name: str, description: str, order: int = 50) -> Callable[[OpenPairs], OpenPairs]:
    """Decorator that files the function that opens a format for `open_verification`, with words that say what it looks
    like.

    `order` decides where several formats could be meant: 0 for names that are no paths, 10 to 20 for files of one name
    or suffix, 30 to 40 for shards and lists, which may lie beside others in a folder.
    """

    def decorate(open_pairs: OpenPairs) -> OpenPairs:
        PAIR_FORMATS.register(name, description=description)(PairFormat(open_pairs, order))
        return open_pairs

    return decorate
