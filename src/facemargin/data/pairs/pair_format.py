"""The formats of verification sets: each has a name, a description and a function that opens it."""

from collections.abc import Callable
from dataclasses import dataclass

from facemargin.data.formats.data_format import Location
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.registry import Registry

OpenPairs = Callable[[Location], VerificationSet | None]
"""A function that opens a verification set of a format. It returns None if the location has another format, and raises
DataError if the set is damaged."""


@dataclass(frozen=True)
class PairFormat:
    """`open` is called for the formats in ascending `order`, until one of them does not return None."""

    open: OpenPairs
    order: int


PAIR_FORMATS: Registry[PairFormat] = Registry("format of pairs", "facemargin.data.pairs", plural="pair_formats")


def register_pair_format(name: str, description: str, order: int = 50) -> Callable[[OpenPairs], OpenPairs]:
    """Decorator that registers the function that opens a format, for `open_verification`. `description` says how a set
    of the format looks on disk.

    If a location could have several formats, the one with the smallest `order` is used: 0 for names that are not paths,
    10 to 20 for formats with a file of a fixed name or suffix, 30 to 40 for shards and lists, which can be in a folder
    with files of other formats.
    """

    def decorate(open_pairs: OpenPairs) -> OpenPairs:
        PAIR_FORMATS.register(name, description=description)(PairFormat(open_pairs, order))
        return open_pairs

    return decorate
