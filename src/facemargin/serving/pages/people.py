"""What the pages of a gallery show and change, with a line in the audit log for each. Everything here runs in the
threads of requests."""

import time
from dataclasses import dataclass, field
from typing import Any

from facemargin.counting import counted
from facemargin.detection.face import Choice
from facemargin.errors import ConfigError
from facemargin.gallery.gallery import Gallery
from facemargin.gallery.identification import Identification
from facemargin.gallery.named import as_kept
from facemargin.gallery.rule import SearchRule
from facemargin.gallery.store import EnrolledImage, EnrolledPerson
from facemargin.serving import reviewing, searching
from facemargin.serving.errors import RequestError
from facemargin.serving.logs import noted
from facemargin.serving.pages.pictures import ShownPicture, show
from facemargin.serving.pages.scale import ScoreBar, score_bar
from facemargin.serving.service import Caller, ServedGallery, Service
from facemargin.serving.uploads import UploadedImages

PAGE = 50
SHOWN_REVIEW = 100
_LOOKING_SECONDS = 5.0


@dataclass(frozen=True)
class Who:
    """Who asks, for the audit log."""

    service: Service
    caller: Caller
    request_id: str

    def record(self, served: ServedGallery, action: str, **details: object) -> None:
        self.service.record(self.caller, self.request_id, action, served.name, **details)


@dataclass(frozen=True)
class GalleryView:
    """A page of a gallery: how many people, images, images in review there are; some `people` from `offset` on;
    `more`: whether there are others after them; `stopped`: whether looking for a name took too long."""

    name: str
    counts: tuple[int, int, int]
    people: list[EnrolledPerson]
    offset: int
    more: bool
    stopped: bool
    photographs: bool
    quality_words: str


def view(who: Who, served: ServedGallery, offset: int, find: str) -> GalleryView:
    """The people from `offset` on whose names contain `find`."""
    wanted, stopped = [], False
    until = time.monotonic() + _LOOKING_SECONDS
    sought = as_kept(find).casefold()
    for person in served.gallery.each_person():
        if sought in person.name.casefold():
            wanted.append(person)
            if len(wanted) > offset + PAGE:
                break
        if time.monotonic() > until:
            stopped = True
            break
    shown = wanted[offset : offset + PAGE]
    who.record(served, "list", offset=offset, people=len(shown))
    binding = served.gallery.binding
    return GalleryView(
        served.name, served.gallery.counts(), shown, offset, len(wanted) > offset + PAGE, stopped,
        binding.detector is not None, binding.quality_words,
    )  # fmt: skip


SearchAnswer = tuple[Identification, list[ShownPicture | None], list[str], ScoreBar | None]
"""An answer, its pictures, how it comes about, and where its score lies."""


@dataclass(frozen=True)
class Found:
    """The answers of a search, and what is known of the errors of such searches."""

    answers: list[SearchAnswer] = field(default_factory=list)
    known: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def search(who: Who, served: ServedGallery, pictures: UploadedImages, pool: bool, gate: bool, faces: Choice) -> Found:
    """As `facemargin gallery identify` answers."""
    options = searching.SearchOptions(pool=pool, gate=gate, on_several=faces)
    with noted() as notes:
        rule, answers = searching.identify(who.service, who.caller, who.request_id, served, pictures, options)
    shown = [show(pictures, index, served.gallery.detector, faces) for index in range(len(pictures))]
    groups = [shown] if pool else [[one] for one in shown]
    found = [
        (answer, group, answer.explain(rule), _bar(answer, rule)) for answer, group in zip(answers, groups, strict=True)
    ]
    known = ("This model has no thresholds, so there are scores and no answers.",) if rule is None else rule.words
    return Found(found, known, list(notes))


def person_images(who: Who, served: ServedGallery, name: str) -> list[EnrolledImage]:
    """The images of a person. RequestError for one who is not enrolled."""
    _require_enrolled(served.gallery, name)
    images = served.gallery.images(name)
    who.record(served, "list images", person=name, images=len(images))
    return images


def waiting(who: Who, served: ServedGallery, after: int) -> tuple[list[EnrolledImage], int | None]:
    """A page of the images in review, and after which number the next one begins."""
    return reviewing.waiting(who.service, who.caller, who.request_id, served, after, SHOWN_REVIEW)


def review(who: Who, served: ServedGallery, accept: list[int], reject: list[int]) -> str:
    """What was done, in words. RequestError for an image that does not wait, and for one that is in both."""
    reviewing.decide(who.service, who.caller, who.request_id, served, accept, reject)
    return f"{counted(len(accept), 'image')} accepted, {counted(len(reject), 'image')} deleted."


def change_person(who: Who, served: ServedGallery, action: str, name: str, numbers: list[int], other: str) -> str:
    """Remove, merge or split a person, or remove some of the images; what was done, in words."""
    details: dict[str, Any] = {"person": name, "images": numbers, "other": other}
    with served.change() as gallery:
        who.record(served, action, stage="asked", **details)
        _require_enrolled(gallery, name)
        try:
            words = _change(gallery, action, name, numbers, other)
        except ConfigError as error:
            raise RequestError(422, "invalid_value", str(error)) from error
        who.record(served, action, stage="done", **details)
    return words


def _change(gallery: Gallery, action: str, name: str, numbers: list[int], other: str) -> str:
    if action == "remove":
        return f"{name} is deleted, with {counted(gallery.remove(name), 'image')}."
    if action == "merge":
        _require_enrolled(gallery, other)
        return f"{counted(gallery.merge(name, other), 'image')} of {name} now of {other}."
    if not numbers:
        raise RequestError(422, "invalid_value", "no image is chosen: tick at least one")
    if action == "split":
        other = searching.checked_name(other)
        gallery.split(name, numbers, other)
        return f"{counted(len(numbers), 'image')} of {name} now of {other}."
    own = {image.number for image in gallery.images(name)}
    if strange := [number for number in numbers if number not in own]:
        raise RequestError(409, "not_of_person", f"image {strange[0]} is not of {name[:200]} any more")
    return f"{counted(gallery.remove_images(*numbers), 'image')} of {name} deleted."


def _require_enrolled(gallery: Gallery, name: str) -> None:
    if not gallery.enrolled([name])[0]:
        raise RequestError(404, "not_enrolled", f"nobody is enrolled as {name[:200]!r}")


def _bar(answer: Identification, rule: SearchRule | None) -> ScoreBar | None:
    if rule is None or answer.decision == "too poor to decide":
        return None
    return score_bar(answer.score, rule.accept, rule.reject, "this person", "nobody enrolled")
