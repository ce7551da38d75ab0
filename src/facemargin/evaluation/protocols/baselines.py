"""Baselines that have learnt nothing about faces. A recogniser must be better than these before its figures mean
anything.

Shapes: N images, D pixels, C components.
"""

import cv2
import numpy as np

from facemargin.data.given_images import given_images
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embed, Embeddings
from facemargin.evaluation.metrics.pairs import FloatArray


def fit_pixel_embed(train_images: ImageSource, size: int = 64) -> Embed:
    """A recogniser that uses raw pixels: grey, `size` × `size`, minus the mean training image. Quality is the length of
    this difference.

    Raises DataError without training images.

    Examples:
        >>> import facemargin as fm
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:1-4"), size=16)
        >>> embed(fm.open_images("orl:5")).vectors.shape
        (10, 256)
    """
    mean_D = _gray_pixels(train_images, size).mean(axis=0)

    def embed(images: ImageSource) -> Embeddings:
        return _embeddings(_gray_pixels(images, size) - mean_D)

    return embed


def fit_pca_embed(train_images: ImageSource, components: int, size: int = 64) -> Embed:
    """A recogniser with whitened eigenfaces (Turk and Pentland, 1991): the vectors of `fit_pixel_embed`, projected on
    the first principal components of the training images, each divided by its standard deviation.

    Raises DataError without training images, ConfigError unless 1 ≤ components < training images.

    Examples:
        >>> import facemargin as fm
        >>> embed = fm.evaluation.fit_pca_embed(fm.open_images("orl:1-4"), components=8, size=16)
        >>> embed(fm.open_images("orl:5")).vectors.shape
        (10, 8)
    """
    pixels_ND = _gray_pixels(train_images, size)
    if not 1 <= components < len(pixels_ND):
        raise ConfigError(
            f"{components} principal components of {len(pixels_ND)} training images; expected 1 to "
            f"{len(pixels_ND) - 1} (one less than the images)"
        )
    mean_D = pixels_ND.mean(axis=0)
    _, singular, axes = np.linalg.svd(pixels_ND - mean_D, full_matrices=False)
    deviation_C = singular[:components] / np.sqrt(len(pixels_ND) - 1)
    if deviation_C[-1] <= 1e-9 * deviation_C[0]:
        raise ConfigError(f"the training images do not vary in {components} directions; use fewer components")
    whitening_DC = axes[:components].T / deviation_C

    def embed(images: ImageSource) -> Embeddings:
        return _embeddings((_gray_pixels(images, size) - mean_D) @ whitening_DC)

    return embed


def _gray_pixels(images: ImageSource, size: int) -> FloatArray:
    source = given_images(images)
    if len(source) == 0:
        raise DataError(f"{source.name} holds no images")
    rows = []
    for index in range(len(source)):
        gray = cv2.cvtColor(source.read(index), cv2.COLOR_RGB2GRAY)
        rows.append(cv2.resize(gray, (size, size), interpolation=cv2.INTER_LINEAR).ravel())
    return np.array(rows, dtype=np.float64)


def _embeddings(features_ND: FloatArray) -> Embeddings:
    norm_N = np.linalg.norm(features_ND, axis=1)
    vectors_ND = features_ND / np.maximum(norm_N, np.finfo(np.float64).tiny)[:, None]
    norms = norm_N.astype(np.float32)
    return Embeddings(vectors=vectors_ND.astype(np.float32), norms=norms, quality=norms)
