"""What the service answers: the fields of the library's own results, as JSON. A number that is not there is null."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from facemargin.decision.calibration import Threshold
from facemargin.decision.verify import Decision, Verification
from facemargin.detection.face import Face, FoundFace
from facemargin.gallery.enrolment import Enrolment, EnrolmentOutcome, Outcome
from facemargin.gallery.identification import Answer, Identification
from facemargin.gallery.rule import SearchRule
from facemargin.gallery.store import EnrolledImage, EnrolledPerson
from facemargin.quality.image_statistics import Reason


class ReasonAnswer(BaseModel):
    """Why a picture fails: a code for programs, words for people."""

    code: str
    words: str

    @classmethod
    def of(cls, reasons: Sequence[Reason]) -> list["ReasonAnswer"]:
        return [cls(code=reason.code, words=reason.words) for reason in reasons]


class FaceAnswer(BaseModel):
    """A face in pixels: box left, top, right, bottom; landmarks (x, y) of the eyes, the nose, the corners of the
    mouth."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: list[tuple[float, float]]

    @classmethod
    def of(cls, face: Face) -> "FaceAnswer":
        return cls(box=face.box, score=face.score, landmarks=face.landmarks_52.tolist())


class FoundAnswer(BaseModel):
    """The face of a photograph that was used, of so many that were found."""

    face: FaceAnswer
    num_faces: int

    @classmethod
    def of(cls, found: FoundFace | None) -> "FoundAnswer | None":
        return None if found is None else cls(face=FaceAnswer.of(found.face), num_faces=found.num_faces)


class Noted(BaseModel):
    """notes: what else is to be known, such as pictures that were not square."""

    request_id: str
    notes: list[str] = []


class ThresholdAnswer(BaseModel):
    """The threshold and the quality floor by which it was decided, and the rates that were measured at them."""

    target_fmr: float
    threshold: float
    fmr: float
    impostors_accepted: int
    fnmr: float
    quality_floor: float | None
    too_poor: float
    estimated: tuple[float, float] | None
    certified: float | None

    @classmethod
    def of(cls, point: Threshold | None) -> "ThresholdAnswer | None":
        if point is None:
            return None
        values = {name: getattr(point, name) for name in cls.model_fields}
        return cls(**values | {"quality_floor": number(point.quality_floor)})


class VerifyAnswer(Noted):
    """Whether two pictures show the same person; decision is null without thresholds. quality_words: whether the
    model's quality is shown to help."""

    decision: Decision | None
    score: float
    quality_a: float
    quality_b: float
    threshold: ThresholdAnswer | None
    guarantee: str | None
    quality_words: str
    found_a: FoundAnswer | None
    found_b: FoundAnswer | None

    @classmethod
    def of(cls, result: Verification, quality_words: str, request_id: str, notes: list[str]) -> "VerifyAnswer":
        return cls(
            request_id=request_id,
            notes=notes,
            decision=result.decision,
            score=result.score,
            quality_a=result.quality_a,
            quality_b=result.quality_b,
            threshold=ThresholdAnswer.of(result.threshold),
            guarantee=result.guarantee,
            quality_words=quality_words,
            found_a=FoundAnswer.of(result.found_a),
            found_b=FoundAnswer.of(result.found_b),
        )


class DetectedAnswer(BaseModel):
    """The faces of a picture, the surest first, or why it cannot be read."""

    image: str
    faces: list[FaceAnswer]
    problem: ReasonAnswer | None = None


class DetectAnswer(Noted):
    images: list[DetectedAnswer]


class QualityOf(BaseModel):
    """The quality and the norm of a picture; reasons: what its face fails of size, sharpness, light and pose; problem:
    why there is no quality."""

    image: str
    quality: float | None = None
    norm: float | None = None
    reasons: list[ReasonAnswer] = []
    problem: ReasonAnswer | None = None
    found: FoundAnswer | None = None


class QualityAnswer(Noted):
    """quality_words: whether the model's quality is shown to help."""

    quality_words: str
    images: list[QualityOf]


class EmbeddingOf(BaseModel):
    """The embedding of a picture, a vector of length 1, or why there is none."""

    image: str
    vector: list[float] | None = None
    norm: float | None = None
    quality: float | None = None
    problem: ReasonAnswer | None = None
    found: FoundAnswer | None = None


class EmbedAnswer(Noted):
    images: list[EmbeddingOf]


class GalleryAnswer(BaseModel):
    name: str
    people: int
    images: int
    in_review: int
    photographs: bool
    quality_used: bool
    quality_words: str


class GalleriesAnswer(BaseModel):
    galleries: list[GalleryAnswer]


