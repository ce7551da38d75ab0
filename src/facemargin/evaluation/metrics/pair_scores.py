"""Cosines of millions of pairs of vectors.

Shapes: S vectors (images or templates), D embedding size, K pairs, A and B distinct first and second vectors of the
pairs, R and C of them in one tile, J pairs of one tile.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_numbers, as_rows
from facemargin.evaluation.metrics.tensors import as_tensor

Indices = NDArray[np.integer]

BLOCK_ENTRIES = 2**22
"""How many products are held at a time."""

TILE_COLUMNS = 2**12
"""How many second vectors a tile has at most. Products of 1,024 × 4,096 vectors take two thirds of the time of as many
products of 181 × 23,124, because the second vectors are laid out anew for every tile's rows."""

PAIRS_A_CHUNK = 2**20

DENSE_PRODUCTS_A_PAIR = 40
"""Computing this number of products in a tile of the A×B matrix takes as long as one pair whose rows are fetched."""


def pair_scores(vectors: ArrayLike, first: ArrayLike, second: ArrayLike) -> NDArray[Any]:
    """The dot products of the rows `first` and `second` (K,) of `vectors` (S, D), float32 or float64 as these are (in
    float64 for whole numbers): cosines, of unit vectors.

    If there are many pairs per vector, as in the IJB protocols, computing the matrix of all products is faster than
    fetching two rows for every pair. The matrix is computed in tiles; if both sides of the pairs are the same vectors,
    only its upper half. Additional memory: K row numbers and `BLOCK_ENTRIES` products. Raises DataError for row numbers
    that do not exist.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.pair_scores([[1.0, 0], [0.6, 0.8], [0, 1]], [0, 1], [1, 2]).round(2).tolist()
        [0.6, 0.8]
    """
    vectors_SD, first_K, second_K = as_numbers("vectors", vectors), as_rows("first", first), as_rows("second", second)
    if vectors_SD.dtype not in (np.float32, np.float64):
        vectors_SD = vectors_SD.astype(np.float32 if vectors_SD.dtype == np.float16 else np.float64)
    if vectors_SD.ndim != 2:
        raise DataError(f"vectors have shape {vectors_SD.shape}, expected (S, D)")
    if first_K.shape != second_K.shape or first_K.ndim != 1:
        raise DataError(f"the sides of the pairs have shapes {first_K.shape} and {second_K.shape}, expected (K,) twice")
    scores_K = np.empty(len(first_K), vectors_SD.dtype)
    if not len(first_K):
        return scores_K
    for rows_K in (first_K, second_K):
        if rows_K.min() < 0 or rows_K.max() >= len(vectors_SD):
            raise DataError(
                f"pairs have row numbers {rows_K.min()} to {rows_K.max()}, expected 0 to {len(vectors_SD) - 1}"
            )
    sides = _Sides(vectors_SD, first_K, second_K)
    for tile, pairs_J in _by_tile(sides, len(first_K)):
        scores_K[pairs_J] = sides.tile_scores(tile, pairs_J)
    return scores_K


