"""Accuracy of verification as MagFace's script measures it: features are centred before their angle is taken.

Shapes: K pairs, D embedding size, F folds, T thresholds.
"""

import numpy as np
from numpy.typing import ArrayLike

from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_flags, as_numbers
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.verification import VerificationAccuracy, fold_numbers

ANGLES_T = np.arange(0, 4, 0.01)
"""Thresholds on the angle divided by π, as in the script. Thresholds of 1 and more accept everything."""


def centered_accuracy(
    features_a: ArrayLike, features_b: ArrayLike, same: ArrayLike, folds: int | ArrayLike = 10
) -> VerificationAccuracy:
    """k-fold accuracy by the 1:1 script of MagFace (Meng et al., CVPR 2021; eval_1v1.py, subtract_mean): for each fold,
    the mean of all features of the other folds' pairs is subtracted from every feature, and a pair is accepted if the
    angle between its two features, divided by π, is below a threshold. The threshold is the first of 0, 0.01, … 3.99
    that is best on the other folds.

    `features_a`, `features_b` (K, D): the features of each side of the pairs, not normalised, because their norms are
    weights in the mean. `same` (K,): True for genuine pairs. `folds`: as in `verification_accuracy`. Thresholds are
    reported as cosines; there is no interval. Raises DataError for arrays that do not fit, features that are not
    finite, and a feature that equals the mean.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> draws = np.random.default_rng(0)
        >>> first = draws.normal(size=(40, 8))
        >>> second = np.where(np.arange(40)[:, None] < 20, first, draws.normal(size=(40, 8)))
        >>> found = fm.evaluation.centered_accuracy(first, second, np.arange(40) < 20, np.arange(40) % 10)
        >>> round(found.mean, 2)
        1.0
    """
    same_K = as_flags("same", same, "True (1) for genuine", "False (0) for impostor")
    a_KD, b_KD = _features("features_a", features_a), _features("features_b", features_b)
    if same_K.ndim != 1 or a_KD.shape != b_KD.shape or len(a_KD) != len(same_K):
        raise DataError(
            f"features_a {a_KD.shape}, features_b {b_KD.shape} and same {same_K.shape} do not fit; expected (K, D) "
            "twice and (K,)"
        )
    fold_K = fold_numbers(folds, same_K)
    accuracies, thresholds = [], []
    for fold in range(int(fold_K.max()) + 1):
        others_K = fold_K != fold
        # both sides have the same number of features, so the mean of all is the mean of the two means
        mean_D = (a_KD[others_K].mean(axis=0) + b_KD[others_K].mean(axis=0)) / 2
        angle_K = _angles(a_KD - mean_D, b_KD - mean_D)
        right_T = [np.count_nonzero((angle_K[others_K] < angle) == same_K[others_K]) for angle in ANGLES_T]
        best = ANGLES_T[int(np.argmax(right_T))]
        accuracies.append(float(np.mean((angle_K[~others_K] < best) == same_K[~others_K])))
        thresholds.append(float(np.cos(np.pi * min(best, 1.0))))
    return VerificationAccuracy(
        float(np.mean(accuracies)), float(np.std(accuracies)), tuple(accuracies), tuple(thresholds)
    )


def _features(name: str, features: ArrayLike) -> FloatArray:
    features_KD: FloatArray = as_numbers(name, features).astype(np.float64, copy=False)
    if features_KD.ndim != 2 or not np.isfinite(features_KD).all():
        raise DataError(f"{name} has shape {features_KD.shape}, expected (K, D) of finite numbers")
    return features_KD


def _angles(a_KD: FloatArray, b_KD: FloatArray) -> FloatArray:
    """Angles divided by π."""
    norms_K = np.linalg.norm(a_KD, axis=1) * np.linalg.norm(b_KD, axis=1)
    if not norms_K.all():
        raise DataError(
            f"pair {int(np.argmin(norms_K))} has a feature that equals the mean feature of the other folds, so it "
            "has no direction after centring"
        )
    angles_K: FloatArray = np.arccos(np.clip((a_KD * b_KD).sum(axis=1) / norms_K, -1, 1)) / np.pi
    return angles_K
