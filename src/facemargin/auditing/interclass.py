"""From which cosine on a negative is one in name only: a threshold for interclass filtering, as measured.

Shapes: N images, C classes, D embedding size.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.auditing.planted import Numbers
from facemargin.auditing.space import Floats, Integers, blocks
from facemargin.data.findings import SURE, Finding
from facemargin.data.source import LabeledImages

_ORDINARY = 0.999
_LEAST = 100


@dataclass(frozen=True)
class Interclass:
    """`threshold`: the cosine, of two decimals, that at most one in a thousand of the `ordinary` images, in which
    nothing was found, reach to the centre of another person. Of the `suspects`, images of wrong labels or of people
    under two labels with a score of .5 or more, `suspects_above` do. `measured_in`: what the cosines are of."""

    threshold: float
    ordinary: int
    suspects: int
    suspects_above: int
    measured_in: Literal["recording", "embeddings"]


def interclass(
    nearest_N: Numbers | Floats,
    images: LabeledImages,
    rows_N: Integers,
    findings: Iterable[Finding],
    measured_in: Literal["recording", "embeddings"],
) -> Interclass | None:
    """`nearest_N`: the cosine of the images at `rows_N` to the nearest centre of another person, nan where it is not
    known. None with fewer than 100 ordinary images, or where the threshold is not between 0 and 1."""
    suspect_N = _suspects(images, findings)[rows_N]
    known_N = np.isfinite(nearest_N)
    ordinary, suspects = nearest_N[known_N & ~suspect_N], nearest_N[known_N & suspect_N]
    if len(ordinary) < _LEAST:
        return None
    highest = np.sort(ordinary)[::-1]
    threshold = math.floor(100 * float(highest[int((1 - _ORDINARY) * len(ordinary))]) + 1) / 100  # none in 1,000 above
    if not 0 < threshold < 1:
        return None
    return Interclass(threshold, len(ordinary), len(suspects), int((suspects > threshold).sum()), measured_in)


def nearest_other_center(
    vectors_ND: Floats, labels_N: Integers, num_classes: int, device: torch.device
) -> NDArray[np.float32]:
    """The cosine (N,) of unit vectors to the nearest centre of another class, in blocks; nan where there is none."""
    sums_CD = np.zeros((num_classes, vectors_ND.shape[1]), np.float32)
    for rows in blocks(len(vectors_ND)):
        np.add.at(sums_CD, labels_N[rows], vectors_ND[rows])
    lengths_C = np.linalg.norm(sums_CD, axis=1)
    centers_DC = torch.from_numpy(sums_CD / np.maximum(lengths_C[:, None], 1e-12)).to(device).T
    empty_C = torch.from_numpy(lengths_C < 1e-12).to(device)
    nearest_N = np.empty(len(vectors_ND), np.float32)
    for rows in blocks(len(vectors_ND)):
        cosine_BC = torch.from_numpy(np.ascontiguousarray(vectors_ND[rows])).to(device) @ centers_DC
        cosine_BC[:, empty_C] = -torch.inf
        cosine_BC.scatter_(1, torch.from_numpy(labels_N[rows, None]).to(device), -torch.inf)
        nearest_N[rows] = cosine_BC.amax(1).cpu().numpy()
    return np.where(np.isfinite(nearest_N), nearest_N, np.nan).astype(np.float32)


def _suspects(images: LabeledImages, findings: Iterable[Finding]) -> NDArray[np.bool_]:
    sure = [one for one in findings if one.score >= SURE and one.kind in ("mislabelled", "split")]
    paths = {one.path for one in sure if one.kind == "mislabelled"}
    people = {name for one in sure if one.kind == "split" for name in (one.label, one.suggested)}
    wrong_N = np.array([images.describe(index) in paths for index in range(len(images))] if paths else False)
    split_C = np.array([name in people for name in images.identity_names], bool)
    return np.asarray(wrong_N | split_C[images.labels], bool)
