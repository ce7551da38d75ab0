"""What is done with galleries, by the functions that the verb uses, and recorded: who did it, with whom, and when.
Everything here runs in the threads of requests."""

from dataclasses import dataclass
from itertools import islice

from facemargin.decision.certificate import Certificate
from facemargin.detection.face import Choice
from facemargin.errors import ConfigError, DataError
from facemargin.gallery.enrolment import Enrolment, GateMode
from facemargin.gallery.identification import Identification
from facemargin.gallery.named import as_kept, person_name
from facemargin.gallery.rule import DEFAULT_FPIR, SearchRule
from facemargin.quality.gate import QualityGate
from facemargin.serving.answers import (
    GalleryAnswer,
    IdentificationAnswer,
    IdentifyAnswer,
    PeopleAnswer,
    PersonAnswer,
    RemoveAnswer,
    RuleAnswer,
)
from facemargin.serving.errors import RequestError
from facemargin.serving.faces import check_choice
from facemargin.serving.service import Caller, ServedGallery, Service
from facemargin.serving.uploads import UploadedImages


@dataclass(frozen=True)
class SearchOptions:
    """Those of `facemargin gallery identify`: `pool` is --by-folder for one folder, `gate` is --gate refuse."""

    pool: bool = False
    candidates: int = 5
    fpir: float | None = None
    fmr: float | None = None
    gate: bool = False
    on_several: Choice = "largest"


def list_galleries(service: Service) -> list[GalleryAnswer]:
    answers = []
    for served in service.galleries.values():
        binding = served.gallery.binding
        people, images, in_review = served.gallery.counts()
        answers.append(
            GalleryAnswer(
                name=served.name, people=people, images=images, in_review=in_review,
                photographs=binding.detector is not None, quality_used=binding.quality_helps,
                quality_words=binding.quality_words,
            )
        )  # fmt: skip
    return answers


def list_people(
    service: Service, caller: Caller, request_id: str, served: ServedGallery, after: int, limit: int
) -> PeopleAnswer:
    total = len(served.gallery)
    found = list(islice(served.gallery.each_person(after), limit + 1))
    page = found[:limit]
    service.record(caller, request_id, "list", served.name, after=after, people=len(page))
    following = page[-1].number if len(found) > limit else None
    people = [PersonAnswer.of(person) for person in page]
    return PeopleAnswer(request_id=request_id, total=total, people=people, next=following)


def enrol(
    service: Service,
    caller: Caller,
    request_id: str,
    served: ServedGallery,
    pictures: UploadedImages,
    person: str,
    gate: GateMode,
    on_several: Choice,
    consent: str,
) -> Enrolment:
    """What `Gallery.enrol` says. It is recorded before it is done, and what came of it."""
    with served.change() as gallery:
        service.record(
            caller, request_id, "enrol", served.name, stage="asked", person=person, images=len(pictures), gate=gate,
            consent=consent,
        )  # fmt: skip
        done = gallery.enrol(pictures, person, gate=gate, on_several=on_several, consent=consent)
        outcomes = [
            {"outcome": one.outcome, "reasons": [reason.code for reason in one.reasons]} for one in done.outcomes
        ]
        service.record(caller, request_id, "enrol", served.name, stage="done", person=person, outcomes=outcomes)
    return done


def remove(service: Service, caller: Caller, request_id: str, served: ServedGallery, people: list[str]) -> RemoveAnswer:
    """RequestError if one of them is not enrolled."""
    names = list(dict.fromkeys(as_kept(name) for name in people))
    with served.change() as gallery:
        service.record(caller, request_id, "remove", served.name, stage="asked", people=names)
        known = gallery.enrolled(names)
        if missing := [name for name, is_enrolled in zip(names, known, strict=True) if not is_enrolled]:
            raise RequestError(404, "not_enrolled", f"nobody is enrolled as {missing[0][:200]!r}; nobody was deleted")
        try:
            images = gallery.remove(*names)
        except DataError as error:  # another process was quicker
            raise RequestError(404, "not_enrolled", "one of them is not enrolled; nobody was deleted") from error
        service.record(caller, request_id, "remove", served.name, stage="done", people=names, images=images)
    return RemoveAnswer(request_id=request_id, people=names, images=images)


def identify(
    service: Service,
    caller: Caller,
    request_id: str,
    served: ServedGallery,
    pictures: UploadedImages,
    options: SearchOptions,
) -> tuple[SearchRule | None, list[Identification]]:
    """The rule, and what `Gallery.identify` says by it. It is recorded before anybody hears it."""
    if options.fpir is not None and options.fmr is not None:
        raise RequestError(422, "invalid_value", "fpir and fmr are both given, expected one of them")
    gallery = served.gallery
    check_choice(gallery.binding.detector is not None, options.on_several)
    if options.fpir is not None and (served.promised or isinstance(service.by, Certificate)):
        raise RequestError(422, "invalid_value", "a certificate decides here, and has rates of its own: leave out fpir")
    fpir = DEFAULT_FPIR if options.fpir is None else options.fpir
    rule = _rule(served, fpir, options.fmr)
    answers = gallery.identify(
        pictures,
        [0] * len(pictures) if options.pool else None,
        candidates=options.candidates,
        fpir=fpir,
        fmr=options.fmr,
        gate=QualityGate() if options.gate else None,
        on_several=options.on_several,
    )
    found = [
        {
            "decision": answer.decision,
            "person": answer.person,
            "candidates": [one.person for one in answer.candidates],
        }
        for answer in answers
    ]
    service.record(caller, request_id, "identify", served.name, images=len(pictures), answers=found)
    return rule, answers


def _rule(served: ServedGallery, fpir: float, fmr: float | None) -> SearchRule | None:
    try:
        return served.gallery.rule(fpir, fmr)
    except ConfigError as error:
        words = str(error).replace(str(served.folder), served.name)  # where it lies is no client's business
        status, code = (409, "certificate_ended") if served.promised and fmr is None else (422, "no_rule")
        raise RequestError(status, code, words) from error


def answer_of(
    served: ServedGallery, rule: SearchRule | None, answers: list[Identification], request_id: str, notes: list[str]
) -> IdentifyAnswer:
    """With the notes that the verb prints."""
    found = [IdentificationAnswer.of(answer, rule) for answer in answers]
    binding = served.gallery.binding
    if not binding.quality_helps:
        notes = [f"the model's quality is not used: it is {binding.quality_words}", *notes]
    if rule is None:
        notes = ["this model has no thresholds, so there are scores and no answers", *notes]
    return IdentifyAnswer(request_id=request_id, notes=notes, rule=RuleAnswer.of(rule), answers=found)


def gate_of(service: Service, given: GateMode | None) -> GateMode:
    """The gate of an enrolment. RequestError for one that the operator does not allow."""
    gates = service.settings.gates
    if given is not None and given not in gates:
        raise RequestError(403, "gate_not_allowed", f"gate is {given}, and this service allows {', '.join(gates)}")
    return given or gates[0]


def checked_name(person: str) -> str:
    """The name as the gallery keeps it. RequestError for one that it does not take."""
    try:
        return person_name(person)
    except ConfigError as error:
        raise RequestError(422, "invalid_value", str(error)) from error
