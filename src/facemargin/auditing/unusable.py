"""Images in which nobody can be recognised, and images of no face.

Shapes: N images, D embedding size, M planted ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.discriminant import discriminated
from facemargin.auditing.planted import LISTED, Numbers
from facemargin.auditing.space import Floats, Integers, LabeledSpace
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector
from facemargin.errors import ImageError

_SIDE, _BORDER = 224, 56


@dataclass(frozen=True)
class Measured:
    """Of images: `quality`, the cosine to the centre of the `own` label without the image, and to the `nearest` of
    all labels, that included."""

    quality: Floats
    own: Floats
    nearest: Floats

    def measures(self) -> Numbers:
        """(N, 3), the quality on a logarithmic scale where it is positive."""
        quality_N = self.quality.astype(np.float64)
        if quality_N.min(initial=1) > 0:
            quality_N = np.log(quality_N)
        return np.stack([quality_N, np.where(np.isfinite(self.own), self.own, self.nearest), self.nearest], axis=1)


@dataclass(frozen=True)
class Unusable:
    """The probabilities (N,) that an image is not recognisable, and that it shows no face."""

    unrecognisable_N: Numbers
    no_face_N: Numbers


def measured(space: LabeledSpace, quality_N: Floats) -> Measured:
    """Of all images of the space."""
    own_N = space.own_similarity()
    nearest_N = space.nearest_classes(space.vectors_ND, space.labels_N, 1)[0]
    others_N = nearest_N[:, 0] if nearest_N.shape[1] else np.full(len(own_N), -1.0)
    return Measured(quality_N, own_N, np.fmax(own_N, others_N))


def measured_planted(space: LabeledSpace, vectors_MD: Floats, quality_M: Floats, originals_M: Integers) -> Measured:
    """Of pictures that were made from images of the space, which their own label's centre counts without."""
    planted_MD = space.transformed(vectors_MD)
    own_M = space.similarity_without(planted_MD, originals_M)
    nearest_M = space.nearest_classes(planted_MD, space.labels_N[originals_M], 1)[0]
    others_M = nearest_M[:, 0] if nearest_M.shape[1] else np.full(len(own_M), -1.0)
    return Measured(quality_M, own_M, np.fmax(own_M, others_M))


def unusable(real: Measured, tiny: Measured, no_faces: Measured) -> Unusable:
    """By quality and cosines together, from planted pictures: faces of 8 pixels, and pictures without a face."""
    both = [discriminated(real.measures(), planted.measures()).probability_K for planted in (tiny, no_faces)]
    return Unusable(both[0], both[1])


def shows_face(detector: Detector, image: RGBImage) -> bool:
    """Whether the detector finds a face in an aligned picture, which is enlarged and given a border first: detectors
    expect a face to be a part of the picture."""
    large = resize_square(image, _SIDE)
    return bool(detector.detect(cv2.copyMakeBorder(large, *4 * (_BORDER,), cv2.BORDER_REPLICATE)))


def decide_kinds(
    found: Unusable,
    images: ImageSource,
    detector: Detector | None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, tuple[bool, float, bool | None]]:
    """{image: (whether it shows no face, probability, whether the detector found a face in it)} of all that are listed.

    The likelier kind; where a detector looked, an image in which it finds a face is not without one."""
    listed = np.flatnonzero(np.maximum(found.unrecognisable_N, found.no_face_N) >= LISTED)
    decided: dict[int, tuple[bool, float, bool | None]] = {}
    for number, row in enumerate(listed.tolist(), 1):
        poor, none = float(found.unrecognisable_N[row]), float(found.no_face_N[row])
        seen = None if detector is None else _looked(detector, images, row)
        is_none = none > poor and not seen
        if is_none or poor >= LISTED:
            decided[row] = is_none, none if is_none else poor, seen
        if progress is not None:
            progress(number, len(listed))
    return decided


def _looked(detector: Detector, images: ImageSource, row: int) -> bool | None:
    try:
        return shows_face(detector, images.read(row))
    except ImageError:
        return None


def sampled(number: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of `number` images, drawn evenly, ascending."""
    if number <= most:
        return np.arange(number)
    return np.sort(np.random.default_rng(20261127).choice(number, most, replace=False))
