"""Every loss as a loop over samples and classes in float64: the papers' equations, nothing vectorised, no framework.

Each `*_target` gets the cosine to the own class, the feature norm, the sample's q where the loss has one, and returns
the target logit. `reference_losses` turns target logits into the batch's per-sample cross-entropies.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def cosines(features: np.ndarray, centers: np.ndarray) -> list[list[float]]:
    rows = []
    for x in features:
        x_norm = math.sqrt(sum(v * v for v in x))
        rows.append([])
        for w in centers:
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


def cross_entropies(cosine_rows, labels, target_logits, scales) -> list[float]:
    losses = []
    for row, label, target, scale in zip(cosine_rows, labels, target_logits, scales, strict=True):
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


def unclipped_arcface_target(c, a, q, epsilon=1e-4):
    return 64 * math.cos(math.acos(clip(c, -1 + epsilon, 1 - epsilon)) + 0.5)


def unclipped_combined_target(c, a, q, m1=0.9, m2=0.6, m3=0.15, epsilon=1e-4):
    return 64 * (math.cos(m1 * math.acos(clip(c, -1 + epsilon, 1 - epsilon)) + m2) - m3)


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
    q_norm = adaface_q(feature_norms, cosine_rows, labels, state, epsilon, alpha, h)
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


def curricularface_target(c, a, q):
    return 64 * (math.cos(math.acos(c) + 0.5) if c > math.cos(math.pi - 0.5) else c - 0.5 * math.sin(math.pi - 0.5))


def curricularface_negative(negative, c, state):
    if negative > math.cos(math.acos(c) + 0.5):
        return negative * (state["t"] + negative)
    return negative


def curricularface_q(feature_norms, cosine_rows, labels, state):
    """Only advances t; the margin is constant."""
    own = [row[label] for row, label in zip(cosine_rows, labels, strict=True)]
    state["t"] = 0.01 * sum(own) / len(own) + 0.99 * state.get("t", 0)
    return no_q(feature_norms, cosine_rows, labels, state)


def mv_am_target(c, a, q):
    return 32 * (c - 0.35 if c > 0 else c)


def mv_arc_target(c, a, q):
    return 32 * (math.cos(math.acos(c) + 0.35) if c > 0 else c)


def mv_am_hard_target(c, a, q):
    return 32 * (c - 0.35)


def mv_arc_hard_target(c, a, q):
    return 32 * (math.cos(math.acos(c) + 0.35) if c > math.cos(math.pi - 0.35) else c - 0.35 * math.sin(0.35))


def mv_am_negative(negative, c, state):
    return 1.2 * negative + 0.2 if negative > c - 0.35 else negative


def mv_arc_negative(negative, c, state):
    return 1.2 * negative + 0.2 if negative > math.cos(math.acos(c) + 0.35) else negative


def elastic_arc_target(c, a, q):
    return 64 * math.cos(math.acos(c) + q)


def elastic_cos_target(c, a, q):
    return 64 * (c - q)


def elastic_q(mean, sigma, order):
    def margins(feature_norms, cosine_rows, labels, state):
        state["step"] = state.get("step", 0) + 1
        philox = np.random.Philox(key=[0, 0], counter=[0, 0, 3, state["step"]])
        draws = list(np.random.Generator(philox).normal(mean, sigma, len(labels)))
        if order == "random":
            return draws
        own = [row[label] for row, label in zip(cosine_rows, labels, strict=True)]
        easiest_first = sorted(range(len(own)), key=lambda i: -own[i])
        if order == "released":
            return [sorted(draws)[i] for i in easiest_first]
        # The k-th easiest sample gets the k-th smallest margin.
        return [sorted(draws)[easiest_first.index(i)] for i in range(len(own))]

    return margins


def sphereface_q(feature_norms, cosine_rows, labels, state):
    """Only advances λ; the margin is constant."""
    state["step"] = state.get("step", 0) + 1
    annealing = max(5, 1000 / (1 + 0.12 * state["step"]))
    return [annealing] * len(labels)


def sphereface_target(c, a, annealing):
    theta = math.acos(c)
    k = min(int(theta / (math.pi / 4)), 3)
    psi = (-1) ** k * math.cos(4 * theta) - 2 * k
    return a * (annealing * c + psi) / (1 + annealing)


def filtered_negative(negative, c, state):
    return 0.0 if negative > 0.3 else negative


def similarity(c):
    return 2 * ((c + 1) / 2) ** 3 - 1


def sphereface2_bias(classes):
    """By bisection: where all cosines are 0, the own class's pull, .7·σ(−own logit), equals that of all others."""

    def excess(bias):
        own, other = 40 * (similarity(0) - 0.4) + bias, 40 * (similarity(0) + 0.4) + bias
        return 0.7 / (1 + math.exp(own)) - 0.3 * (classes - 1) / (1 + math.exp(-other))

    low, high = -100.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


def no_target(c, a, q):
    return None


def sphereface2_losses(cosine_rows, labels, target_logits, scales):
    losses, bias = [], sphereface2_bias(len(cosine_rows[0]))
    for row, label in zip(cosine_rows, labels, strict=True):
        own = math.log1p(math.exp(-40 * (similarity(row[label]) - 0.4) - bias))
        others = [math.log1p(math.exp(40 * (similarity(c) + 0.4) + bias)) for j, c in enumerate(row) if j != label]
        losses.append(50 / 40 * (0.7 * own + 0.3 * sum(others)))
    return losses


