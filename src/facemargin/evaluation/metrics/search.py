"""Searches every probe in a gallery of any size, in bounded memory.

Shapes: P probes, Q probes of one block, G gallery entries, H entries of one chunk of it, D embedding size, J pairs of a
probe and its mate in one block and chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray
from facemargin.evaluation.metrics.tensors import as_tensor

ENTRIES_A_CHUNK = 2**13
"""How many gallery entries are normalised to unit length at a time."""

BLOCK_SCORES = 2**22
"""How many scores are held at a time."""

FAILED = -2.0
"""The score of a row without features with any other row: below every cosine."""


@dataclass(frozen=True)
class Search:
    """The results of a search in the P×G cosines: for each probe the score of its best mate (−inf without a mate), its
    rank, and the score of the best non-mate; and the highest non-mate scores of all probes, descending."""

    mate_score_P: FloatArray
    mate_rank_P: IntArray
    nonmate_score_P: FloatArray
    top_nonmate_scores: FloatArray


def search(
    probe_PD: NDArray[Any],
    gallery_GD: NDArray[Any],
    code_P: IntArray,
    code_G: IntArray,
    keep: int = 0,
    failed_P: BoolArray | None = None,
    failed_G: BoolArray | None = None,
) -> Search:
    """Search all probes. Equal codes are mates. `keep` is how many of the highest non-mate scores are returned. A row
    that has `failed` gets the score `FAILED`.

    The gallery may be memory-mapped. It is read once. If it has several chunks, those with mates are read a second
    time, because the rank of a mate can only be counted when its score is known. Raises DataError for rows that are
    zero or not finite.
    """
    double = np.float64 in (np.result_type(probe_PD, np.float32), np.result_type(gallery_GD, np.float32))
    dtype = np.float64 if double else np.float32
    mates = _Mates(code_P, code_G)
    probes = unit_rows("probe", probe_PD, 0, failed_P, dtype)
    state = _State(len(code_P), keep, probes.dtype)
    chunks = [slice(start, start + ENTRIES_A_CHUNK) for start in range(0, len(code_G), ENTRIES_A_CHUNK)]
    several = len(chunks) > 1
    if several:
        for chunk in (chunk for chunk in chunks if mates.any_in(chunk)):
            for block, scores_QH in _scores(probes, failed_P, gallery_GD, failed_G, chunk):
                state.see_mates(block, scores_QH, *mates.pairs(block, chunk))
    for chunk in chunks:
        for block, scores_QH in _scores(probes, failed_P, gallery_GD, failed_G, chunk):
            probe_J, entry_J = mates.pairs(block, chunk)
            if not several:
                state.see_mates(block, scores_QH, probe_J, entry_J)
            scores_QH[probe_J, entry_J] = -torch.inf
            state.see_nonmates(block, scores_QH)
    return state.result()


class _State:
    """The results so far for every probe."""

    def __init__(self, probes: int, keep: int, dtype: torch.dtype) -> None:
        self.mate_P, self.nonmate_P = torch.full((2, probes), -torch.inf, dtype=dtype)
        self.above_P = torch.zeros(probes, dtype=torch.int64)
        self.top = torch.empty(0, dtype=dtype)
        self.keep = keep

    def see_mates(self, block: slice, scores_QH: Tensor, probe_J: Tensor, entry_J: Tensor) -> None:
        self.mate_P[block].scatter_reduce_(0, probe_J, scores_QH[probe_J, entry_J], "amax")

    def see_nonmates(self, block: slice, scores_QH: Tensor) -> None:
        """Update with scores in which those of mates are −inf."""
        # A chunk has fewer than 2³¹ entries; torch counts in int64, its default, many times slower.
        self.above_P[block] += (scores_QH >= self.mate_P[block, None]).sum(dim=1, dtype=torch.int32)
        torch.maximum(self.nonmate_P[block], scores_QH.amax(dim=1), out=self.nonmate_P[block])
        if self.keep:
            floor = self.top[-1] if len(self.top) == self.keep else -torch.inf
            candidates = torch.cat([self.top, scores_QH[scores_QH > floor]])
            self.top = candidates.topk(min(self.keep, len(candidates))).values

    def result(self) -> Search:
        score_P, nonmate_P, top = (values.double().numpy() for values in (self.mate_P, self.nonmate_P, self.top))
        return Search(score_P, 1 + self.above_P.numpy(), nonmate_P, top)


class _Mates:
    """Finds the entries of a chunk that are mates of probes of a block."""

    def __init__(self, code_P: IntArray, code_G: IntArray) -> None:
        self._code_P, self._code_G = code_P, code_G
        self._is_probe = np.zeros(max(code_P.max(), code_G.max()) + 1, dtype=bool)
        self._is_probe[code_P] = True

    def any_in(self, chunk: slice) -> bool:
        return bool(self._is_probe[self._code_G[chunk]].any())

    def pairs(self, block: slice, chunk: slice) -> tuple[Tensor, Tensor]:
        """Probe and entry of every pair of mates, as positions in the block and in the chunk."""
        of_probe_H = np.flatnonzero(self._is_probe[self._code_G[chunk]])
        code_H = self._code_G[chunk][of_probe_H]
        order_H = np.argsort(code_H, kind="stable")
        code_Q, sorted_H = self._code_P[block], code_H[order_H]
        first_Q = np.searchsorted(sorted_H, code_Q, side="left")
        count_Q = np.searchsorted(sorted_H, code_Q, side="right") - first_Q
        probe_J = np.repeat(np.arange(len(code_Q)), count_Q)
        place_J = np.arange(len(probe_J)) - np.repeat(np.cumsum(count_Q) - count_Q - first_Q, count_Q)
        return torch.from_numpy(probe_J), torch.from_numpy(of_probe_H[order_H[place_J]])


def _scores(
    probes: Tensor, failed_P: BoolArray | None, gallery_GD: NDArray[Any], failed_G: BoolArray | None, chunk: slice
) -> Iterator[tuple[slice, Tensor]]:
    """Yields blocks of probes and their cosines (Q, H) with the entries of a chunk, in memory that the next block uses
    again: new memory would cost a page fault for every 1,024 scores."""
    failed_H = None if failed_G is None else failed_G[chunk]
    entries_HD = unit_rows("gallery", gallery_GD[chunk], chunk.start, failed_H, probes.numpy().dtype)
    probes_a_block = max(1, BLOCK_SCORES // len(entries_HD))
    buffer_QH = probes.new_empty(min(probes_a_block, len(probes)), len(entries_HD))
    for start in range(0, len(probes), probes_a_block):
        block = slice(start, start + probes_a_block)
        scores_QH = torch.mm(probes[block], entries_HD.T, out=buffer_QH[: len(probes[block])])
        if failed_P is not None:
            scores_QH[torch.from_numpy(failed_P[block])] = FAILED
        if failed_H is not None:
            scores_QH[:, torch.from_numpy(failed_H)] = FAILED
        yield block, scores_QH


def unit_rows(
    name: str, rows_XD: NDArray[Any], first: int, failed_X: BoolArray | None, dtype: np.dtype[Any] | type
) -> Tensor:
    """Rows normalised to unit length. `first` is the number of the first row, for messages."""
    rows = as_tensor(np.asarray(rows_XD, dtype=dtype))
    norms_X1 = rows.norm(dim=1, keepdim=True)
    usable_X = (norms_X1.isfinite() & (norms_X1 > 0)).numpy().ravel()
    if failed_X is not None:
        usable_X = usable_X | failed_X
        norms_X1[torch.from_numpy(failed_X)] = 1
    if not usable_X.all():
        raise DataError(
            f"row {first + int(np.argmin(usable_X))} of {name} is zero or not finite, so it has no direction"
        )
    units_XD: Tensor = rows / norms_X1
    return units_XD