class _Sides:
    """The matrix of scores, `left_AD` times `right_BD`. If the two are `same`, only the upper half is needed, and pair
    (a, b) is looked up as (min, max)."""

    def __init__(self, vectors_SD: NDArray[Any], first_K: Indices, second_K: Indices) -> None:
        in_first_S, in_second_S = (_marked(rows_K, len(vectors_SD)) for rows_K in (first_K, second_K))
        in_either_S = in_first_S | in_second_S
        self.same = 2 * in_first_S.sum() * in_second_S.sum() > in_either_S.sum() ** 2
        if self.same:
            in_first_S = in_second_S = in_either_S
        self._first_K, self._second_K = first_K, second_K
        self._row_S, self._column_S = _places(in_first_S), _places(in_second_S)
        vectors = as_tensor(vectors_SD)
        self.left_AD = vectors if in_first_S.all() else vectors[torch.from_numpy(in_first_S)]
        self.right_BD = self.left_AD if self.same else vectors[torch.from_numpy(in_second_S)]
        self._columns = min(TILE_COLUMNS, len(self.right_BD))
        self._rows = max(1, BLOCK_ENTRIES // self._columns)
        self._tiles_a_row = -(-len(self.right_BD) // self._columns)
        self.tiles = -(-len(self.left_AD) // self._rows) * self._tiles_a_row

    def entries(self, pairs: NDArray[Any] | slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """The row and column of each of the `pairs` in the matrix."""
        row, column = self._row_S[self._first_K[pairs]], self._column_S[self._second_K[pairs]]
        return (np.minimum(row, column), np.maximum(row, column)) if self.same else (row, column)

    def tile(self, pairs: slice) -> NDArray[Any]:
        """The tile of each of the `pairs`. If the two sides are the same, the tiles of a row begin at the diagonal."""
        row, column = self.entries(pairs)
        tile_row = row // self._rows
        first = tile_row * self._rows if self.same else 0
        tile: NDArray[Any] = tile_row * self._tiles_a_row + (column - first) // self._columns
        return tile

    def tile_scores(self, tile: int, pairs_J: NDArray[Any]) -> NDArray[Any]:
        """Scores of pairs that are in one tile."""
        tile_row, tile_column = divmod(tile, self._tiles_a_row)
        top = tile_row * self._rows
        left = tile_column * self._columns + (top if self.same else 0)
        row_J, column_J = self.entries(pairs_J)
        rows_RD, columns_CD = self.left_AD[top : top + self._rows], self.right_BD[left : left + self._columns]
        if len(rows_RD) * len(columns_CD) > DENSE_PRODUCTS_A_PAIR * len(pairs_J):
            return self._fetched(row_J, column_J)
        product_RC = rows_RD @ columns_CD.T
        at_J = (row_J - top) * np.int64(len(columns_CD)) + (column_J - left)
        scores_J: NDArray[Any] = product_RC.numpy().ravel()[at_J]
        return scores_J

    def _fetched(self, row_J: NDArray[Any], column_J: NDArray[Any]) -> NDArray[Any]:
        row, column = torch.from_numpy(row_J), torch.from_numpy(column_J)
        size = max(1, BLOCK_ENTRIES // self.left_AD.shape[1])
        parts = [
            (self.left_AD[row[i : i + size]] * self.right_BD[column[i : i + size]]).sum(1)
            for i in range(0, len(row), size)
        ]
        return torch.cat(parts).numpy()


def _marked(rows_K: Indices, size: int) -> NDArray[np.bool_]:
    marked_S = np.zeros(size, dtype=bool)
    marked_S[rows_K] = True
    return marked_S


def _places(marked_S: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The position of each marked row among the marked rows."""
    return np.cumsum(marked_S, dtype=np.int32) - np.int32(1)


def _by_tile(sides: _Sides, pairs: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """The numbers of the pairs in each tile. A counting sort, in chunks that fit into the cache."""
    chunks = [slice(start, min(start + PAIRS_A_CHUNK, pairs)) for start in range(0, pairs, PAIRS_A_CHUNK)]
    tile_K = np.empty(pairs, np.min_scalar_type(sides.tiles))
    for chunk in chunks:
        tile_K[chunk] = sides.tile(chunk)
    counts = np.bincount(tile_K, minlength=sides.tiles)
    starts = np.cumsum(counts) - counts
    order_K = np.empty(pairs, np.int32 if pairs < 2**31 else np.int64)
    filled = starts.copy()
    for chunk in chunks:
        of_chunk = np.argsort(tile_K[chunk], kind="stable")
        chunk_counts = np.bincount(tile_K[chunk], minlength=sides.tiles)
        shift = np.repeat(filled - (np.cumsum(chunk_counts) - chunk_counts), chunk_counts)
        order_K[np.arange(len(of_chunk)) + shift] = of_chunk + chunk.start
        filled += chunk_counts
    for tile in np.flatnonzero(counts):
        yield int(tile), order_K[starts[tile] : starts[tile] + counts[tile]]
