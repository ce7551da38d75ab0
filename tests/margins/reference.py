"""Every loss as a loop over samples and classes in float64: the papers' equations, nothing vectorised, no framework.

Each `*_target` gets the cosine to the own class, the feature norm, the sample's q where the loss has one, and returns
the target logit. `reference_losses` turns target logits into the batch's per-sample cross-entropies.
"""

import math

import numpy as np


def cosines(features: np.ndarray, centres: np.ndarray) -> list[list[float]]:
    rows = []
    for x in features:
        x_norm = math.sqrt(sum(v * v for v in x))
        rows.append([])
        for w in centres:
            w_norm = math.sqrt(sum(v * v for v in w))
            rows[-1].append(sum(a * b for a, b in zip(x, w, strict=True)) / (x_norm * w_norm))
    return rows


def norms(features: np.ndarray) -> list[float]:
    return [math.sqrt(sum(v * v for v in x)) for x in features]


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def mean_std(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def cross_entropies(cosine_rows, labels, target_logits, scale) -> list[float]:
    losses = []
    for row, label, target in zip(cosine_rows, labels, target_logits, strict=True):
        logits = [target if j == label else scale * c for j, c in enumerate(row)]
        peak = max(logits)
        losses.append(peak + math.log(sum(math.exp(v - peak) for v in logits)) - target)
    return losses


def normface_target(c, a, q):
    return 64 * c


def cosface_target(c, a, q):
    return 64 * (c - 0.35)


def arcface_target(c, a, q, epsilon=1e-4):
    theta = math.acos(clip(c, -1 + epsilon, 1 - epsilon))
    return 64 * math.cos(clip(theta + 0.5, epsilon, math.pi - epsilon))


def combined_target(c, a, q, m1=0.9, m2=0.4, m3=0.15, epsilon=1e-4):
    theta = math.acos(clip(c, -1 + epsilon, 1 - epsilon))
    return 64 * (math.cos(clip(m1 * theta + m2, epsilon, math.pi - epsilon)) - m3)


def magface_margin(a):
    a = clip(a, 10, 110)
    return (0.8 - 0.45) / (110 - 10) * (a - 10) + 0.45


def magface_target(c, a, q):
    return 64 * (math.cos(math.acos(c) + magface_margin(a)) if c > 0 else c)


def magface_hard_target(c, a, q):
    m = magface_margin(a)
    return 64 * (math.cos(math.acos(c) + m) if c > math.cos(math.pi - m) else c - m * math.sin(math.pi - m))


def magface_regulariser(feature_norms):
    clamped = [clip(a, 10, 110) for a in feature_norms]
    return 35 * sum(a / 110**2 + 1 / a for a in clamped) / len(clamped)


def _adaptive_target(c, q, epsilon, m=0.4):
    theta = math.acos(clip(c, -1 + epsilon, 1 - epsilon))
    return 64 * (math.cos(clip(theta - m * q, epsilon, math.pi - epsilon)) - (m + m * q))


def adaface_target(c, a, q):
    return _adaptive_target(c, q, 1e-3)


def funface_target(c, a, q):
    return _adaptive_target(c, q, 1e-5)


def adaface_q(feature_norms, cosine_rows, labels, state, epsilon=1e-3, alpha=0.01, h=0.333):
    """Updates `state` (mean, std of the norm) as the paper does before use, and returns each sample's q."""
    clipped = [clip(a, 0.001, 100) for a in feature_norms]
    mean, std = mean_std(clipped)
    state["mean"] = alpha * mean + (1 - alpha) * state.get("mean", 20)
    state["std"] = alpha * std + (1 - alpha) * state.get("std", 100)
    return [clip(h * (a - state["mean"]) / (state["std"] + epsilon), -1, 1) for a in clipped]


def funface_q(feature_norms, cosine_rows, labels, state, epsilon=1e-5, alpha=0.01, h=0.333, mixing=0.1):
    q_norm = adaface_q(feature_norms, cosine_rows, labels, state, epsilon)
    ratios = []
    for row, label in zip(cosine_rows, labels, strict=True):
        hardest = max(c for j, c in enumerate(row) if j != label)
        ratios.append(clip(row[label], 0, 1) / (clip(hardest, 0, 1) + epsilon))
    mean, std = mean_std(ratios)
    state["ratio_mean"] = alpha * mean + (1 - alpha) * state.get("ratio_mean", 2)
    state["ratio_std"] = alpha * std + (1 - alpha) * state.get("ratio_std", 10)
    q_ratio = [clip(h * (r - state["ratio_mean"]) / (state["ratio_std"] + epsilon), -1, 1) for r in ratios]
    return [mixing * u + (1 - mixing) * v for u, v in zip(q_ratio, q_norm, strict=True)]


def no_q(feature_norms, cosine_rows, labels, state):
    return [None] * len(labels)


# name -> (create_head's margin, its settings, the reference's q and target logit)
LOSSES = {
    "normface": ("normface", {}, no_q, normface_target),
    "cosface": ("cosface", {}, no_q, cosface_target),
    "arcface": ("arcface", {}, no_q, arcface_target),
    "arcface-insightface": ("arcface", {"gradient": "insightface"}, no_q, arcface_target),
    "combined": ("combined", {"m1": 0.9, "m2": 0.4, "m3": 0.15}, no_q, combined_target),
    "magface": ("magface", {}, no_q, magface_target),
    "magface-hard": ("magface", {"easy_margin": False}, no_q, magface_hard_target),
    "adaface": ("adaface", {}, adaface_q, adaface_target),
    "funface": ("funface", {}, funface_q, funface_target),
}


def reference_step(name, features, labels, centres, state):
    """One step's (mean loss, per-sample cross-entropies, per-sample q), advancing `state`."""
    _, _, q_of, target_of = LOSSES[name]
    rows, feature_norms = cosines(features, centres), norms(features)
    q = q_of(feature_norms, rows, labels, state)
    targets = [target_of(row[label], a, qi) for row, label, a, qi in zip(rows, labels, feature_norms, q, strict=True)]
    losses = cross_entropies(rows, labels, targets, 64)
    total = sum(losses) / len(losses)
    if name.startswith("magface"):
        total += magface_regulariser(feature_norms)
    return total, losses, q
