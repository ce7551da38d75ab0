"""The verdict on a measure of quality, in words, by fixed criteria.

A quality **helps** if discarding degraded faces by it leaves surely fewer errors than discarding at random, if it
surely falls with every kind of degradation, and if pictures without a face rank below faces. It **helps except for**
the kinds that fail, as long as the errors surely fall and most kinds of degradation pass. Otherwise it is **not shown
to help**, which includes that the faces are too few to tell.
"""

from collections.abc import Sequence

from facemargin.counting import counted
from facemargin.evaluation.checked_quality import DiscardResult, KindResponse, NotFacesRanked, Verdict

CORRELATION_AT_MOST = -0.5
"""The interval of a kind's rank correlation must lie below this: quality surely falls, and not just a little."""
ABOVE_AT_MOST = 0.1
"""The share of pictures without a face that may rank above the lowest decile of clean faces. Clean faces do in 90 % of
the cases."""
KINDS_AT_LEAST = 0.5
"""More than this share of the kinds of degradation must pass, or the quality does not help at all."""
FEW_PEOPLE = 30
"""With fewer people, intervals from resampling them are too narrow, which the reasons say."""


def judge(
    kinds: Sequence[KindResponse],
    not_faces: Sequence[NotFacesRanked],
    discards: Sequence[DiscardResult],
    missing: str,
    people: int | None,
) -> tuple[Verdict, tuple[str, ...], tuple[str, ...]]:
    """Verdict, exceptions and reasons, the one that decides first. `missing` says why there are no `discards`, if there
    are none."""
    failing = [item.kind for item in kinds if not falls(item)]
    strange = [item.kind for item in not_faces if not ranks_low(item)]
    degraded = next((item for item in discards if item.faces == "degraded"), None)
    clean = next((item for item in discards if item.faces == "clean"), None)
    gains = degraded is not None and _surely(degraded) < 0
    worse = clean is not None and _surely(clean) > 0
    reasons = [_of_discard(item) for item in discards] if discards else [missing]
    of_kinds = _of_kinds(kinds, failing)
    reasons += [of_kinds, _of_not_faces(not_faces, strange)]
    if people is not None and people < FEW_PEOPLE and discards:
        reasons.append(f"the intervals rest on {counted(people, 'person', 'people')}, so they are too narrow")
    few_kinds = len(kinds) - len(failing) <= KINDS_AT_LEAST * len(kinds)
    if gains and few_kinds:
        reasons.sort(key=lambda reason: reason != of_kinds)
    if not gains or few_kinds:
        return "not shown to help", (), tuple(reasons)
    exceptions = (*failing, *(f"pictures without a face ({kind})" for kind in strange))
    exceptions += ("faces that are not degraded",) if worse else ()
    return ("helps except for" if exceptions else "helps"), exceptions, tuple(reasons)


def falls(kind: KindResponse) -> bool:
    """Whether quality surely falls with this kind of degradation."""
    highest = kind.correlation if kind.interval is None else kind.interval[1]
    return highest <= CORRELATION_AT_MOST


def rises(kind: KindResponse) -> bool:
    """Whether quality surely rises with this kind of degradation."""
    return (kind.correlation if kind.interval is None else kind.interval[0]) > 0


def ranks_low(pictures: NotFacesRanked) -> bool:
    return pictures.above <= ABOVE_AT_MOST * pictures.count


def _surely(result: DiscardResult) -> int:
    """−1 if quality leaves surely fewer errors than discarding at random, 1 if surely more, 0 if it cannot be told."""
    if result.interval is None:
        return 0
    low, high = result.interval
    return -1 if high < 0 else 1 if low > 0 else 0


def _of_discard(result: DiscardResult) -> str:
    where = f"on {'degraded' if result.faces == 'degraded' else 'clean'} faces"
    if result.difference is None:
        return f"{where}, none of {result.genuine:,} genuine pairs is missed: there is no error to avoid"
    up_to = f"discarding up to {result.limit:.0%} by quality"
    if result.interval is None:
        return f"{where}, whether {up_to} helps is not known: resampling people gives no interval"
    low, high = result.interval
    found = f"{_errors(result.difference)} discarding at random (95 %: {low:+.0%} to {high:+.0%})"
    return f"{where}, {up_to} leaves {found}{'' if _surely(result) else ', which may be chance'}"


def _errors(difference: float) -> str:
    share = f"{abs(difference):.0%}"
    return "as many errors as" if share == "0%" else f"{share} {'fewer' if difference < 0 else 'more'} errors than"


def _of_kinds(kinds: Sequence[KindResponse], failing: Sequence[str]) -> str:
    if not failing:
        return f"it falls with every kind of degradation: {', '.join(item.kind for item in kinds)}"
    rising = [item for item in kinds if rises(item)]
    unsure = [item for item in kinds if item.kind in failing and item not in rising]
    passing = [item for item in kinds if item.kind not in failing]
    groups = (("rises with", rising), ("does not surely fall with", unsure), ("falls with", passing))
    return "; ".join(f"it {what} {_with_correlations(items)}" for what, items in groups if items)


def _with_correlations(kinds: Sequence[KindResponse]) -> str:
    return ", ".join(f"{item.kind} (ρ {item.correlation:+.2f})" for item in kinds)


def _of_not_faces(not_faces: Sequence[NotFacesRanked], strange: Sequence[str]) -> str:
    if not strange:
        return "pictures without a face rank below faces"
    shown = ", ".join(f"{item.above} of {item.count} ({item.kind})" for item in not_faces if item.kind in strange)
    return f"pictures without a face rank above the lowest tenth of clean faces: {shown}"
