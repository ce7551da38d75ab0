"""The groups of a set's images, and the error rates and the quality of each group.

Shapes: N images, K pairs, C columns of labels, M images of a group.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError
from facemargin.evaluation.metrics.group_rates import MOST_GROUPS, group_rates
from facemargin.evaluation.metrics.group_results import GroupRates
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.scores import PairScores
from facemargin.files.npz import load_arrays

DEFAULT_FMR = 1e-2
QUALITY_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ImageGroups:
    """The labels of N images in each of C columns, as numbers: labels_CN[c, n] is a place in names[c], −1 for none.
    Pair k compares images first_K[k] and second_K[k]. `fmr` or `threshold`: how the rates' threshold is chosen. Raises
    DataError if the parts do not fit."""

    dataset: str
    columns: list[str]
    names: list[list[str]]
    labels_CN: NDArray[np.int64]
    first_K: NDArray[np.int64]
    second_K: NDArray[np.int64]
    fmr: float | None = DEFAULT_FMR
    threshold: float | None = None

    def __post_init__(self) -> None:
        texts = [self.dataset, *self.columns, *(name for of_column in self.names for name in of_column)]
        if not all(isinstance(text, str) for text in texts):
            raise DataError("the names of columns and groups are not all texts")
        if not len(self.columns) == len(self.names) == len(self.labels_CN) or self.labels_CN.ndim != 2:
            raise DataError(
                f"labels_CN has shape {self.labels_CN.shape}, expected one row for each of the "
                f"{counted(len(self.columns), 'column')}"
            )
        if self.labels_CN.dtype.kind != "i":
            raise DataError(f"labels_CN is {self.labels_CN.dtype}, expected whole numbers")
        given = [value for value in (self.fmr, self.threshold) if value is not None]
        if len(given) != 1 or not isinstance(given[0], float) or not math.isfinite(given[0]):
            raise DataError(f"fmr is {self.fmr} and threshold {self.threshold}, expected one of them as a number")
        if self.fmr is not None and not 0 < self.fmr < 1:
            raise DataError(f"fmr is {self.fmr}, expected a rate between 0 and 1")
        for names, label_N in zip(self.names, self.labels_CN, strict=True):
            if len(label_N) and not -1 <= label_N.min() <= label_N.max() < len(names):
                raise DataError(f"a label is not the number of one of the {counted(len(names), 'group')}")
        for index_K in (self.first_K, self.second_K):
            if index_K.shape != self.first_K.shape or index_K.ndim != 1 or index_K.dtype.kind != "i":
                raise DataError(f"the pairs have image numbers of shape {index_K.shape} ({index_K.dtype})")
            if len(index_K) and not 0 <= index_K.min() <= index_K.max() < self.labels_CN.shape[1]:
                raise DataError(f"the pairs have image numbers outside 0 to {self.labels_CN.shape[1] - 1}")

    @classmethod
    def of(
        cls,
        pairs: VerificationSet,
        labels: dict[str, list[str]],
        fmr: float | None = DEFAULT_FMR,
        threshold: float | None = None,
    ) -> "ImageGroups":
        """From the labels (N,) of the set's images by column; an empty label is none. Raises DataError, which names the
        column, for too many groups, and if no image has one."""
        columns, names, codes = list(labels), [], []
        for column, of_images in labels.items():
            found = sorted({label for label in of_images if label})
            if not found:
                raise DataError(f"no image of {pairs.name} has a group in column {column}")
            if len(found) > MOST_GROUPS:
                raise DataError(
                    f"column {column} has {len(found):,} groups ({', '.join(found[:3])}, …), expected at most "
                    f"{MOST_GROUPS}: put them together, such as ages into bands"
                )
            number = {name: place for place, name in enumerate(found)}
            names.append(found)
            codes.append([number.get(label, -1) for label in of_images])
        labels_CN = np.array(codes, dtype=np.int64).reshape(len(columns), len(pairs.images))
        return cls(pairs.name, columns, names, labels_CN, pairs.first_K, pairs.second_K, fmr, threshold)

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        kept = ("dataset", "columns", "names", "fmr", "threshold")
        facts = json.dumps({name: getattr(self, name) for name in kept})
        with path.open("wb") as file:
            np.savez_compressed(
                file, facts=np.array(facts), labels_CN=self.labels_CN, first_K=self.first_K, second_K=self.second_K
            )

    @classmethod
    def load(cls, path: Path) -> "ImageGroups":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            return cls(**json.loads(str(arrays.pop("facts"))), **arrays)
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a file of groups: {error}") from error


@dataclass(frozen=True)
class GroupQuality:
    """The quality of a group's images: how many there are, its mean, and its quantiles at `QUALITY_QUANTILES`."""

    images: int
    mean: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class ColumnGroups:
    """What a system does to the groups of one column: their error rates, and their quality by name if the system has
    one. `images_without_group`: of the `images` that are in a pair."""

    system: str
    dataset: str
    column: str
    rates: GroupRates
    quality: dict[str, GroupQuality]
    images: int
    images_without_group: int


def groups_of(scores: PairScores, groups: ImageGroups) -> list[ColumnGroups]:
    """The rates of each column's groups by one system. Raises DataError for scores of other pairs, and for pairs that
    do not say which people they show."""
    if scores.scores_K.shape != groups.first_K.shape:
        raise DataError(
            f"{scores.system} was scored on {counted(len(scores.scores_K), 'pair')} of {scores.dataset}, but the "
            f"groups "
            f"are those of {counted(len(groups.first_K), 'pair')}: evaluate it again on this set"
        )
    a_K, b_K = scores.identities_a_K, scores.identities_b_K
    if a_K is None or b_K is None:
        raise DataError(
            f"the pairs of {scores.dataset} do not say which people they show, which the rates of groups need: pairs "
            f"that "
            "share a person are not independent"
        )
    quality_N, used_N = _quality(scores, groups)
    found = []
    for column, names, label_N in zip(groups.columns, groups.names, groups.labels_CN, strict=True):
        named = np.array([*names, ""], dtype=np.str_)
        rates = group_rates(
            scores.scores_K,
            scores.same_K,
            a_K,
            b_K,
            named[label_N[groups.first_K]],
            named[label_N[groups.second_K]],
            fmr=groups.fmr,
            threshold=groups.threshold,
        )
        quality = {} if quality_N is None else _by_group(quality_N, np.where(used_N, label_N, -1), names)
        without = int(np.count_nonzero(used_N & (label_N < 0)))
        found.append(ColumnGroups(scores.system, scores.dataset, column, rates, quality, int(used_N.sum()), without))
    return found


def _quality(scores: PairScores, groups: ImageGroups) -> tuple[FloatArray | None, NDArray[np.bool_]]:
    """The quality of every image, and which of them are in a pair."""
    used_N = np.zeros(groups.labels_CN.shape[1], dtype=bool)
    used_N[groups.first_K] = used_N[groups.second_K] = True
    if scores.quality_a_K is None or scores.quality_b_K is None:
        return None, used_N
    quality_N = np.full(len(used_N), np.nan)
    quality_N[groups.first_K], quality_N[groups.second_K] = scores.quality_a_K, scores.quality_b_K
    return quality_N, used_N


def _by_group(quality_N: FloatArray, label_N: NDArray[Any], names: list[str]) -> dict[str, GroupQuality]:
    found = {}
    for place, name in enumerate(names):
        quality_M = quality_N[label_N == place]
        if len(quality_M):
            low, middle, high = np.quantile(quality_M, QUALITY_QUANTILES).tolist()
            found[name] = GroupQuality(len(quality_M), float(quality_M.mean()), (low, middle, high))
    return found
