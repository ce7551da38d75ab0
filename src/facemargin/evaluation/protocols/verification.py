"""One-to-one verification: every pair of a set, scored by one system. Shapes: N images, K pairs, D embedding size."""

import numpy as np

from facemargin.counting import counted
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embed, Embeddings
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.scores import PairScores

PAIRS_A_BLOCK = 2**15


def evaluate_verification(embed: Embed, verification_set: VerificationSet, system: str) -> PairScores:
    """Compute the cosine of every pair of the set with the vectors of `embed`, with its qualities, identities and
    folds.

    `embed` is called once with the images of the set. `system` is its name in reports. Raises CorruptImageError, which
    names the image, if an image cannot be read, because leaving out its pairs would change the test. Raises DataError
    if `embed` returns a wrong number of vectors, or a vector that is not finite (the message names the image).

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> found = fm.evaluation.evaluate_verification(embed, pairs, "pixels")
        >>> len(found.scores_K), found.system
        (780, 'pixels')
    """
    if not isinstance(verification_set, VerificationSet):
        raise ConfigError(
            f"the set is a {type(verification_set).__name__}, expected a VerificationSet: open_verification of "
            "facemargin.data.open reads one from a path"
        )
    images = verification_set.images
    if not callable(embed):
        raise ConfigError(f"embed is a {type(embed).__name__}, expected a function of images, such as model.embed")
    embeddings = embed(images)
    if len(embeddings) != len(images):
        raise DataError(
            f"{system} returned {counted(len(embeddings), 'embedding')} for the {counted(len(images), 'image')} of "
            f"{images.name}; expected one per image, in order"
        )
    for name, values in (("vector", embeddings.vectors), ("quality", embeddings.quality[:, None])):
        finite_N = np.isfinite(values).all(axis=1)
        if not finite_N.all():
            raise DataError(
                f"{system} returned a {name} that is not finite for {images.describe(int(np.argmin(finite_N)))}"
            )
    zero_N = ~np.asarray(embeddings.vectors).any(axis=1)
    if zero_N.any():
        raise DataError(
            f"{system} returned a vector of zeros, which has no direction, for "
            f"{images.describe(int(np.argmax(zero_N)))} ({np.count_nonzero(zero_N):,} of "
            f"{counted(len(images), 'image')})"
        )

    first_K, second_K = verification_set.first_K, verification_set.second_K
    quality_N = embeddings.quality.astype(np.float64)
    identities_N = verification_set.identities_N
    return PairScores(
        system=system,
        dataset=verification_set.name,
        scores_K=_cosines(embeddings, first_K, second_K),
        same_K=verification_set.same_K,
        quality_a_K=quality_N[first_K],
        quality_b_K=quality_N[second_K],
        identities_a_K=None if identities_N is None else identities_N[first_K],
        identities_b_K=None if identities_N is None else identities_N[second_K],
        folds_K=verification_set.folds_K,
    )


def _cosines(embeddings: Embeddings, first_K: IntArray, second_K: IntArray) -> FloatArray:
    """Dot products of unit vectors in float64, computed in blocks, because K may be much larger than N."""
    cosine_K = np.empty(len(first_K))
    for start in range(0, len(first_K), PAIRS_A_BLOCK):
        block = slice(start, start + PAIRS_A_BLOCK)
        left, right = embeddings.vectors[first_K[block]], embeddings.vectors[second_K[block]]
        cosine_K[block] = np.einsum("kd,kd->k", left, right, dtype=np.float64)
    return cosine_K