def uniface_losses(cosine_rows, labels, target_logits, scales, weight=1.0):
    losses, bias = [], math.log(10 * len(cosine_rows[0]))
    for row, label in zip(cosine_rows, labels, strict=True):
        own = math.log1p(math.exp(-64 * (row[label] - 0.4) + bias))
        losses.append(own + weight * sum(math.log1p(math.exp(64 * c - bias)) for j, c in enumerate(row) if j != label))
    return losses


def weighted_uniface_losses(cosine_rows, labels, target_logits, scales):
    return uniface_losses(cosine_rows, labels, target_logits, scales, weight=0.25)


@dataclass
class Loss:
    """create_head's margin and settings; the reference's q, target logit, replaced negative, and scale (None: the
    feature norm)."""

    margin: str
    target: Callable
    q: Callable = no_q
    negative: Callable = lambda negative, c, state: negative
    scale: float | None = 64
    settings: dict[str, Any] = field(default_factory=dict)
    #: whether q is what margin_scaler_B returns
    returns_q: bool = True
    losses: Callable = cross_entropies


LOSSES = {
    "normface": Loss("normface", normface_target),
    "cosface": Loss("cosface", cosface_target),
    "cosface-filtered": Loss(
        "cosface", cosface_target, negative=filtered_negative, settings={"interclass_filtering_threshold": 0.3}
    ),
    "arcface": Loss("arcface", arcface_target),
    "arcface-insightface": Loss("arcface", arcface_target, settings={"gradient": "insightface"}),
    "arcface-unclipped": Loss("arcface", unclipped_arcface_target, settings={"clip_angle": False}),
    "combined-unclipped": Loss(
        "combined", unclipped_combined_target, settings={"m1": 0.9, "m2": 0.6, "m3": 0.15, "clip_angle": False}
    ),
    "combined": Loss("combined", combined_target, settings={"m1": 0.9, "m2": 0.4, "m3": 0.15}),
    "magface": Loss("magface", magface_target),
    "magface-hard": Loss("magface", magface_hard_target, settings={"easy_margin": False}),
    "adaface": Loss("adaface", adaface_target, adaface_q),
    "funface": Loss("funface", funface_target, funface_q),
    "funface-filtered": Loss(
        "funface", funface_target, funface_q, filtered_negative, settings={"interclass_filtering_threshold": 0.3}
    ),
    "curricularface": Loss("curricularface", curricularface_target, curricularface_q, curricularface_negative),
    "mv_am": Loss("mv_am", mv_am_target, negative=mv_am_negative, scale=32),
    "mv_arc": Loss("mv_arc", mv_arc_target, negative=mv_arc_negative, scale=32),
    "mv_am-hard": Loss("mv_am", mv_am_hard_target, negative=mv_am_negative, scale=32, settings={"easy_margin": False}),
    "mv_arc-hard": Loss(
        "mv_arc", mv_arc_hard_target, negative=mv_arc_negative, scale=32, settings={"easy_margin": False}
    ),
    "elasticface_arc": Loss("elasticface_arc", elastic_arc_target, elastic_q(0.5, 0.05, "random")),
    "elasticface_arc_plus": Loss("elasticface_arc_plus", elastic_arc_target, elastic_q(0.5, 0.0175, "hardness")),
    "elasticface_cos": Loss("elasticface_cos", elastic_cos_target, elastic_q(0.35, 0.05, "random")),
    "elasticface_cos_plus": Loss("elasticface_cos_plus", elastic_cos_target, elastic_q(0.35, 0.02, "hardness")),
    "elasticface_cos_plus-released": Loss(
        "elasticface_cos_plus", elastic_cos_target, elastic_q(0.35, 0.02, "released"), settings={"order": "released"}
    ),
    "sphereface2": Loss("sphereface2", no_target, scale=40, losses=sphereface2_losses),
    "uniface": Loss("uniface", no_target, losses=uniface_losses),
    "uniface-weighted": Loss("uniface", no_target, losses=weighted_uniface_losses, settings={"negative_weight": 0.25}),
    "sphereface": Loss("sphereface", sphereface_target, sphereface_q, scale=None, returns_q=False),
}


def reference_step(name, features, labels, centers, state):
    """One step's (mean loss, per-sample cross-entropies, per-sample q), advancing `state`."""
    loss = LOSSES[name]
    rows, feature_norms = cosines(features, centers), norms(features)
    q = loss.q(feature_norms, rows, labels, state)
    targets = [loss.target(row[y], a, qi) for row, y, a, qi in zip(rows, labels, feature_norms, q, strict=True)]
    replaced = [
        [c if j == y else loss.negative(c, row[y], state) for j, c in enumerate(row)]
        for row, y in zip(rows, labels, strict=True)
    ]
    scales = feature_norms if loss.scale is None else [loss.scale] * len(rows)
    losses = loss.losses(replaced, labels, targets, scales)
    total = sum(losses) / len(losses)
    if loss.margin == "magface":
        total += magface_regulariser(feature_norms)
    return total, losses, q
