"""Pairs of image files without labels, the input of `facemargin verify`.

They are read from a .csv file with two columns, or with a header with path1 and path2 (other columns are ignored).
Shapes: K pairs.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.pairs.odd_pairs import say_odd_pairs
from facemargin.errors import DataError
from facemargin.files.listing import plain_path

_NAMES = ("path1", "path2")


@dataclass(frozen=True)
class PathPairs:
    """`names` are the files, each once. Pair k compares the files with the numbers `images_K2[k]`."""

    names: list[str]
    images_K2: NDArray[np.int64]


def read_path_pairs(path: Path) -> PathPairs:
    """The pairs in a .csv file. Pairs of an image with itself and repeated pairs are counted and logged. Raises
    DataError, which names the line, for a line that is not a pair."""
    index: dict[str, int] = {}
    pairs = []
    for first, second in _rows(path):
        pairs.append((index.setdefault(first, len(index)), index.setdefault(second, len(index))))
    if not pairs:
        raise DataError(f"{path} lists no pairs; expected lines `path1,path2`")
    names, images_K2 = list(index), np.array(pairs, dtype=np.int64)
    places: dict[str, int] = {}
    same_N = np.array([places.setdefault(plain_path(name), len(places)) for name in names], dtype=np.int64)
    say_odd_pairs(str(path), list(places).__getitem__, *same_N[images_K2].T)
    return PathPairs(names, images_K2)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    columns: tuple[int, int] | None = None
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if columns is None:
                    lower = [cell.lower() for cell in cells]
                    if set(_NAMES) <= set(lower):
                        columns = lower.index(_NAMES[0]), lower.index(_NAMES[1])
                        continue
                    columns = 0, 1
                chosen = [cells[column] if column < len(cells) else "" for column in columns]
                if not all(chosen) or "\0" in "".join(chosen):
                    raise DataError(f"{path} line {reader.line_num}: expected `path1,path2`, found {row[:5]}")
                yield chosen[0], chosen[1]
    except OSError as error:
        raise DataError(f"{path} cannot be read as pairs: {error.strerror}; expected a .csv file") from error
    except DataError:
        raise
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path} cannot be read as pairs: {error}") from error
