"""What all addresses of a service share: the model with its worker, thresholds, galleries, keys, the logs."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from facemargin.data.source import RGBImage
from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.checked_model import find_check, shipped_check
from facemargin.decision.shipped import measured_elsewhere, shipped_calibration
from facemargin.detection.detector import Detector, Setting, identify_detector
from facemargin.detection.face import Face
from facemargin.errors import ConfigError, FacemarginError
from facemargin.gallery.certificate import GalleryCertificate
from facemargin.gallery.gallery import Gallery
from facemargin.models.model import Model
from facemargin.serving.audit_log import AuditLog
from facemargin.serving.batching import BatchedModel, NetworkWorker, seconds_left
from facemargin.serving.errors import RequestError, keys_are_readable, too_late
from facemargin.serving.keys import Key, KeyFile, Scope
from facemargin.serving.metrics import Metrics
from facemargin.serving.settings import ServiceSettings
from facemargin.serving.turns import Turns


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of the key, or "anybody" where no keys are needed."""

    name: str
    scopes: tuple[Scope, ...]


ANYBODY = Caller("anybody", ("read", "write"))


class TakingTurns:
    """`detector`, which only so many threads use at a time: it takes much memory."""

    def __init__(self, detector: Detector, most: int) -> None:
        name, settings = identify_detector(detector)
        self.name: str = name
        self.settings: Mapping[str, Setting] = settings or {}
        self._detector, self._free = detector, threading.Semaphore(most)

    def detect(self, image: RGBImage) -> list[Face]:
        """See `Detector.detect`."""
        if not self._free.acquire(timeout=seconds_left()):
            raise too_late()
        try:
            return self._detector.detect(image)
        finally:
            self._free.release()


@dataclass
class ServedGallery:
    """A gallery by the `name` that the operator gave it. `promised`: decided by a certificate of this gallery, which
    ends with its next change. `changing`: one request at a time changes it."""

    name: str
    folder: Path
    gallery: Gallery
    promised: bool = False
    changing: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def change(self) -> Iterator[Gallery]:
        """The gallery, for a change; other requests that change it wait. RequestError after the deadline."""
        if not self.changing.acquire(timeout=-1 if (left := seconds_left()) is None else left):
            raise too_late()
        try:
            yield self.gallery
        finally:
            self.changing.release()


