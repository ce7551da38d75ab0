"""The answers about pictures, by the functions that the verbs use. Everything here runs in the threads of requests."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.verify import DEFAULT_FMR, Verification, decide, require_finite
from facemargin.detection.detect import DetectedFaces
from facemargin.detection.face import Choice
from facemargin.errors import ConfigError, ImageError
from facemargin.gallery.looking import Looked, LookedAt
from facemargin.quality.gate import QualityGate
from facemargin.serving.answers import DetectedAnswer, EmbeddingOf, FaceAnswer, FoundAnswer, QualityOf, ReasonAnswer
from facemargin.serving.errors import RequestError
from facemargin.serving.service import Service
from facemargin.serving.uploads import UploadedImages


def check_choice(finds_faces: bool, on_several: Choice) -> None:
    """RequestError for a choice that would have no effect."""
    if not finds_faces and on_several != "largest":
        raise RequestError(
            422, "invalid_value", f"on_several is {on_several}, but pictures are aligned faces here: leave it out"
        )


def verify_pictures(
    service: Service, pictures: UploadedImages, fmr: float | None, on_several: Choice
) -> tuple[Verification, list[str]]:
    """The decision about two pictures, and doubts about its error rates, as `facemargin verify` prints them. Raises
    ImageError for a picture that cannot be read or shows no face."""
    by, doubts = service.by, []
    check_choice(service.finds_faces, on_several)
    detector = service.detector if service.finds_faces else None
    if fmr is not None and not isinstance(by, Calibration):
        raise ConfigError("fmr chooses a threshold of a calibration, and this service has none: leave it out")
    point: Certificate | None = by if isinstance(by, Certificate) else None
    threshold = None
    if isinstance(by, Calibration):
        rate = DEFAULT_FMR if fmr is None else fmr
        threshold = by.at(rate)
        doubts = [text for text in (*service.about_thresholds, by.doubt(rate), by.doubt_detector(detector)) if text]
    found = None if detector is None else DetectedFaces(pictures, detector, on_several)
    embeddings = service.model.embed(found or pictures, views=None if by is None else by.views)
    require_finite(embeddings)
    (result,) = decide(embeddings, np.array([[0, 1]]), point or threshold)
    if found is not None:
        result = replace(result, found_a=found.found(0), found_b=found.found(1))
    return result, doubts


def detect_faces(service: Service, pictures: UploadedImages) -> list[DetectedAnswer]:
    """The faces of each picture. RequestError if this service finds none."""
    if service.detector is None:
        raise RequestError(
            501, "no_detector", "this service has no detector: facemargin[detect] is not installed there"
        )
    answers = []
    for index in range(len(pictures)):
        name = pictures.describe(index)
        try:
            faces = service.detector.detect(pictures.read(index))
        except ImageError as error:
            answers.append(
                DetectedAnswer(image=name, faces=[], problem=ReasonAnswer(code="unreadable", words=str(error)))
            )
        else:
            answers.append(DetectedAnswer(image=name, faces=[FaceAnswer.of(face) for face in faces]))
    return answers


def embed_pictures(service: Service, pictures: UploadedImages, on_several: Choice) -> list[EmbeddingOf]:
    """The embedding of each picture."""
    answers = []
    for looked in _look(service, pictures, on_several, None):
        one = EmbeddingOf(
            image=pictures.describe(looked.index), problem=_problem(looked), found=FoundAnswer.of(looked.found)
        )
        if looked.embedding is not None:
            one.vector = looked.embedding.vectors[0].tolist()
            one.norm, one.quality = float(looked.embedding.norms[0]), float(looked.embedding.quality[0])
        answers.append(one)
    return answers


def rate_pictures(service: Service, pictures: UploadedImages, on_several: Choice) -> list[QualityOf]:
    """The quality of each picture, and what its face fails."""
    answers = []
    for looked in _look(service, pictures, on_several, QualityGate()):
        one = QualityOf(
            image=pictures.describe(looked.index), reasons=ReasonAnswer.of(looked.reasons), problem=_problem(looked),
            found=FoundAnswer.of(looked.found),
        )  # fmt: skip
        if looked.embedding is not None:
            one.norm, one.quality = float(looked.embedding.norms[0]), float(looked.embedding.quality[0])
        answers.append(one)
    return answers


def _look(service: Service, pictures: UploadedImages, on_several: Choice, gate: QualityGate | None) -> Sequence[Looked]:
    check_choice(service.finds_faces, on_several)
    detector = service.detector if service.finds_faces else None
    return list(LookedAt(pictures, detector, on_several, gate).look(service.model, None))


def _problem(looked: Looked) -> ReasonAnswer | None:
    return None if looked.problem is None else ReasonAnswer.of([looked.problem])[0]
