"""Enrols images, person by person, through the gate. Shapes: N images, D size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource, ImageSubset
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice
from facemargin.evaluation.embeddings import Embeddings
from facemargin.gallery.enrolment import (
    Enrolment,
    EnrolmentOutcome,
    GateMode,
    Limits,
    Outcome,
    another_reason,
    disagreement,
    quality_reason,
    several_faces,
)
from facemargin.gallery.exact_search import exact_score
from facemargin.gallery.looking import Looked, LookedAt
from facemargin.gallery.store import EnrolledImage, NewImage, Store
from facemargin.gallery.templates import person_template
from facemargin.models.model import Model
from facemargin.quality.gate import QualityGate
from facemargin.quality.image_statistics import Reason

_IMAGES_AT_A_TIME = 256
"""After so many images, and the rest of the last person's, what was enrolled is on the disk."""


@dataclass(frozen=True)
class Enroller:
    """How images get into a gallery: `mode` is what happens to those with reasons against them; `on_several` which face
    of a photograph with several is used, where "error" is the largest, with a reason against it."""

    store: Store
    model: Model
    detector: Detector | None
    limits: Limits
    mode: GateMode
    gate: QualityGate
    on_several: Choice
    consent: str

    def enrol(
        self,
        images: ImageSource,
        names: Sequence[str],
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Enrolment:
        """`names` (N,): who is in the images."""
        first = {name: place for place, name in reversed(list(enumerate(names)))}
        order = sorted(range(len(names)), key=lambda place: (first[names[place]], place))
        faces: Choice = "largest" if self.on_several == "error" else self.on_several
        source = LookedAt(ImageSubset(images, order), self.detector, faces, None if self.mode == "off" else self.gate)
        outcomes: list[EnrolmentOutcome] = []
        waiting: dict[str, list[Looked]] = {}
        looked_at = source.look(self.model, self.store.binding.views, batch_size)
        for done, looked in enumerate(looked_at, 1):
            name = names[order[looked.index]]
            if name not in waiting and sum(map(len, waiting.values())) >= _IMAGES_AT_A_TIME:
                outcomes += self._enrol(source, waiting)
                waiting = {}
            waiting.setdefault(name, []).append(looked)
            if progress is not None:
                progress(done, len(order))
        outcomes += self._enrol(source, waiting)
        return Enrolment(tuple(outcomes), self.limits.not_checked if self.mode != "off" else ())

    def _enrol(self, source: LookedAt, waiting: dict[str, list[Looked]]) -> list[EnrolmentOutcome]:
        """Whole people, with one change of the gallery."""
        outcomes: list[EnrolmentOutcome] = []
        additions: dict[str, list[NewImage]] = {}
        templates: dict[str, NDArray[np.float32]] = {}
        alike = self._most_alike(waiting)
        for name, looked in waiting.items():
            known = list(self.store.images(name)) if self.store.person_numbers([name])[0] is not None else []
            new, found = self._of_person(source, name, looked, known, alike, templates)
            outcomes += found
            if new:
                additions[name] = new
            counting = [image for image in new if not image.in_review]
            if counting and self.limits.another is not None and self.mode != "off":
                quality = np.array([image.quality for image in counting], np.float32)
                vectors = np.stack([image.vector for image in counting])
                templates[name] = person_template(vectors, quality, self.store.binding.quality_helps)
        if additions:
            self.store.add(additions)
        return outcomes

    def _of_person(
        self,
        source: LookedAt,
        name: str,
        looked: Sequence[Looked],
        known: Sequence[EnrolledImage],
        alike: dict[int, list[tuple[str, float]]],
        templates: dict[str, NDArray[np.float32]],
    ) -> tuple[list[NewImage], list[EnrolmentOutcome]]:
        new: list[NewImage] = []
        outcomes: list[EnrolmentOutcome] = []
        digests = {image.digest for image in known}
        usable = [one for one in looked if one.embedding is not None]
        against = dict(self._against(name, usable, known, alike, templates)) if self.mode != "off" else {}
        for one in looked:
            where = source.describe(one.index)
            if one.embedding is None:
                assert one.problem is not None
                outcomes.append(EnrolmentOutcome(where, name, "refused", (one.problem,), float("nan")))
                continue
            digest, quality = one.digest, float(one.embedding.quality[0])
            reasons = against.get(one.index, ())
            outcome: Outcome = "enrolled already"
            if digest not in digests:
                outcome = self._outcome(reasons)
            outcomes.append(EnrolmentOutcome(where, name, outcome, reasons, quality))
            if outcome in ("enrolled", "in review"):
                digests.add(digest)
                vector, norm = one.embedding.vectors[0], float(one.embedding.norms[0])
                in_review = outcome == "in review"
                new.append(NewImage(vector, norm, quality, where, digest, self.consent, reasons, in_review))
        return new, outcomes

    def _outcome(self, reasons: Sequence[Reason]) -> Outcome:
        if not reasons or self.mode in ("off", "warn"):
            return "enrolled"
        return "refused" if self.mode == "refuse" else "in review"

    def _against(
        self,
        name: str,
        usable: Sequence[Looked],
        known: Sequence[EnrolledImage],
        alike: dict[int, list[tuple[str, float]]],
        templates: dict[str, NDArray[np.float32]],
    ) -> Iterator[tuple[int, tuple[Reason, ...]]]:
        """The reasons against each image, by its index."""
        counting = [image for image in known if not image.in_review]
        embeddings = [one.embedding for one in usable if one.embedding is not None]
        old_ND = self.store.vectors([image.number for image in counting])
        vectors_ND = np.concatenate([old_ND, *(embedding.vectors for embedding in embeddings)])
        quality_N = [image.quality for image in counting]
        quality_N += [float(embedding.quality[0]) for embedding in embeddings]
        for place, (one, embedding) in enumerate(zip(usable, embeddings, strict=True), len(counting)):
            reasons = list(one.reasons)
            if one.found is not None and one.found.num_faces > 1 and self.on_several == "error":
                reasons.append(several_faces(one.found.num_faces))
            reasons += quality_reason(float(embedding.quality[0]), self.limits)
            others = [pair for pair in alike.get(one.index, []) if pair[0] != name]
            others += [(other, exact_score(embedding.vectors[0], template)) for other, template in templates.items()]
            if others:
                reasons += another_reason(*max(others, key=lambda pair: pair[1]), self.limits)
            by_quality = self.store.binding.quality_helps
            reasons += disagreement(vectors_ND, quality_N, place, self.limits, by_quality)
            yield one.index, tuple(reasons)

    def _most_alike(self, waiting: dict[str, list[Looked]]) -> dict[int, list[tuple[str, float]]]:
        """The two enrolled people most like each image, by its index, if they reach the limit."""
        limit = self.limits.another
        looked = [one for of_person in waiting.values() for one in of_person]
        usable = [(one.index, one.embedding) for one in looked if one.embedding is not None]
        if self.mode == "off" or limit is None or not usable:
            return {}
        found = self.store.search(_stacked([embedding for _, embedding in usable]), 2)
        alike: dict[int, list[tuple[str, float]]] = {}
        for (index, _), people_K, scores_K in zip(usable, found.people_PK, found.scores_PK, strict=True):
            pairs = zip(people_K.tolist(), scores_K.tolist(), strict=True)
            reaching = [(number, score) for number, score in pairs if score >= limit]
            names = self.store.person_names([number for number, _ in reaching])
            alike[index] = [(name, score) for name, (_, score) in zip(names, reaching, strict=True)]
        return alike


def _stacked(embeddings: Sequence[Embeddings]) -> NDArray[np.float32]:
    return np.concatenate([embedding.vectors for embedding in embeddings])
