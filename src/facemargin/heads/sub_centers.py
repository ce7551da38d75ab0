"""Sub-centres (Deng et al., ECCV 2020, "Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy Web Faces"):
a class has K centres, and its cosine is the largest of the K,

    c_j = max_k cos(x, w_jk),

so that wrongly labelled images of a class can gather at a centre of their own. The gradient goes to the nearest centre
alone. Centres of shape (C, K, D) have K sub-centres a class, those of shape (C, D) are ordinary ones.

Shapes: B samples, C classes, K sub-centres of a class, R = C·K centres, D feature values.
"""

import torch
from torch import Tensor

from facemargin.heads.normalization import nonzero

# Their numbers are kept as bytes.
MOST_SUB_CENTERS = 255


def num_sub_centers(w_CD: Tensor) -> int:
    """How many centres a class has."""
    return 1 if w_CD.ndim == 2 else w_CD.shape[1]


def center_rows(w_CD: Tensor) -> Tensor:
    """All centres one below the other, (R, D): those of class j are the rows j·K to j·K + K − 1."""
    return w_CD if w_CD.ndim == 2 else w_CD.flatten(0, 1)


def largest_of_class(cosine_BR: Tensor, w_CD: Tensor) -> Tensor:
    """The cosines to the classes, (B, C), from those to all centres of `w_CD`, (B, R)."""
    return cosine_BR if w_CD.ndim == 2 else cosine_BR.unflatten(1, w_CD.shape[:2]).max(2).values


@torch.no_grad()
def nearest_rows(x_BD: Tensor, w_CD: Tensor, y_B: Tensor) -> Tensor:
    """The row in `center_rows` of the sub-centre of class `y_B`, in [0, C), that is nearest to each sample, (B,); the
    first of several as near."""
    if w_CD.ndim == 2:
        return y_B
    w_BKD = w_CD[y_B]
    cosine_BK = (w_BKD * x_BD[:, None]).sum(2) / nonzero(torch.linalg.vector_norm(w_BKD, dim=2))
    return y_B * w_CD.shape[1] + cosine_BK.argmax(1)