class Service:
    """See `create_app`, which has the arguments."""

    def __init__(
        self,
        model: Model,
        *,
        model_name: str = "",
        galleries: Mapping[str, Path | str] | None = None,
        calibration: Calibration | None = None,
        certificate: Certificate | None = None,
        gallery_certificates: Mapping[str, GalleryCertificate] | None = None,
        detector: Detector | None = None,
        detect: bool = False,
        keys: KeyFile | None = None,
        audit_log: AuditLog | None = None,
        settings: ServiceSettings | None = None,
    ) -> None:
        self.settings = settings or ServiceSettings()
        self.metrics = Metrics()
        self.keys, self.audit_log = keys, audit_log
        if detect and detector is None:
            raise ConfigError("faces are to be found, but no detector is given")
        self.detector = None if detector is None else TakingTurns(detector, self.settings.detections)
        self.finds_faces = detect
        self._shipped = shipped_calibration(model) if calibration is None and certificate is None else None
        self.by: Calibration | Certificate | None = calibration or certificate or self._shipped
        self.about_thresholds = [] if self._shipped is None else [measured_elsewhere(self._shipped)]
        self._check_thresholds(model, calibration, certificate)
        self.quality_words = _quality_words(model, model_name)
        self.worker = NetworkWorker(model, self.settings.batch_size, self.metrics.batch_done)
        self.model = BatchedModel(model, self.worker)
        self.turns = Turns(self.settings.queue, self.settings.threads, self.settings.deadline)
        self.metrics.inside.set_function(lambda: self.turns.inside)
        self.galleries: dict[str, ServedGallery] = {}
        given = dict(gallery_certificates or {})
        try:
            for name, folder in (galleries or {}).items():
                self.galleries[name] = self._open(name, Path(folder), given.pop(name, None))
            if given:
                raise ConfigError(f"a certificate is given for the gallery {next(iter(given))!r}, which is not served")
        except BaseException:
            self.close()
            raise

    def _check_thresholds(self, model: Model, calibration: Calibration | None, certificate: Certificate | None) -> None:
        if calibration is not None and certificate is not None:
            raise ConfigError("a calibration and a certificate are given, expected one of them")
        if calibration is not None:
            calibration.require_model(model)
        if certificate is not None:
            certificate.require_any_people()
            certificate.require_model(model)
            certificate.require_faces(self.detector if self.finds_faces else None)
            certificate.require_promise()

    def _open(self, name: str, folder: Path, promised: GalleryCertificate | None) -> ServedGallery:
        with Gallery(folder) as closed:
            views, wrapped = closed.binding.views, self._finder(closed)
        by = promised or self.by
        if by is self._shipped and by is not None and by.views != views:
            by = None  # as the gallery itself does with what nobody gave
        calibration = by if isinstance(by, Calibration) else None
        certificate = by if isinstance(by, Certificate | GalleryCertificate) else None
        gallery = Gallery(folder, self.model, detector=wrapped, calibration=calibration, certificate=certificate)
        return ServedGallery(name, folder, gallery, promised is not None)

    def _finder(self, gallery: Gallery) -> TakingTurns | None:
        """What finds the faces of a gallery: the service's own detector, if it is the same."""
        bound, ours = gallery.binding, self.detector
        if bound.detector is None:
            return None
        if ours is not None and (ours.name, dict(ours.settings)) == (bound.detector, dict(bound.settings or {})):
            return ours
        found = gallery.detector
        return None if found is None else TakingTurns(found, self.settings.detections)

    def gallery(self, name: str) -> ServedGallery:
        """The gallery that the operator called `name`. RequestError if there is none."""
        if name not in self.galleries:
            raise RequestError(404, "no_such_gallery", "there is no gallery of this name: /v1/galleries lists them")
        return self.galleries[name]

    def caller(self, authorization: str | None, scope: Scope) -> Caller:
        """Who asks with this header Authorization. RequestError without a valid key, or without its `scope`."""
        if self.keys is None:
            return ANYBODY
        kind, _, secret = (authorization or "").partition(" ")
        with keys_are_readable():
            key: Key | None = self.keys.find(secret.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise RequestError(
                401,
                "no_key",
                "a valid key is needed, in the header Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope not in key.scopes:
            raise RequestError(
                403, "not_allowed", f"this key does not allow to {scope}: it allows {', '.join(key.scopes)}"
            )
        return Caller(key.name, key.scopes)

    def record(self, caller: Caller, request_id: str, action: str, gallery: str, **details: object) -> None:
        """Add a line to the audit log, if there is one. RequestError if it cannot be written: then nothing is done, or
        answered, either."""
        if self.audit_log is None:
            return
        try:
            self.audit_log.write(key=caller.name, request_id=request_id, action=action, gallery=gallery, **details)
        except FacemarginError as error:
            raise RequestError(
                503, "no_audit_log", "the audit log cannot be written, and nothing is done without it"
            ) from error

    def close(self) -> None:
        """Finish what was begun, and let go of all files."""
        self.turns.close()
        self.worker.close()
        for served in self.galleries.values():
            served.gallery.close()
        if self.audit_log is not None:
            self.audit_log.close()


def _quality_words(model: Model, name: str) -> str:
    check = find_check(name, model) if name else None
    if check is None and (shipped := shipped_check(model)) is not None:
        check = shipped.checks.get(model.info.quality)
    return "never checked (facemargin quality --check)" if check is None else check.in_short
