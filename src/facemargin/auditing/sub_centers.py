"""Wrong labels by a head that was trained with sub-centres (Deng et al., ECCV 2020, section 3.4): the classical remedy,
to compare the audit with.

Of a class, the sub-centre that is the nearest one to most of its images is the dominant one; images with wrong labels
gather at the others. The authors drop all other sub-centres, and the images whose angle to the dominant one is 75° or
more, and train again.

Shapes: N images, C classes, K sub-centres of a class, D values of an embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import DataError

NOISE_DEGREES = 75.0
"""From this angle to the dominant sub-centre on, the authors take an image's label for wrong."""

_BLOCK = 4096


@dataclass(frozen=True)
class DominantSubCenters:
    """`angle_N`: the angle in degrees between each image and its class's dominant sub-centre, which is how suspicious
    its label is; NaN for an image that is not finite. `center_CD`: these sub-centres, of length 1. `number_C`: which of
    the K they are, −1 for a class without images. `images_CK`: how many images of the class are nearest to each."""

    angle_N: NDArray[np.float64]
    center_CD: NDArray[np.float64]
    number_C: NDArray[np.int64]
    images_CK: NDArray[np.int64]

    @property
    def dropped(self) -> NDArray[np.bool_]:
        """Which images the authors would drop."""
        return ~(self.angle_N < NOISE_DEGREES)


def dominant_sub_centers(
    centers_CKD: ArrayLike, vectors_ND: ArrayLike, labels_N: NDArray[np.integer]
) -> DominantSubCenters:
    """The dominant sub-centres of a trained head, from the embeddings of its training set by the model that was trained
    with it. `centers_CKD` are `head.weight`, or `load_centers` of the run's head.safetensors; `labels_N` the classes of
    the images. Of sub-centres with as many images the first is the dominant one; an image that is as near to several
    counts for the first. Raises DataError for shapes or labels that do not fit.

    Examples:
        >>> import numpy as np
        >>> centers_CKD = np.array([[[1.0, 0.0], [0.0, 1.0]]])
        >>> vectors_ND = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
        >>> dominant_sub_centers(centers_CKD, vectors_ND, np.array([0, 0, 0])).dropped
        array([False, False,  True])
    """
    centers_CKD, vectors_ND = (np.asarray(values, np.float64) for values in (centers_CKD, vectors_ND))
    _check(centers_CKD, vectors_ND, labels_N)
    centers_CKD, vectors_ND = _unit(centers_CKD), _unit(vectors_ND)
    images_CK = np.zeros(centers_CKD.shape[:2], np.int64)
    for start in range(0, len(vectors_ND), _BLOCK):
        label_B = labels_N[start : start + _BLOCK]
        cosine_BK = np.einsum("bkd,bd->bk", centers_CKD[label_B], vectors_ND[start : start + _BLOCK])
        np.add.at(images_CK, (label_B, cosine_BK.argmax(1)), 1)
    number_C = images_CK.argmax(1)
    center_CD = centers_CKD[np.arange(len(centers_CKD)), number_C]
    cosine_N = np.concatenate(
        [
            (center_CD[labels_N[start : start + _BLOCK]] * vectors_ND[start : start + _BLOCK]).sum(1)
            for start in range(0, len(vectors_ND), _BLOCK)
        ]
        or [np.empty(0)]
    )
    number_C = np.where(images_CK.sum(1) > 0, number_C, -1)
    return DominantSubCenters(np.degrees(np.arccos(cosine_N.clip(-1, 1))), center_CD, number_C, images_CK)


def _check(centers_CKD: NDArray[np.float64], vectors_ND: NDArray[np.float64], labels_N: NDArray[np.integer]) -> None:
    if centers_CKD.ndim != 3:
        raise DataError(
            f"the centres have shape {centers_CKD.shape}, expected (C, K, D): train with head.sub_centers above 1"
        )
    if vectors_ND.ndim != 2 or vectors_ND.shape[1] != centers_CKD.shape[2] or labels_N.shape != vectors_ND.shape[:1]:
        raise DataError(
            f"embeddings of shape {vectors_ND.shape} and {counted(labels_N.size, 'label')} do not fit centres of shape "
            f"{centers_CKD.shape}: expected (N, {centers_CKD.shape[2]}) and N labels"
        )
    if labels_N.size and not (labels_N.min() >= 0 and labels_N.max() < len(centers_CKD)):
        raise DataError(
            f"labels run from {labels_N.min()} to {labels_N.max()}, expected 0 to {len(centers_CKD) - 1}, the classes "
            "of the head: give the images that it was trained with, those with labels alone"
        )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
