"""BroadFace's queue and VPL's memory as loops over samples and classes in float64, for any loss of
tests/margins/reference.py that keeps no state."""

import math

import numpy as np

from tests.margins.reference import LOSSES, cosines, cross_entropies, norms


def losses_of(name: str, features, labels, centers) -> list[float]:
    """The loss of every sample."""
    loss = LOSSES[name]
    rows = cosines(features, centers) if len(features) else []
    if not rows:  # a queue without samples
        return []
    targets = [loss.target(row[y], a, None) for row, y, a in zip(rows, labels, norms(features), strict=True)]
    replaced = [
        [c if j == y else loss.negative(c, row[y], {}) for j, c in enumerate(row)]
        for row, y in zip(rows, labels, strict=True)
    ]
    scales = [a if loss.scale is None else loss.scale for a in norms(features)]
    return (loss.losses or cross_entropies)(replaced, labels, targets, scales)


class Queue:
    """The latest `size` of (feature, label, centre of its class when it was stored)."""

    def __init__(self, size: int, compensate: bool) -> None:
        self.size, self.compensate, self.entries = size, compensate, []

    def samples(self, centers):
        features = []
        for feature, label, before in self.entries:
            ratio = math.sqrt(sum(v * v for v in feature)) / math.sqrt(sum(v * v for v in before))
            moved = [f + ratio * (now - w) for f, now, w in zip(feature, centers[label], before, strict=True)]
            features.append(np.array(moved) if self.compensate else feature)
        return features, [label for _, label, _ in self.entries]

    def store(self, features, labels, centers):
        for feature, label in zip(features, labels, strict=True):
            self.entries.append((feature.copy(), label, centers[label].copy()))
        self.entries = self.entries[-self.size :]


class Prototypes:
    """Of each class the unit feature that was seen last, and in which pass."""

    def __init__(self, share: float, lasts: int, start: int) -> None:
        self.share, self.lasts, self.start = share, lasts, start
        self.passes, self.seen = 0, {}

    def injected(self, centers):
        rows, now = [], self.passes + 1
        for label, center in enumerate(centers):
            feature, when = self.seen.get(label, (None, -math.inf))
            unit = center / math.sqrt(sum(v * v for v in center))
            recent = now > self.start and now - when <= self.lasts
            rows.append((1 - self.share) * unit + self.share * feature if recent else center)
        return np.array(rows)

    def store(self, features, labels):
        self.passes += 1
        for feature, label in zip(features, labels, strict=True):
            self.seen[label] = (feature / math.sqrt(sum(v * v for v in feature)), self.passes)


def slopes(function, at, step=1e-6):
    """The derivative of a function of an array by each of its values, by central differences."""
    result = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[place] += step
        below[place] -= step
        result[place] = (function(above) - function(below)) / (2 * step)
    return result