class PersonAnswer(BaseModel):
    number: int
    name: str
    images: int
    in_review: int
    quality: float | None
    enrolled: str

    @classmethod
    def of(cls, person: EnrolledPerson) -> "PersonAnswer":
        return cls(
            number=person.number, name=person.name, images=person.images, in_review=person.in_review,
            quality=number(person.quality), enrolled=person.enrolled,
        )  # fmt: skip


class PeopleAnswer(BaseModel):
    """`people` in the order of enrolment, also those of whom all images wait for review; `total`: how many have images
    that count; `next`: the number to give as `after` for the next page, null where there is none."""

    request_id: str
    total: int
    people: list[PersonAnswer]
    next: int | None


class OutcomeAnswer(BaseModel):
    image: str
    outcome: Outcome
    reasons: list[ReasonAnswer]
    quality: float | None

    @classmethod
    def of(cls, one: EnrolmentOutcome) -> "OutcomeAnswer":
        return cls(
            image=one.source, outcome=one.outcome, reasons=ReasonAnswer.of(one.reasons), quality=number(one.quality)
        )


class EnrolAnswer(Noted):
    """What became of each picture. not_checked: what was not looked at, and why."""

    person: str
    outcomes: list[OutcomeAnswer]
    not_checked: list[str]

    @classmethod
    def of(cls, done: Enrolment, person: str, request_id: str, notes: list[str]) -> "EnrolAnswer":
        outcomes = [OutcomeAnswer.of(one) for one in done.outcomes]
        return cls(
            request_id=request_id, notes=notes, person=person, outcomes=outcomes, not_checked=list(done.not_checked)
        )


class WaitingAnswer(BaseModel):
    """An image in review: its number, by which it is decided on, the person, where it is from, the digest of its
    pixels, and the reasons that the gate found against it."""

    number: int
    person: str
    source: str
    quality: float | None
    norm: float | None
    digest: str
    consent: str
    enrolled: str
    reasons: list[ReasonAnswer]

    @classmethod
    def of(cls, image: EnrolledImage) -> "WaitingAnswer":
        return cls(
            number=image.number, person=image.person, source=image.source, quality=number(image.quality),
            norm=number(image.norm), digest=str(image.digest), consent=image.consent, enrolled=image.enrolled,
            reasons=ReasonAnswer.of(image.reasons),
        )  # fmt: skip


class WaitingPage(BaseModel):
    """`images` that wait, in the order of their numbers; `total`: how many wait in all; `next`: the number to give as
    `after` for the next page, null where there is none."""

    request_id: str
    total: int
    images: list[WaitingAnswer]
    next: int | None


class ReviewAnswer(BaseModel):
    """How many images were accepted and how many deleted, and how many still wait."""

    request_id: str
    accepted: int
    rejected: int
    left: int


class RemoveAnswer(BaseModel):
    request_id: str
    people: list[str]
    images: int


class CandidateAnswer(BaseModel):
    person: str
    score: float


class IdentificationAnswer(BaseModel):
    """Who one picture, or several that were pooled, show; decision is null without thresholds. explanation: how the
    decision comes about, in sentences."""

    images: list[str]
    decision: Answer | None
    person: str | None
    score: float | None
    quality: float | None
    candidates: list[CandidateAnswer]
    reasons: list[ReasonAnswer]
    explanation: list[str]

    @classmethod
    def of(cls, found: Identification, rule: SearchRule | None) -> "IdentificationAnswer":
        return cls(
            images=list(found.sources),
            decision=found.decision,
            person=found.person,
            score=number(found.score),
            quality=number(found.quality),
            candidates=[CandidateAnswer(person=one.person, score=one.score) for one in found.candidates],
            reasons=ReasonAnswer.of(found.reasons),
            explanation=found.explain(rule),
        )


class RuleAnswer(BaseModel):
    """The thresholds of the search, where they are from, and how often a search for a stranger may find somebody."""

    accept: float
    reject: float | None
    quality_floor: float | None
    words: list[str]

    @classmethod
    def of(cls, rule: SearchRule | None) -> "RuleAnswer | None":
        if rule is None:
            return None
        return cls(accept=rule.accept, reject=rule.reject, quality_floor=rule.quality_floor, words=list(rule.words))


class IdentifyAnswer(Noted):
    rule: RuleAnswer | None
    answers: list[IdentificationAnswer]


class ErrorOf(BaseModel):
    code: str
    message: str
    request_id: str


class ErrorAnswer(BaseModel):
    error: ErrorOf


class HealthAnswer(BaseModel):
    status: Literal["ok"] = "ok"
    version: str


ERRORS: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorAnswer, "description": "why there is no answer"}}


def number(value: float) -> float | None:
    return value if math.isfinite(value) else None
