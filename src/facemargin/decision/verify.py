"""Verifies whether two faces show the same person, by the decision of a calibrated model."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.data.given_images import GivenForm
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.certificate import Certificate
from facemargin.decision.guarantee import guarantee
from facemargin.detection.detect import align_found
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice, FoundFace
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.model import Model

logger = logging.getLogger(__name__)

Decision = Literal["same", "different", "cannot tell", "too poor to decide"]
"""Only a certificate says "cannot tell": of a score for which it promises neither "same" nor "different"."""

DEFAULT_FMR = 1e-3


@dataclass(frozen=True)
class Verification:
    """`score`: the cosine of the two embeddings, higher is more alike. `quality_a`, `quality_b`: the qualities of the
    images. `decision`: by `threshold` and its quality floor, which are those of a calibration, or by a certificate, and
    then `guarantee` says what is promised of it; None without both. `found_a`, `found_b`: with a detector, the face of
    each photograph that was used, and how many were found in it."""

    score: float
    quality_a: float
    quality_b: float
    decision: Decision | None = None
    threshold: Threshold | None = None
    guarantee: str | None = None
    found_a: FoundFace | None = field(default=None, compare=False)
    found_b: FoundFace | None = field(default=None, compare=False)


def verify(
    model: Model,
    a: GivenForm,
    b: GivenForm,
    calibration: Calibration | None = None,
    fmr: float | None = None,
    detector: Detector | str | None = None,
    faces: Choice = "largest",
    certificate: Certificate | None = None,
) -> Verification:
    """Compare two aligned faces, or with a `detector` the faces in two photographs. The images are paths, PIL images or
    (H, W, 3) uint8 RGB. `detector` is a name or an object, as for `detect`; `faces` says which face of a photograph is
    used, as for `align`. The decision is by a `calibration`, at an `fmr` that is 1e-3 by default, or by a
    `certificate`, at the FMR that it promises.

    Raises ConfigError if the calibration belongs to another model or cannot measure the `fmr`, if the certificate was
    made for another model, for a gallery or for faces that were found otherwise, or if it promises nothing, and
    NoFaceError if a photograph has no face. Logs a warning if the faces of the calibration were found by another
    detector, with other settings, or by a detector although none is given here.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> faces = fm.open_images("orl:1")
        >>> result = fm.verify(model, faces.read(0), faces.read(1))
        >>> -1 <= result.score <= 1, result.decision
        (True, None)
    """
    if not hasattr(model, "embed"):
        given = repr(model) if isinstance(model, str | Path) else f"of the type {type(model).__name__}"
        raise ConfigError(f"the model is {given}, expected a model, as in verify(fm.load(path), a, b)")
    if certificate is not None:
        if calibration is not None or fmr is not None:
            other = "a calibration" if calibration is not None else f"an fmr of {fmr:g}"
            raise ConfigError(
                f"a certificate and {other} are given, but a certificate has thresholds and FMR of its own"
            )
        certificate.require_any_people()
        certificate.require_model(model)
        certificate.require_faces(detector)
        certificate.require_promise()
    threshold = None
    if calibration is not None:
        threshold = calibration.at(DEFAULT_FMR if fmr is None else fmr)
        calibration.require_model(model)
        if doubt := calibration.doubt_detector(detector):
            logger.warning(doubt)
    both, found = [a, b], []
    if detector is not None:
        aligned = [align_found(image, faces, detector=detector) for image in (a, b)]
        both, found = [image for image, _ in aligned], [face for _, face in aligned]
    measured = certificate or calibration
    embeddings = model.embed(both, views=None if measured is None else measured.views)
    require_finite(embeddings)
    (result,) = decide(embeddings, np.array([[0, 1]]), certificate or threshold)
    return replace(result, found_a=found[0], found_b=found[1]) if found else result


def decide(
    embeddings: Embeddings, pairs_K2: NDArray[np.int64], by: Threshold | Certificate | None
) -> list[Verification]:
    """The decisions for pairs of embedding numbers. If the quality of an image is too low, there is no decision,
    however high the score is."""
    results = []
    for first, second in pairs_K2.tolist():
        score = float(np.dot(embeddings.vectors[first].astype(np.float64), embeddings.vectors[second]))
        qualities = float(embeddings.quality[first]), float(embeddings.quality[second])
        if isinstance(by, Certificate):
            answer = by.thresholds.decide(score, min(qualities))
            decision: Decision | None = "too poor to decide" if answer == "too poor" else answer
            promise = guarantee(by.thresholds, answer, min(qualities))
            results.append(Verification(score, *qualities, decision, guarantee=promise))
            continue
        decision = None
        if by is not None:
            if min(qualities) < by.quality_floor:
                decision = "too poor to decide"
            else:
                decision = "same" if score >= by.threshold else "different"
        results.append(Verification(score, *qualities, decision, by))
    return results


def require_finite(embeddings: Embeddings) -> None:
    """Raise DataError if the model returned a value that is not finite, because every comparison with it would be
    false."""
    if not (np.isfinite(embeddings.vectors).all() and np.isfinite(embeddings.quality).all()):
        raise DataError(
            "the model returned a value that is not finite, so its weights are damaged: load another copy of the file"
        )
