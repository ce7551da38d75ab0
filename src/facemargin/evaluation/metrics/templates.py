"""Templates: one vector for all images of a person in one setting (IJB). Shapes: N images, D embedding size, M media
(pairs of template and media), S templates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray


@dataclass(frozen=True)
class Templates:
    """`ids` (S,) ascending and `vectors` (S, D) of unit length."""

    ids: NDArray
    vectors: FloatArray


def pool_templates(
    features: ArrayLike,
    template_ids: ArrayLike,
    media_ids: ArrayLike,
    image_weights: ArrayLike | None = None,
    normalise_media: bool = False,
) -> Templates:
    """Mean of the features (N, D) within each media of a template, sum over its media, unit length (IJB's protocol).

    A video's many frames thus count as much as one still. Features keep their norms unless the caller normalises them.
    `image_weights` (N,) multiplies them first (InsightFace: the detector's scores); `normalise_media` gives each
    media's mean unit length before the sum (MagFace). Raises DataError for arrays that do not fit, features that are
    not finite, and a template (named) that pools to zero.
    """
    features_ND = np.asarray(features, dtype=np.float64)
    templates_N, media_N = np.asarray(template_ids), np.asarray(media_ids)
    if features_ND.ndim != 2 or len(features_ND) == 0:
        raise DataError(f"features has shape {features_ND.shape}, expected (N, D) with at least one image")
    _check_per_image("template_ids", templates_N, features_ND)
    _check_per_image("media_ids", media_N, features_ND)
    bad_N = ~np.isfinite(features_ND).all(axis=1)
    if bad_N.any():
        raise DataError(f"features of {np.count_nonzero(bad_N)} images are not finite; the first is {np.argmax(bad_N)}")
    if image_weights is not None:
        weights_N = np.asarray(image_weights, dtype=np.float64)
        _check_per_image("image_weights", weights_N, features_ND)
        features_ND = features_ND * weights_N[:, None]

    order_N = np.lexsort((media_N, templates_N))
    templates_N, media_N = templates_N[order_N], media_N[order_N]
    new_template_N = np.append(True, templates_N[1:] != templates_N[:-1])
    first_M = np.flatnonzero(new_template_N | np.append(True, media_N[1:] != media_N[:-1]))
    media_MD = np.add.reduceat(features_ND[order_N], first_M) / _run_lengths(first_M, len(order_N))[:, None]
    if normalise_media:
        media_MD = _unit_rows(media_MD, templates_N[first_M])
    first_S = np.flatnonzero(new_template_N[first_M])
    ids_S = templates_N[first_M][first_S]
    return Templates(ids_S, _unit_rows(np.add.reduceat(media_MD, first_S), ids_S))


def _check_per_image(name: str, values: NDArray, features_ND: FloatArray) -> None:
    if values.shape != features_ND.shape[:1]:
        raise DataError(f"{name} has shape {values.shape}, expected ({len(features_ND)},): one per image")


def _run_lengths(firsts: IntArray, total: int) -> IntArray:
    return np.diff(np.append(firsts, total))


def _unit_rows(vectors: FloatArray, template_ids: NDArray) -> FloatArray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (norms == 0).any():
        raise DataError(f"template {template_ids[np.argmin(norms)]} pools to a zero vector, which has no direction")
    return vectors / norms
