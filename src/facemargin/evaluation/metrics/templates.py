"""Templates: one vector for all images of a person in one setting (IJB).

Shapes: N images, E images of templates, D embedding size, M media (pairs of template and media), S templates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_identities, as_numbers, as_rows
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.evaluation.metrics.tensors import as_tensor

IMAGES_A_BLOCK = 2**13


@dataclass(frozen=True, repr=False)
class Templates:
    """`ids` (S,) ascending and `vectors` (S, D) of unit length, float32 where the features are, else float64.

    Examples:
        >>> import facemargin as fm
        >>> found = fm.evaluation.pool_templates([[2.0, 0], [0, 1], [1, 0]], ["a", "b", "b"], [1, 2, 3])
        >>> found.ids.tolist(), found.vectors.round(2).tolist()
        (['a', 'b'], [[1.0, 0.0], [0.71, 0.71]])
        >>> found
        Templates(2 templates of 2 values)
    """

    ids: NDArray[Any]
    vectors: NDArray[Any]

    def __repr__(self) -> str:
        return f"Templates({counted(len(self.ids), 'template')} of {counted(self.vectors.shape[-1], 'value')})"


def pool_templates(
    features: ArrayLike,
    template_ids: ArrayLike,
    media_ids: ArrayLike,
    image_weights: ArrayLike | None = None,
    normalize_media: bool = False,
    image_rows: ArrayLike | None = None,
) -> Templates:
    """Pool features (N, D) into templates by IJB's protocol: the mean within each media of a template, the sum over its
    media, then unit length.

    A video's many frames thus count as much as one still. Features keep their norms unless the caller normalises them.
    `image_weights` (N,) multiplies them first (InsightFace: the detector's scores); `normalize_media` gives each
    media's mean unit length before the sum (MagFace). If images are in several templates or in none, `image_rows` (E,)
    gives the row of the features for each of the (E,) template ids, media ids and weights.

    Features may be memory-mapped; they are not copied as a whole, and the media of `IMAGES_A_BLOCK` images are held at
    a time. Raises DataError for arrays that do not fit, for features that are not finite, and for a template with a sum
    of zero (the message names it).

    Examples:
        >>> import facemargin as fm
        >>> found = fm.evaluation.pool_templates([[2.0, 0], [0, 1], [1, 0]], ["a", "b", "b"], [1, 2, 3])
        >>> found.ids.tolist(), found.vectors.round(2).tolist()
        (['a', 'b'], [[1.0, 0.0], [0.71, 0.71]])
    """
    features_ND = _float_rows(features)
    images_E = np.arange(len(features_ND)) if image_rows is None else as_rows("image_rows", image_rows)
    if images_E.ndim != 1 or not len(images_E) or images_E.min() < 0 or images_E.max() >= len(features_ND):
        raise DataError(
            "image_rows must be a non-empty array (E,) of row numbers of the features, from 0 to "
            f"{len(features_ND) - 1}"
        )
    templates_E = _per_image("template_ids", template_ids, images_E)
    media_E = _per_image("media_ids", media_ids, images_E)
    order_E = np.lexsort((media_E, templates_E))
    rows_E, templates_E, media_E = images_E[order_E], templates_E[order_E], media_E[order_E]
    new_template_E = _changes(templates_E)
    template_first_S = np.flatnonzero(new_template_E)
    media_first_M = np.flatnonzero(new_template_E | _changes(media_E))
    media_size_M = np.diff(media_first_M, append=len(rows_E))
    # the share of an image in the mean of its media
    share_E = np.repeat(1 / media_size_M, media_size_M)
    if image_weights is not None:
        share_E *= _weights(image_weights, images_E, template_ids)[order_E]

    ids_S = templates_E[template_first_S]
    vectors_SD = np.empty((len(ids_S), features_ND.shape[1]), features_ND.dtype)
    for templates, images in _blocks(template_first_S, len(rows_E)):
        media_first, media_end = np.searchsorted(media_first_M, [images.start, images.stop])
        firsts_M = media_first_M[media_first:media_end]
        means_MD = _sums(features_ND, rows_E[images], firsts_M - images.start, share_E[images])
        if normalize_media:
            _to_unit_length(means_MD, templates_E[firsts_M], features_ND, rows_E[images], media_E[firsts_M])
        of_template_S = np.searchsorted(firsts_M, template_first_S[templates])
        vectors_SD[templates] = _sums(means_MD, np.arange(len(means_MD)), of_template_S)
        _to_unit_length(vectors_SD[templates], ids_S[templates], features_ND, rows_E[images])
    return Templates(ids_S, vectors_SD)


def _float_rows(features: ArrayLike) -> NDArray[Any]:
    features_ND = as_numbers("features", features)
    if features_ND.dtype != np.float32:
        features_ND = features_ND.astype(np.float64)
    if features_ND.ndim != 2 or len(features_ND) == 0:
        raise DataError(f"features has shape {features_ND.shape}, expected (N, D) with at least one image")
    return features_ND


def _per_image(name: str, values: ArrayLike, images_E: IntArray) -> NDArray[Any]:
    values_E = as_identities(name, values)
    if values_E.shape != images_E.shape:
        raise DataError(f"{name} has shape {values_E.shape}, expected ({len(images_E)},): one per image")
    return values_E


def _weights(image_weights: ArrayLike, images_E: IntArray, template_ids: ArrayLike) -> NDArray[np.float64]:
    """Weights (E,). Raises DataError for negative or not finite weights; the message names the first, its image and
    template."""
    weights_E = as_numbers("image_weights", image_weights)
    if weights_E.shape != images_E.shape:
        raise DataError(f"image_weights has shape {weights_E.shape}, expected ({len(images_E)},): one per image")
    usable_E = np.isfinite(weights_E) & (weights_E >= 0)
    if not usable_E.all():
        at = int(np.argmin(usable_E))
        raise DataError(
            f"image_weights[{at}] is {weights_E[at]:g} (image {images_E[at]}, template "
            f"{np.asarray(template_ids)[at]}; {np.count_nonzero(~usable_E)} in all), expected finite numbers of "
            "at least 0"
        )
    return weights_E.astype(np.float64)


def _changes(values_E: NDArray[Any]) -> NDArray[np.bool_]:
    """True for the first value and for every value that differs from the one before it."""
    return np.append(True, values_E[1:] != values_E[:-1])


def _blocks(template_first_S: IntArray, images: int) -> Iterator[tuple[slice, slice]]:
    """Slices of templates and of their images. A slice has up to `IMAGES_A_BLOCK` images, or one template."""
    ends_S = np.append(template_first_S[1:], images)
    start = 0
    while start < len(ends_S):
        first = template_first_S[start]
        stop = max(start + 1, int(np.searchsorted(ends_S, first + IMAGES_A_BLOCK, side="right")))
        yield slice(start, stop), slice(first, ends_S[stop - 1])
        start = stop


def _sums(
    rows_ND: NDArray[Any], chosen_E: IntArray, firsts_M: IntArray, weights_E: NDArray[Any] | None = None
) -> NDArray[Any]:
    """The weighted sums (M, D) of the chosen rows. Sum m is over the rows from position firsts_M[m] up to the next
    one."""
    weights = None if weights_E is None else as_tensor(weights_E.astype(rows_ND.dtype))
    sums_MD: NDArray[Any] = F.embedding_bag(
        as_tensor(chosen_E), as_tensor(rows_ND), as_tensor(firsts_M), mode="sum", per_sample_weights=weights
    ).numpy()
    return sums_MD


def _to_unit_length(
    vectors_XD: NDArray[Any],
    template_X: NDArray[Any],
    features_ND: NDArray[Any],
    rows_E: IntArray,
    media_X: NDArray[Any] | None = None,
) -> None:
    """Divide the vectors by their norms, in place. For messages: `template_X` are the templates of the vectors,
    `rows_E` their images, and `media_X` the media of each vector if it is the mean of one."""
    norms_X = np.linalg.norm(vectors_XD, axis=1)
    if not np.isfinite(norms_X).all():
        bad_E = rows_E[~np.isfinite(features_ND[rows_E]).all(axis=1)]
        which = (
            f"the features of {counted(len(bad_E), 'image')} are not finite; the first is image {bad_E.min()}"
            if len(bad_E)
            else (f"features of template {template_X[np.argmin(np.isfinite(norms_X))]} are too large to be summed")
        )
        raise DataError(which)
    if not norms_X.all():
        zero = int(np.argmin(norms_X))
        media = "" if media_X is None else f"media {media_X[zero]} of "
        raise DataError(f"the features of {media}template {template_X[zero]} add up to zero, which has no direction")
    vectors_XD /= norms_X[:, None]
