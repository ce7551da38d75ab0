"""Images in which nobody can be recognised, and images of no face.

Shapes: N images, D embedding size, M planted ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.discriminant import discriminated, likelier_second
from facemargin.auditing.planted import LISTED, Numbers
from facemargin.auditing.space import Floats, Integers, LabeledSpace
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector
from facemargin.errors import ImageError

_SIDE, _BORDER = 224, 56
_TELLING = 0.9


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
    """The probabilities (N,) that an image is not recognisable, and that it shows no face; which, if it is one of the
    two, is likelier; and whether the model's quality tells them from good pictures."""

    unrecognisable_N: Numbers
    no_face_N: Numbers
    rather_no_face_N: NDArray[np.bool_]
    quality_tells: bool

    def either(self) -> Numbers:
        """The probability (N,) that one cannot say whose picture it is; 0 where quality does not tell."""
        return np.maximum(self.unrecognisable_N, self.no_face_N) * self.quality_tells


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
    rather_N = likelier_second(real.measures(), tiny.measures(), no_faces.measures())
    tells = quality_tells(real.quality, tiny.quality)
    return Unusable(_as_planted(real, tiny), _as_planted(real, no_faces), rather_N, tells)


def _as_planted(real: Measured, planted: Measured) -> Numbers:
    """The probability (N,) by all measures, and at most that by the quality alone, if this tells planted pictures: a
    good picture that fits nobody has a wrong label."""
    real_NF, planted_MF = real.measures(), planted.measures()
    together_N = discriminated(real_NF, planted_MF).probability_K
    if not quality_tells(real.quality, planted.quality):
        return together_N
    return np.minimum(together_N, discriminated(real_NF[:, :1], planted_MF[:, :1]).probability_K)


def quality_tells(quality_N: Floats, planted_M: Floats) -> bool:
    """Whether an image is better than a planted picture nine times in ten. Not every model's quality tells."""
    if not len(quality_N) or not len(planted_M):
        return False
    better_M = 1 - np.searchsorted(np.sort(quality_N), planted_M, side="right") / len(quality_N)
    return bool(better_M.mean() >= _TELLING)


def shows_face(detector: Detector, image: RGBImage) -> bool:
    """Whether the detector finds a face in an aligned picture, also turned by 90°, 180° or 270°, which is enlarged and
    given a border first: detectors expect a face to be a part of the picture, and upright."""
    large = cv2.copyMakeBorder(resize_square(image, _SIDE), *4 * (_BORDER,), cv2.BORDER_REPLICATE)
    return any(detector.detect(np.ascontiguousarray(np.rot90(large, turns))) for turns in range(4))


def decide_kinds(
    found: Unusable,
    images: ImageSource,
    detector: Detector | None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, tuple[bool, float, bool | None]]:
    """{image: (whether it shows no face, probability, whether the detector found a face in it)} of all that are listed.

    The likelier kind. A detector looks at those that seem to show no face: one in which it finds one does."""
    listed = np.flatnonzero(np.maximum(found.unrecognisable_N, found.no_face_N) >= LISTED)
    decided: dict[int, tuple[bool, float, bool | None]] = {}
    for number, row in enumerate(listed.tolist(), 1):
        poor, none = float(found.unrecognisable_N[row]), float(found.no_face_N[row])
        is_none = none >= LISTED and (poor < LISTED or bool(found.rather_no_face_N[row]))
        seen = _looked(detector, images, row) if is_none and detector is not None else None
        is_none = is_none and not seen
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
