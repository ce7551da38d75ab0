"""Compares several measures of image quality on the scores of one system.

Shapes: N images, K pairs, M measures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError
from facemargin.evaluation.metrics.error_versus_discard import ErrorVersusDiscard, error_versus_discard
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.rank_correlation import spearman_correlation
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.plain import plain
from facemargin.evaluation.scores import PairScores
from facemargin.files.npz import load_arrays

COMPARED_FMRS = (1e-3, 1e-4)
COMPARED_LIMITS = (0.1, 0.2, 0.3, 0.5)
"""The largest discarded fractions. Rankings of measures are more stable at the larger limits (arXiv 2303.13294)."""

_FEW_ACCEPTED = 10


@dataclass(frozen=True)
class QualityMeasures:
    """The scores of K pairs of N images, and the quality of every image by each of M `measures`, `quality_MN` (higher
    is better). Pair k compares images first_K[k] and second_K[k]. With `refit`, the threshold is chosen again for every
    discarded fraction. Raises DataError if the shapes do not match."""

    system: str
    dataset: str
    measures: list[str]
    scores_K: FloatArray
    same_K: NDArray[np.bool_]
    first_K: NDArray[np.int64]
    second_K: NDArray[np.int64]
    quality_MN: FloatArray
    refit: bool = False

    def __post_init__(self) -> None:
        if not self.measures or self.quality_MN.shape[:1] != (len(self.measures),) or self.quality_MN.ndim != 2:
            raise DataError(
                f"quality_MN has shape {self.quality_MN.shape}, expected one row for each of the {len(self.measures)} "
                "measures"
            )
        if len(set(self.measures)) < len(self.measures):
            raise DataError(f"two measures of quality have the same name: {', '.join(self.measures)}")
        for name in ("same_K", "first_K", "second_K"):
            if getattr(self, name).shape != self.scores_K.shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}, expected {self.scores_K.shape}")
        for index_K in (self.first_K, self.second_K):
            if len(index_K) and (index_K.min() < 0 or index_K.max() >= self.quality_MN.shape[1]):
                raise DataError(
                    f"pairs have image numbers {index_K.min()} to {index_K.max()}, expected 0 to "
                    f"{self.quality_MN.shape[1] - 1}"
                )

    @classmethod
    def of(
        cls,
        scores: PairScores,
        verification_set: VerificationSet,
        quality: Mapping[str, NDArray[Any]],
        refit: bool = False,
    ) -> "QualityMeasures":
        """Create it from the scores of a system on a set and the values (N,) of each measure for the images."""
        return cls(
            system=scores.system,
            dataset=scores.dataset,
            measures=list(quality),
            scores_K=scores.scores_K,
            same_K=scores.same_K,
            first_K=verification_set.first_K,
            second_K=verification_set.second_K,
            quality_MN=np.array(list(quality.values()), dtype=np.float64),
            refit=refit,
        )

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        names = json.dumps({name: getattr(self, name) for name in ("system", "dataset", "measures", "refit")})
        arrays = {name: getattr(self, name) for name in ("scores_K", "same_K", "first_K", "second_K", "quality_MN")}
        with path.open("wb") as file:
            np.savez_compressed(file, names=np.array(names), **arrays)

    @classmethod
    def load(cls, path: Path) -> "QualityMeasures":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            return cls(**json.loads(str(arrays.pop("names"))), **arrays)
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a file of quality measures: {error}") from error


@dataclass(frozen=True)
class QualityComparison:
    """`curves[fmr][measure]` is the error versus discard at the threshold of that FMR. The thresholds rest on
    `impostors` pairs. `spearman_MM` has the rank correlations between the measures over the images, in the order of the
    measures."""

    system: str
    dataset: str
    measures: list[str]
    refit: bool
    impostors: int
    curves: dict[float, dict[str, ErrorVersusDiscard]]
    spearman_MM: FloatArray

    def caution(self, fmr: float) -> str:
        """A warning for an FMR whose threshold rests on few impostor pairs; empty if there are enough."""
        accepted = allowed_count(fmr, self.impostors)
        if accepted >= _FEW_ACCEPTED:
            return ""
        pairs = f"At FMR {fmr:g} the threshold may accept {accepted} of {self.impostors:,} impostor pairs, so it"
        if not accepted:
            return (
                f"{pairs} lies above all of them: this FMR cannot be distinguished from 0, and no measure is marked "
                "as the best."
            )
        return f"{pairs} depends on single pairs."

    def to_json(self) -> str:
        return json.dumps(plain(self), indent=2, allow_nan=False)


def compare_quality(
    measures: QualityMeasures,
    fmrs: Sequence[float] = COMPARED_FMRS,
    limits: Sequence[float] = COMPARED_LIMITS,
) -> QualityComparison:
    """Error-versus-discard curves of every measure at every FMR, and the rank correlations between the measures.

    Thresholds are fixed with nothing discarded unless `measures.refit` is true (see `error_versus_discard`). Images
    without pairs do not count. Raises DataError, which names the measure, for values that are not finite.
    """
    used_N = np.zeros(measures.quality_MN.shape[1], dtype=np.bool_)
    used_N[measures.first_K] = used_N[measures.second_K] = True
    for name, quality_N in zip(measures.measures, measures.quality_MN, strict=True):
        if not np.isfinite(quality_N[used_N]).all():
            raise DataError(f"the quality by {name} has values that are not finite on {measures.dataset}")
    curves = {
        fmr: {
            name: error_versus_discard(
                measures.scores_K,
                measures.same_K,
                quality_N[measures.first_K],
                quality_N[measures.second_K],
                fmr,
                limits=limits,
                refit=measures.refit,
            )
            for name, quality_N in zip(measures.measures, measures.quality_MN, strict=True)
        }
        for fmr in fmrs
    }
    return QualityComparison(
        system=measures.system,
        dataset=measures.dataset,
        measures=measures.measures,
        refit=measures.refit,
        impostors=int(np.count_nonzero(~measures.same_K)),
        curves=curves,
        spearman_MM=spearman_correlation(measures.quality_MN[:, used_N]),
    )
