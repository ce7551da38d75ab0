"""Which heads differ from the first one, for other people and other seeds (`method_difference`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facemargin.counting import counted
from facemargin.evaluation.comparable_pairs import comparable_pairs
from facemargin.evaluation.figures import DEFAULT_FARS
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from facemargin.evaluation.metrics.holm import holm
from facemargin.evaluation.metrics.method_difference import (
    FEWEST_TRAININGS,
    MethodTarDifference,
    method_tar_differences,
)
from facemargin.evaluation.scores import PairScores


@dataclass(frozen=True)
class HeadDifference:
    """Mean TAR of `head` − mean TAR of the first head at a FAR. `adjusted_p` is the p-value by Holm's correction for
    all comparisons on the same test set."""

    head: str
    point: MethodTarDifference
    adjusted_p: float


@dataclass(frozen=True)
class HeadDifferences:
    """The differences of the other heads from `first` on one test set, and `notes`: what is left out, or why there are
    none."""

    first: str
    rows: tuple[HeadDifference, ...]
    notes: tuple[str, ...]


def head_differences(
    scores: Mapping[str, Mapping[int, PairScores]],
    fars: Sequence[float] = DEFAULT_FARS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> HeadDifferences:
    """Each head of `scores` (its trainings' scores on one test set, by seed) against the first, over the seeds that
    both have, at every FAR at which the set can accept an impostor pair."""
    first, *others = scores
    common = {head: sorted(scores[head].keys() & scores[first].keys()) for head in others}
    enough = [head for head in others if len(common[head]) >= FEWEST_TRAININGS]
    if not others:
        return HeadDifferences(first, (), ())
    if not enough:
        return _none(first, f"it takes at least {FEWEST_TRAININGS} seeds of {first} and of another head")
    used = [scores[head][seed] for head in (first, *enough) for seed in scores[head]]
    shared = comparable_pairs(used, fars, bootstrap)
    if isinstance(shared, str):
        return _none(first, shared)
    rates = {seed: shared.system(training.scores_K) for seed, training in scores[first].items()}
    points = []
    for head in enough:
        ours = [shared.system(scores[head][seed].scores_K) for seed in common[head]]
        found = method_tar_differences(shared, ours, [rates[seed] for seed in common[head]])
        points += [(head, point) for point in found.points]
    adjusted = holm([point.p_value for _, point in points])
    rows = tuple(HeadDifference(head, point, p) for (head, point), p in zip(points, adjusted, strict=True))
    every = max(len(trainings) for trainings in scores.values())
    notes = [
        f"{head}: {counted(len(common[head]), 'seed')} in common with {first}"
        + (", too few to be compared" if head not in enough else " instead of " + str(every))
        for head in others
        if len(common[head]) < every
    ]
    if len(shared.fars) < len(fars):
        notes.append(f"{counted(len(fars) - len(shared.fars), 'FAR')} left out: too few impostor pairs to accept one")
    return HeadDifferences(first, rows, tuple(notes))


def _none(first: str, reason: str) -> HeadDifferences:
    return HeadDifferences(first, (), (f"no intervals of differences between heads: {reason}",))
