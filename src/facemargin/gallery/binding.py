"""What the vectors of a gallery depend on: the model, and how faces are found."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import cast, get_args

from facemargin.decision.checked_model import find_check, shipped_check
from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.detection.detector import (
    DETECTORS,
    Detector,
    Setting,
    create_detector,
    differing_settings,
    identify_detector,
)
from facemargin.errors import ConfigError
from facemargin.files.fields import Fields
from facemargin.models.model import Model
from facemargin.models.views import Views
from facemargin.quality import QualityName
from facemargin.version import __version__

FORMAT = "facemargin gallery 1"


@dataclass(frozen=True)
class Binding:
    """model: the name or path of the model, for messages and to load it again; fingerprint: what identifies it. size:
    of a vector. quality: how it measures quality; quality_helps: whether that is shown to help, which decides whether
    it is used at all, as quality_words say. detector, settings: what finds the faces in photographs; None for images
    that are aligned already. created, version: when, and by which facemargin."""

    model: str
    fingerprint: list[float]
    size: int
    quality: str
    views: Views
    quality_helps: bool
    quality_words: str
    detector: str | None
    settings: Mapping[str, Setting] | None
    created: str
    version: str

    @classmethod
    def of(cls, model: Model, name: str, detector: Detector | str | None) -> "Binding":
        """That of a new gallery. Raises ConfigError for a detector that does not say its settings."""
        found_by, settings = (None, None) if detector is None else identify_detector(detector)
        if detector is not None and settings is None:
            raise ConfigError(
                f"the detector {found_by} does not say with which settings it finds faces (its attribute `settings`), "
                "and a gallery is of faces that are found in one way: give it some"
            )
        info = model.info
        check = find_check(name, model) if name else None
        if check is None and (shipped := shipped_check(model)) is not None:
            check = shipped.checks.get(info.quality)
        helps = check is not None and check.helps
        words = "never checked (facemargin quality --check)" if check is None else check.in_short
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            name, fingerprint(model), info.embedding_size, info.quality, info.views, helps, words, found_by, settings,
            now, __version__,
        )  # fmt: skip

    def require_model(self, model: Model, gallery: str) -> None:
        """Raise ConfigError, with the reason, unless this is the model of the gallery."""
        named = self.model or "a model that was given in Python"
        what_to_do = f"use that model, or create another gallery with this one; {gallery} was created with {named}"
        if model.info.quality != self.quality:
            raise ConfigError(
                f"{gallery} is of a model that measures quality by its {self.quality}, but this one does by its "
                f"{model.info.quality}: {what_to_do}"
            )
        if not is_same_model(fingerprint(model, self.views), self.fingerprint):
            raise ConfigError(
                f"{gallery} is of another model, or of this one before it changed (its answers differ), and vectors of "
                f"different models cannot be compared: {what_to_do}"
            )

    def find_detector(self, given: Detector | None = None) -> Detector | None:
        """What finds the faces of this gallery: `given`, if it is the same with the same settings, or made again by its
        name. ConfigError, with the reason, for another one."""
        if given is not None:
            name, settings = identify_detector(given)
            if self.detector is None:
                raise ConfigError(f"this gallery is of aligned images, but {name} is to find faces: leave it out")
            if name != self.detector or settings != self.settings:
                theirs, ours = dict(self.settings or {}), dict(settings or {})
                raise ConfigError(
                    f"this gallery is of faces that {self.detector} found ({differing_settings(theirs, ours)}), but "
                    f"{name} is to find these ({differing_settings(ours, theirs)}): use the same detector and settings"
                )
            return given
        if self.detector is None:
            return None
        if self.detector not in DETECTORS.names():
            raise ConfigError(
                f"this gallery is of faces that the detector {self.detector} found, which is not registered here: give "
                "it to fm.Gallery(…, detector=…)"
            )
        return create_detector(self.detector, **(self.settings or {}))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Binding":
        """Raises ValueError, which names the field, for another text."""
        file = Fields(json.loads(text))
        file.text("format", (FORMAT,))
        model, values, size = file.text("model"), file.numbers("fingerprint"), file.count("size")
        if size != len(values):
            raise file.refuse("size", size, f"that of the fingerprint, {len(values)}")
        quality, views = file.text("quality", get_args(QualityName)), file.text("views", get_args(Views))
        helps, words = file.flag("quality_helps"), file.text("quality_words")
        detector, given = file.optional_text("detector"), file.optional_fields("settings")
        settings = None if given is None else given.settings()
        created, version = file.text("created"), file.text("version")
        file.end()
        if (detector is None) != (settings is None):
            raise ValueError(f"settings is {settings}, expected those of a detector, and null without one")
        return cls(model, values, size, quality, cast(Views, views), helps, words, detector, settings, created, version)
