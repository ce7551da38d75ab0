"""Whether systems can be compared: the pairs that all of them were scored on, and who is in them."""

from collections.abc import Sequence

import numpy as np

from facemargin.counting import counted
from facemargin.evaluation.metrics.bootstrap import FEWEST_IDENTITIES, Bootstrap
from facemargin.evaluation.metrics.shared_pairs import SharedPairs
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.scores import PairScores


def comparable_pairs(systems: Sequence[PairScores], fars: Sequence[float], bootstrap: Bootstrap) -> SharedPairs | str:
    """The pairs of at least one system, with the FARs at which they can accept an impostor; or why there are no
    intervals of differences, as for systems that were not scored on the same pairs."""
    first, *others = systems
    for other in others:
        if not _same_pairs(first, other):
            return (
                f"{first.system} and {other.system} were scored on different pairs of {first.dataset}; evaluate them "
                "again on the same set"
            )
    a_K, b_K = first.identities_a_K, first.identities_b_K
    if a_K is None or b_K is None or any(other.identities_a_K is None for other in others):
        return (
            f"the pairs of {first.dataset} do not say which people they show. Pairs that share a person are not "
            "independent, so counting them as if they were would find differences where there are none"
        )
    people = len(np.unique(np.concatenate([a_K, b_K])))
    if people < FEWEST_IDENTITIES:
        return f"the pairs are of {counted(people, 'person', 'people')}, too few to resample"
    impostors = int(np.count_nonzero(~first.same_K))
    told = [far for far in fars if allowed_count(far, impostors)]
    if not told:
        return f"{counted(impostors, 'impostor pair')} are too few for every FAR"
    return SharedPairs(first.same_K, a_K, b_K, told, bootstrap)


def _same_pairs(first: PairScores, other: PairScores) -> bool:
    """Whether the pairs are the same, as far as both systems say which people they show."""
    for name in ("same_K", "identities_a_K", "identities_b_K"):
        some, others = getattr(first, name), getattr(other, name)
        if some is not None and others is not None and not np.array_equal(some, others):
            return False
    return True
