"""Images that embeddings say are like faces of 8 pixels, or like no face.

Shapes: N images, D embedding size, M planted ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.discriminant import discriminated, likelier_second
from facemargin.auditing.planted import Numbers
from facemargin.auditing.space import Floats, Integers, LabeledSpace

_TELLING = 0.9


@dataclass(frozen=True)
class Measured:
    """Of images: `quality`, the cosine to the centre of the `own` label without the image, and to the `nearest` of
    all labels, that included."""

    quality: Floats
    own: Floats
    nearest: Floats

    def measures(self) -> Numbers:
        """(N, 3), higher is worse; the quality on a logarithmic scale where it is positive."""
        quality_N = self.quality.astype(np.float64)
        if quality_N.min(initial=1) > 0:
            quality_N = np.log(quality_N)
        own_N = np.where(np.isfinite(self.own), self.own, self.nearest)
        return -np.stack([quality_N, own_N, self.nearest], axis=1)


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
    together_N = discriminated(real_NF, planted_MF).probability_N
    if not quality_tells(real.quality, planted.quality):
        return together_N
    return np.minimum(together_N, discriminated(real_NF[:, :1], planted_MF[:, :1]).probability_N)


def quality_tells(quality_N: Floats, planted_M: Floats) -> bool:
    """Whether an image is better than a planted picture nine times in ten. Not every model's quality tells."""
    if not len(quality_N) or not len(planted_M):
        return False
    better_M = 1 - np.searchsorted(np.sort(quality_N), planted_M, side="right") / len(quality_N)
    return bool(better_M.mean() >= _TELLING)


def sampled(number: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of `number` images, drawn evenly, ascending."""
    if number <= most:
        return np.arange(number)
    return np.sort(np.random.default_rng(20261127).choice(number, most, replace=False))
