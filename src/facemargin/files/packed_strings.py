"""Millions of short strings in a few bytes each, which forked workers share."""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np


class PackedStrings(Sequence[str]):
    """The strings one after another in one piece of memory; as a list, each would take sixty bytes more."""

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [string.encode("utf-8", errors="surrogatepass") for string in strings]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        start, end = self._ends[range(len(self))[index] :][:2]
        return self._bytes[start:end].decode("utf-8", errors="surrogatepass")
