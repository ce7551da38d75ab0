"""1:N search: probes against a gallery. Shapes: P probes, G gallery entries, D embedding size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.bootstrap import Bootstrap, Interval, sample_intervals
from facemargin.evaluation.metrics.inputs import as_flags, as_identities, as_numbers, as_ranks, as_rates
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray
from facemargin.evaluation.metrics.people_search import search_people
from facemargin.evaluation.metrics.search import search
from facemargin.evaluation.metrics.sorted_scores import SortedScores, highest_rejected

OpenSetRule = Literal["standard", "published"]
Candidates = Literal["entries", "people"]


@dataclass(frozen=True)
class Identification:
    """`rank_rates` {rank: rate of mated probes with a mate at that rank or better}, `tpir_at_fpir` {target FPIR: TPIR},
    the numbers of mated and non-mated probes that they rest on, and, if requested, intervals under the same keys (None
    for an interval of width zero).

    Examples:
        >>> import facemargin as fm
        >>> gallery, probe = [[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.8], [0.7, 0.7]]
        >>> searched, enrolled = ["ann", "ann", "eve"], ["ann", "bob"]
        >>> found = fm.evaluation.identification(probe, gallery, searched, enrolled, ranks=(1, 2), fpirs=(0.5,))
        >>> found.rank_rates, found.mated_probes, found.nonmated_probes
        ({1: 0.5, 2: 1.0}, 2, 1)
    """

    rank_rates: dict[int, float]
    tpir_at_fpir: dict[float, float]
    mated_probes: int
    nonmated_probes: int
    rank_intervals: dict[int, Interval | None] | None = None
    tpir_intervals: dict[float, Interval | None] | None = None


def identification(
    probe: ArrayLike,
    gallery: ArrayLike,
    probe_ids: ArrayLike,
    gallery_ids: ArrayLike,
    ranks: int | Sequence[int] = (1, 5, 10),
    fpirs: float | Sequence[float] = (0.01, 0.1),
    rule: OpenSetRule = "standard",
    bootstrap: Bootstrap | None = None,
    open_set_rank: int = 1,
    probe_failed: ArrayLike | None = None,
    gallery_failed: ArrayLike | None = None,
    candidates: Candidates = "entries",
) -> Identification:
    """Closed- and open-set identification by cosine of `probe` (P, D) in `gallery` (G, D); the ids (P,) and (G,) are
    identities, which may repeat on both sides: any mate counts.

    The rank of a mate is 1 + the number of non-mates that score at least as high, so ties count against it. With
    `candidates` "entries", every entry of the gallery is a candidate. With "people", every person is one, with the
    score of their best entry. Probes without a mate in the gallery do not count in the rank rates.
    rule "standard" (ISO/IEC 19795-1): FPIR = non-mated probes with any candidate at or above the threshold /
        non-mated probes; the threshold is the smallest with FPIR ≤ target; TPIR = mated probes whose mate is at rank
        `open_set_rank` or better and at or above it / mated probes. NaN without non-mated probes.
    rule "published" (the IJB scripts): every probe must be mated; the threshold is the ⌈P·FPIR⌉-th highest of all
        non-mate scores, and TPIR counts mates strictly above it, whatever their rank.

    `probe_failed` (P,) and `gallery_failed` (G,) mark rows of images without features. They score below all others in
    every search, so that a failed probe misses its mate. `bootstrap` adds intervals over the identities of the probes,
    with a fixed gallery, for rank rates and for TPIR by the standard rule. Memory is bounded: the gallery may be
    memory-mapped and is read in chunks (see `search`). Raises DataError for arrays that do not fit, for features that
    are zero or not finite, and if no probe has a mate; ConfigError for unusable ranks and rates.

    Examples:
        >>> import facemargin as fm
        >>> gallery, probe = [[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.8], [0.7, 0.7]]
        >>> searched, enrolled = ["ann", "ann", "eve"], ["ann", "bob"]
        >>> found = fm.evaluation.identification(probe, gallery, searched, enrolled, ranks=(1, 2), fpirs=(0.5,))
        >>> found.rank_rates
        {1: 0.5, 2: 1.0}
    """
    ranks, fpirs = _check_settings(ranks, fpirs, rule, open_set_rank, candidates)
    probe_PD, gallery_GD = _rows("probe", probe), _rows("gallery", gallery)
    if probe_PD.shape[1] != gallery_GD.shape[1]:
        raise DataError(f"probe has {probe_PD.shape[1]} features a row, gallery {gallery_GD.shape[1]}; expected equal")
    code_P, code_G = _codes(probe_ids, gallery_ids, len(probe_PD), len(gallery_GD))
    mated_P = np.isin(code_P, code_G)
    if not mated_P.any():
        raise DataError(f"none of the {counted(len(code_P), 'probe')} has its identity in the gallery")
    if rule == "published" and not mated_P.all():
        raise DataError(
            f"{counted(int(np.count_nonzero(~mated_P)), 'probe')} without a mate in the gallery; the published rule "
            "needs a mate for every probe. Use the standard rule"
        )

    # the published scripts take the ceiling of this floating-point product, including its rounding error
    places = [math.ceil(len(code_P) * fpir) for fpir in fpirs] if rule == "published" else []
    failed_P, failed_G = _failed(probe_failed, code_P), _failed(gallery_failed, code_G)
    if candidates == "people":
        matches = search_people(probe_PD, gallery_GD, code_P, code_G, failed_P, failed_G)
    else:
        matches = search(probe_PD, gallery_GD, code_P, code_G, max(places, default=0), failed_P, failed_G)

    def rank_rates(weights_P: IntArray) -> list[float]:
        return [_rate(matches.mate_rank_P <= rank, weights_P * mated_P) for rank in ranks]

    def standard_tpirs(weights_P: IntArray) -> list[float]:
        false_alarms = SortedScores.of(matches.nonmate_score_P[~mated_P], weights_P[~mated_P])
        if false_alarms.total == 0:
            return [np.nan] * len(fpirs)
        found_P = matches.mate_rank_P <= open_set_rank
        return [
            _rate(found_P & (matches.mate_score_P > highest_rejected(false_alarms, fpir)), weights_P * mated_P)
            for fpir in fpirs
        ]

    once_P = np.ones(len(code_P), dtype=np.int64)
    if rule == "published":
        tpirs = [float(np.mean(matches.mate_score_P > _place(matches.top_nonmate_scores, place))) for place in places]
    else:
        tpirs = standard_tpirs(once_P)
    rank_intervals = sample_intervals(rank_rates, code_P, bootstrap) if bootstrap else None
    tpir_intervals = sample_intervals(standard_tpirs, code_P, bootstrap) if bootstrap and rule == "standard" else None
    return Identification(
        rank_rates=dict(zip(ranks, rank_rates(once_P), strict=True)),
        tpir_at_fpir=dict(zip(fpirs, tpirs, strict=True)),
        mated_probes=int(mated_P.sum()),
        nonmated_probes=int((~mated_P).sum()),
        rank_intervals=dict(zip(ranks, rank_intervals, strict=True)) if rank_intervals else None,
        tpir_intervals=dict(zip(fpirs, tpir_intervals, strict=True)) if tpir_intervals else None,
    )


def _check_settings(
    ranks: int | Sequence[int], fpirs: float | Sequence[float], rule: str, open_set_rank: int, candidates: str
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if rule not in ("standard", "published"):
        raise ConfigError(f"unknown identification rule {rule!r}; known: standard, published")
    if candidates not in ("entries", "people"):
        raise ConfigError(f"unknown candidates {candidates!r} of a search; known: entries, people")
    if candidates == "people" and rule == "published":
        raise ConfigError("the published rule counts scores of gallery entries, so candidates must be 'entries'")
    ranks, fpirs = as_ranks("ranks", ranks), as_rates("fpirs", fpirs)
    as_ranks("open_set_rank", open_set_rank)
    for fpir in fpirs:
        if not 0 < fpir <= 1:
            raise ConfigError(f"FPIR {fpir} is outside (0, 1]")
    return ranks, fpirs


def _rows(name: str, features: ArrayLike) -> NDArray[Any]:
    features_ND = as_numbers(name, features)
    if features_ND.ndim != 2 or len(features_ND) == 0:
        raise DataError(f"{name} has shape {features_ND.shape}, expected (rows, features) with at least one row")
    return features_ND


def _failed(failed: ArrayLike | None, code_X: IntArray) -> BoolArray | None:
    failed_X = np.zeros(len(code_X), dtype=bool) if failed is None else as_flags("failed", failed).copy()
    if failed_X.shape != code_X.shape:
        raise DataError(f"failed has shape {failed_X.shape}, expected ({len(code_X)},): one per row")
    return failed_X if failed_X.any() else None


def _codes(probe_ids: ArrayLike, gallery_ids: ArrayLike, probes: int, entries: int) -> tuple[IntArray, IntArray]:
    probe_ids_P, gallery_ids_G = as_identities("probe_ids", probe_ids), as_identities("gallery_ids", gallery_ids)
    for name, ids, count in (("probe_ids", probe_ids_P, probes), ("gallery_ids", gallery_ids_G, entries)):
        if ids.shape != (count,):
            raise DataError(f"{name} has shape {ids.shape}, expected ({count},): one identity per row of features")
    texts = {ids.dtype.kind in "US" for ids in (probe_ids_P, gallery_ids_G)}
    if len(texts) > 1:
        raise DataError(
            f"probe_ids are {probe_ids_P.dtype} and gallery_ids {gallery_ids_G.dtype}, which mixes names and "
            "numbers; expected names for both or numbers for both"
        )
    _, code = np.unique(np.concatenate([probe_ids_P, gallery_ids_G]), return_inverse=True)
    return code[:probes], code[probes:]


def _place(descending: FloatArray, place: int) -> float:
    """The value at a position counted from 1; −inf beyond the end."""
    return float(descending[place - 1]) if place <= len(descending) else -np.inf


def _rate(hit_P: BoolArray, weights_P: IntArray) -> float:
    total = int(weights_P.sum())
    return int(weights_P[hit_P].sum()) / total if total else np.nan
