"""The certificate that a command is given."""

from pathlib import Path

from facemargin.decision.certificate import Certificate
from facemargin.detection.detector import DetectorName
from facemargin.models.model import Model


def fitting_certificate(path: Path | None, model: Model, detector: DetectorName | None) -> Certificate | None:
    """The certificate in the file, if one is given. Raises ConfigError, with the reason, if it is of another model, of
    faces that are not found by this `detector` (None: images used as they are), or of a fixed gallery."""
    if path is None:
        return None
    given = Certificate.load(path)
    given.require_any_people()
    given.require_model(model)
    given.require_faces(detector)
    return given
