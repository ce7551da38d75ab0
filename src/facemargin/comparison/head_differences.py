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
    scores: Mapping[str, Sequence[PairScores]],
    fars: Sequence[float] = DEFAULT_FARS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> HeadDifferences:
    """Each head of `scores` (its trainings' scores on one test set) against the first, at every FAR at which the set
    can accept an impostor pair."""
    first, *others = scores
    enough = [head for head in scores if len(scores[head]) >= FEWEST_TRAININGS]
    if not others:
        return HeadDifferences(first, (), ())
    if first not in enough or len(enough) < 2:
        return _none(first, f"it takes at least {FEWEST_TRAININGS} seeds of {first} and of another head")
    shared = comparable_pairs([one for head in enough for one in scores[head]], fars, bootstrap)
    if isinstance(shared, str):
        return _none(first, shared)
    rates = {head: [shared.system(training.scores_K) for training in scores[head]] for head in enough}
    found = {head: method_tar_differences(shared, rates[head], rates[first]) for head in enough if head != first}
    points = [(head, point) for head, difference in found.items() for point in difference.points]
    adjusted = holm([point.p_value for _, point in points])
    rows = tuple(HeadDifference(head, point, p) for (head, point), p in zip(points, adjusted, strict=True))
    few = [head for head in others if head not in enough]
    notes = [f"{head}: too few seeds to be compared with {first}" for head in few]
    if len(shared.fars) < len(fars):
        notes.append(f"{counted(len(fars) - len(shared.fars), 'FAR')} left out: too few impostor pairs to accept one")
    return HeadDifferences(first, rows, tuple(notes))


def _none(first: str, reason: str) -> HeadDifferences:
    return HeadDifferences(first, (), (f"no intervals of differences between heads: {reason}",))
