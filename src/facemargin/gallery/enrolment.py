"""What protects a gallery when it grows: reasons against an image, and what is done about them.

Shapes: N images of a person, D size, G people.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.decision.calibration import Calibration
from facemargin.gallery.binding import Binding
from facemargin.gallery.exact_search import exact_score
from facemargin.gallery.rule import DEFAULT_FPIR, calibrated_rule
from facemargin.gallery.templates import person_template
from facemargin.quality.image_statistics import Reason

GateMode = Literal["off", "warn", "refuse", "review"]
"""What happens to an image with reasons against it: nothing is looked for, it is enrolled and named, it is not
enrolled, or it is kept without counting until somebody accepts it."""

Outcome = Literal["enrolled", "in review", "refused", "enrolled already"]

DISAGREES_FMR = 0.01
"""Images of one person that are less alike than this share of the pairs of different people disagree."""


@dataclass(frozen=True)
class EnrolmentOutcome:
    """What became of an image: where it is from, the person, the outcome, the reasons against it, and its quality (NaN
    for one that has no embedding)."""

    source: str
    person: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    quality: float


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did: an outcome for every image, in the order in which people and their images were given, and
    `not_checked`: what was not looked at, and why.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> gallery = fm.Gallery.create(tempfile.mkdtemp() + "/gallery", model)
        >>> done = gallery.enrol(fm.open_images("orl:1-2"), gate="off")
        >>> done.count("enrolled"), done.reasons()
        (20, {})
    """

    outcomes: tuple[EnrolmentOutcome, ...]
    not_checked: tuple[str, ...]

    def count(self, outcome: Outcome) -> int:
        """How many images had this outcome."""
        return sum(one.outcome == outcome for one in self.outcomes)

    def reasons(self) -> dict[str, int]:
        """How many images each code of a reason stands against, the most frequent first."""
        return dict(Counter(reason.code for one in self.outcomes for reason in one.reasons).most_common())


@dataclass(frozen=True)
class Limits:
    """`floor` of the quality, the score from which an image looks like `another` person, and below which it
    `disagrees` with the person's other images; None for what is not checked, of which `not_checked` says why."""

    floor: float | None
    another: float | None
    disagrees: float | None
    not_checked: tuple[str, ...]


def limits_of(calibration: Calibration | None, binding: Binding, people: int) -> Limits:
    """The limits for a gallery that has so many people with the new ones."""
    not_checked = []
    if not binding.quality_helps:
        not_checked.append(f"the model's quality, because it is {binding.quality_words}")
    if binding.detector is None:
        not_checked.append(
            "size in the photograph, pose and how many faces there are, because the images are aligned already"
        )
    if calibration is None:
        not_checked.append(
            "whether an image looks like somebody else or unlike the person's others, because this model has no "
            "thresholds: facemargin calibrate measures them"
        )
        return Limits(None, None, None, tuple(not_checked))
    rule = calibrated_rule(calibration, binding, people, DEFAULT_FPIR)
    usable = [point for point in calibration.thresholds if point.target_fmr >= DISAGREES_FMR * (1 - 1e-9)]
    disagrees = max((point.threshold for point in usable), default=calibration.thresholds[0].threshold)
    return Limits(rule.quality_floor, rule.accept, min(disagrees, rule.accept), tuple(not_checked))


def quality_reason(quality: float, limits: Limits) -> list[Reason]:
    if limits.floor is None or quality >= limits.floor:
        return []
    words = f"low quality: {quality:.4g}, expected at least {limits.floor:.4g} for this model"
    return [Reason("low_quality", words)]


def another_reason(name: str, score: float, limits: Limits) -> list[Reason]:
    """`name`: the other person that the image is most like."""
    if limits.another is None or not score >= limits.another:
        return []
    words = f"looks like another: score {score:.4f} with {name!r}, expected below {limits.another:.4f}"
    return [Reason("looks_like_another", words)]


def disagreement(
    vectors_ND: NDArray[np.float32], quality_N: Sequence[float], own: int, limits: Limits, by_quality: bool
) -> list[Reason]:
    """Of image `own` with the others of the person."""
    others = [place for place in range(len(vectors_ND)) if place != own]
    if limits.disagrees is None or not others:
        return []
    quality = np.array([quality_N[place] for place in others], np.float32)
    score = exact_score(vectors_ND[own], person_template(vectors_ND[others], quality, by_quality))
    if score >= limits.disagrees:
        return []
    words = (
        f"disagrees: score {score:.4f} with the person's other {'image' if len(others) == 1 else 'images'}, expected "
        f"at least {limits.disagrees:.4f}"
    )
    return [Reason("disagrees", words)]


def several_faces(number: int) -> Reason:
    return Reason("several_faces", f"several faces: {number} were found, expected one")
