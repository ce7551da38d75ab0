"""What a check of a measure of quality found. `quality_check` makes it, `quality_verdict` judges it."""

import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.plain import plain

Verdict = Literal["helps", "helps except for", "not shown to help"]


@dataclass(frozen=True)
class KindResponse:
    """How quality follows one kind of degradation: the mean over faces of Spearman's `correlation` of quality with
    strength within each face, −1 where quality falls with every step, with its 95 % `interval`."""

    kind: str
    correlation: float
    interval: Interval | None


@dataclass(frozen=True)
class NotFacesRanked:
    """How many of `count` pictures of a kind without a face have a higher quality than the lowest decile of clean
    faces."""

    kind: str
    count: int
    above: int


@dataclass(frozen=True)
class DiscardResult:
    """Error versus discard of the genuine pairs of `faces`, "degraded" or "clean", at the threshold of the check.

    `missed` of the `genuine` pairs are false non-matches. `relative`: the partial area up to `limit`, relative to
    discarding at random. `difference` = relative − 1, negative where quality helps, and its 95 % `interval`, by
    resampling people. All three are None if no pair is missed, and the interval if all resamples agree.
    """

    faces: Literal["degraded", "clean"]
    genuine: int
    missed: int
    limit: float
    relative: float | None
    difference: float | None
    interval: Interval | None


@dataclass(frozen=True, repr=False)
class QualityCheck:
    """What a check of one `measure` of quality found on `images` faces of the set `faces`, of `people` (None if nobody
    says who they are).

    `kinds`: by kind of degradation, on `stepped` of the faces at `strengths`; intervals resample `resampled`.
    `not_faces`: by kind of picture without a face. `discards`: error versus discard, at the threshold that has the rate
    `fmr` among `impostors` pairs of clean faces; empty and None where it cannot be measured, which `reasons` then say.
    `verdict` with its `exceptions`, as a sentence in `words`, and the `reasons` for it, the one that decides first.

    Examples:
        >>> import facemargin as fm
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:6-7"), size=16)
        >>> check = fm.evaluation.check_quality(embed, fm.open_images("orl:1-5"), "norm of pixels", stepped=10)
        >>> check
        QualityCheck('norm of pixels' on 50 faces of 'orl:1-5': not shown to help)
    """

    measure: str
    faces: str
    images: int
    people: int | None
    stepped: int
    strengths: tuple[float, ...]
    resampled: Literal["people", "faces"]
    kinds: tuple[KindResponse, ...]
    not_faces: tuple[NotFacesRanked, ...]
    discards: tuple[DiscardResult, ...]
    fmr: float | None
    impostors: int
    verdict: Verdict
    exceptions: tuple[str, ...]
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        return f"QualityCheck({self.measure!r} on {self.images:,} faces of {self.faces!r}: {self.words})"

    @property
    def helps(self) -> bool:
        """Whether the quality is shown to help, if with exceptions."""
        return self.verdict != "not shown to help"

    @property
    def words(self) -> str:
        """ "helps", "helps except for noise and jpeg", "not shown to help"."""
        if not self.exceptions:
            return self.verdict
        *first, last = self.exceptions
        return f"{self.verdict} {', '.join(first)} and {last}" if first else f"{self.verdict} {last}"

    @property
    def shown(self) -> str:
        """ "shown to help", "shown to help except for noise", "not shown to help"."""
        return f"shown to {self.words.replace('helps', 'help', 1)}" if self.helps else self.words

    @property
    def in_short(self) -> str:
        """For where qualities are shown: "shown to help except for noise (checked on lfw)", or "not shown to help
        (checked on lfw: …)" with the reason."""
        reason = "" if self.helps else f": {self.reasons[0]}"
        return f"{self.shown} (checked on {self.faces}{reason})"

    def to_json(self) -> str:
        return json.dumps(plain(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_from_json(content: dict[str, Any]) -> QualityCheck:
    """The check in the content of `QualityCheck.to_json`; ValueError, TypeError, LookupError or AttributeError where it
    is none."""
    content = dict(content)
    parts: dict[str, Any] = {
        "kinds": tuple(KindResponse(**_with_interval(item)) for item in content.pop("kinds")),
        "not_faces": tuple(NotFacesRanked(**item) for item in content.pop("not_faces")),
        "discards": tuple(DiscardResult(**_with_interval(item)) for item in content.pop("discards")),
        "strengths": tuple(_number(value) for value in content.pop("strengths")),
        "exceptions": tuple(content.pop("exceptions")),
        "reasons": tuple(content.pop("reasons")),
    }
    check = QualityCheck(**parts, **content)
    if not check.reasons:
        raise ValueError("the verdict has no reason")
    if check.verdict not in get_args(Verdict) or (check.verdict == "helps except for") != bool(check.exceptions):
        raise ValueError(f"the verdict is {check.verdict!r} with {len(check.exceptions)} exceptions")
    texts = [check.measure, check.faces, check.resampled, *check.exceptions, *check.reasons]
    texts += [item.kind for item in check.kinds] + [item.kind for item in check.not_faces]
    texts += [item.faces for item in check.discards]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name or a reason is not a text")
    counts = [check.images, check.stepped, check.impostors, *([] if check.people is None else [check.people])]
    counts += [number for item in check.not_faces for number in (item.count, item.above)]
    counts += [number for item in check.discards for number in (item.genuine, item.missed)]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("a number of pictures or pairs is not a whole number")
    numbers = [item.correlation for item in check.kinds] + [item.limit for item in check.discards]
    numbers += [value for item in check.discards for value in (item.relative, item.difference) if value is not None]
    for value in (*numbers, *([] if check.fmr is None else [check.fmr])):
        _number(value)
    return check


def _with_interval(item: dict[str, Any]) -> dict[str, Any]:
    interval = item["interval"]
    if interval is None:
        return item
    low, high = interval
    return item | {"interval": (_number(low), _number(high))}


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
