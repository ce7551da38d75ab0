"""Searches every probe among people, each of whom may have several gallery entries, in bounded memory.

Shapes: P probes, Q probes of one block, G gallery entries, H entries of one chunk of it, I people of the gallery,
D embedding size.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.evaluation.metrics.pairs import BoolArray, IntArray
from facemargin.evaluation.metrics.search import BLOCK_SCORES, ENTRIES_A_CHUNK, FAILED, Search, unit_rows


def search_people(
    probe_PD: NDArray[Any],
    gallery_GD: NDArray[Any],
    code_P: IntArray,
    code_G: IntArray,
    failed_P: BoolArray | None = None,
    failed_G: BoolArray | None = None,
) -> Search:
    """As `search`, but each person (entries with equal codes) is one candidate, with the score of their best entry."""
    double = np.float64 in (np.result_type(probe_PD, np.float32), np.result_type(gallery_GD, np.float32))
    dtype = np.float64 if double else np.float32
    probes = unit_rows("probe", probe_PD, 0, failed_P, dtype)
    codes_I, person_G = np.unique(code_G, return_inverse=True)
    mate_P = np.searchsorted(codes_I, code_P).clip(max=len(codes_I) - 1)
    mated_P = codes_I[mate_P] == code_P
    people = torch.from_numpy(person_G)
    chunks = [slice(start, start + ENTRIES_A_CHUNK) for start in range(0, len(code_G), ENTRIES_A_CHUNK)]
    score_P, nonmate_P = np.full((2, len(code_P)), -np.inf)
    rank_P = np.ones(len(code_P), np.int64)
    probes_a_block = max(1, BLOCK_SCORES // max(len(codes_I), min(len(code_G), ENTRIES_A_CHUNK)))
    for start in range(0, len(code_P), probes_a_block):
        block = slice(start, start + probes_a_block)
        best_QI = torch.full((len(probes[block]), len(codes_I)), -torch.inf, dtype=probes.dtype)
        for chunk in chunks:
            failed_H = None if failed_G is None else failed_G[chunk]
            entries_HD = unit_rows("gallery", gallery_GD[chunk], chunk.start, failed_H, dtype)
            scores_QH = probes[block] @ entries_HD.T
            if failed_H is not None:
                scores_QH[:, torch.from_numpy(failed_H)] = FAILED
            best_QI.scatter_reduce_(1, people[chunk].expand(len(scores_QH), -1), scores_QH, "amax")
        if failed_P is not None:
            best_QI[torch.from_numpy(failed_P[block])] = FAILED
        mated = np.flatnonzero(mated_P[block])
        mates = torch.from_numpy(mate_P[block][mated])
        score_P[start + mated] = best_QI[mated, mates].double().numpy()
        best_QI[mated, mates] = -torch.inf
        nonmate_P[block] = best_QI.amax(dim=1).double().numpy()
        mate_score = torch.from_numpy(score_P[block]).to(best_QI.dtype)
        rank_P[block] = 1 + (best_QI >= mate_score[:, None]).sum(dim=1, dtype=torch.int32).numpy()
    return Search(score_P, rank_P, nonmate_P, np.empty(0))
