"""A certificate: thresholds of a model with error rates that are promised for people whom nobody has tested, and all
that the promises are bound to, stored in a JSON file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from facemargin.counting import counted
from facemargin.data.digest import data_digest
from facemargin.data.source import LabeledImages
from facemargin.decision.certificate_file import thresholds_from
from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.decision.guarantee import promises
from facemargin.detection.detector import Detector, Setting, differing_settings, identify_detector
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.certified_bound import certified_upper_bound
from facemargin.evaluation.metrics.certified_thresholds import (
    Answer,
    CertifiedBand,
    CertifiedRate,
    CertifiedThresholds,
)
from facemargin.evaluation.plain import plain
from facemargin.files.atomic import write_text_atomically
from facemargin.files.fields import Fields
from facemargin.models.model import Model
from facemargin.models.views import Views
from facemargin.quality import QualityName

FORMAT = "facemargin certificate 1"


@dataclass(frozen=True)
class CertifiedFaces:
    """The faces that a certificate rests on: the name of the set, how many people and images there are in it, and a
    digest of the images and of who is in them. detector, settings: what found the faces in photographs; None if the
    images were used as they are."""

    name: str
    people: int
    images: int
    digest: str
    detector: str | None = None
    settings: Mapping[str, Setting] | None = None


@dataclass(frozen=True)
class CertifiedGallery:
    """The fixed gallery that a certificate is about: its name, how many people and images there are in it, and a digest
    of the images and of which of them show the same person. probe_people: how many people of it are among the faces
    that the certificate rests on."""

    name: str
    people: int
    images: int
    digest: str
    probe_people: int

    def __str__(self) -> str:
        people = counted(self.people, "person", "people")
        enrolled = f"{self.probe_people:,} {'is' if self.probe_people == 1 else 'are'}"
        return (
            f"the gallery {self.name}, {counted(self.images, 'image')} of {people}, of whom {enrolled} among the probes"
        )


@dataclass(frozen=True, repr=False)
class Certificate:
    """What `certify` promises of a model, and on what it rests.

    thresholds: by band of quality, with the promised, observed and estimated rates. faces: who was compared. quality:
    how the model measures quality. views: the views of every image. fingerprint: identifies the model. date,
    version: when it was made, and by which facemargin. gallery: what the faces were compared with; None if they were
    compared with each other. Promises about a gallery hold for it alone.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> certificate = fm.certify(model, fm.open_images("orl:1-40"), fmr=0.2)
        >>> certificate
        Certificate(FMR 0.2 promised with 95 % confidence: 40 people, 400 images of 'orl:1-40')
        >>> print(*fm.certify(model, fm.open_images("orl:1-40"), fmr=1e-3).refusals)
        FMR 0.001 needs 5,990 people with no false match, the pairs have 40; the lowest that can be certified is 13.9 %
    """

    thresholds: CertifiedThresholds
    faces: CertifiedFaces
    quality: str
    views: Views
    fingerprint: list[float]
    date: str
    version: str
    gallery: CertifiedGallery | None = None

    def __repr__(self) -> str:
        rates = " and ".join(f"{rate.name} {rate.target:g}" for rate in self._rates(self.thresholds.bands[0]))
        promised = "promised" if self.promises else "not promised"
        faces = f"{counted(self.faces.people, 'person', 'people')}, {counted(self.faces.images, 'image')}"
        confidence = f"{100 * self.thresholds.confidence:g} % confidence"
        return f"Certificate({rates} {promised} with {confidence}: {faces} of {self.faces.name!r}{self._compared})"

    @property
    def _compared(self) -> str:
        return "" if self.gallery is None else f" with the gallery {self.gallery.name!r}"

    @property
    def promises(self) -> bool:
        """Whether all rates that were asked for are certified in the best band of quality."""
        return all(rate.threshold is not None for rate in self._rates(self.thresholds.bands[0]))

    @property
    def refusals(self) -> list[str]:
        """Why rates cannot be certified, from the best band down; empty if all can be."""
        bands = self.thresholds.bands
        return [
            (f"band {number} of {len(bands)}: " if len(bands) > 1 else "") + rate.refusal
            for number, band in enumerate(bands, 1)
            for rate in self._rates(band)
            if rate.refusal
        ]

    @property
    def lowest_fmr(self) -> float:
        """The lowest FMR that the people of the best band can certify, if none of them matches another."""
        return self.thresholds.bands[0].fmr.lowest

    @property
    def lowest_if_all_compared(self) -> float | None:
        """For a list of pairs: what it would be if its people were all compared with each other; otherwise None."""
        if self.thresholds.design != "list":
            return None
        confidence = self.thresholds.bands[0].fmr.confidence
        return float(certified_upper_bound(0.0, self.faces.people // 2, confidence))

    def decide(self, score: float, quality: float) -> Answer:
        """The answer for a pair with this score and the quality of its poorer image."""
        return self.thresholds.decide(score, quality)

    def require_model(self, model: Model) -> None:
        """Raise ConfigError, with the reason, if the promises were made for another model."""
        what_to_do = "run facemargin certify with the model that decides"
        if model.info.quality != self.quality:
            raise ConfigError(
                f"this certificate is of a model that measures quality by its {self.quality}, but this one does by its "
                f"{model.info.quality}: {what_to_do}"
            )
        if not is_same_model(fingerprint(model, self.views), self.fingerprint):
            raise ConfigError(
                "this certificate belongs to another model, or to this one before it changed (its answers differ), and "
                f"no promise for one model holds for another: {what_to_do}"
            )

    def require_promise(self) -> None:
        """Raise ConfigError, with the reason, if no answer is promised at all."""
        if not promises(self.thresholds):
            raise ConfigError(
                f"this certificate promises nothing, so there is nothing to decide by: {'; '.join(self.refusals)}. "
                "Certify on more people, or promise a higher rate"
            )

    def require_any_people(self) -> None:
        """Raise ConfigError, with the reason, if the promises are about a gallery, and therefore not about any two
        people."""
        if self.gallery is not None:
            raise ConfigError(
                f"this certificate is about people who are compared with the gallery {self.gallery.name} (digest "
                f"{self.gallery.digest}), and promises nothing about other pairs of people: certify without --gallery, "
                "or, for scores against that gallery, ask Certificate.require_gallery and Certificate.decide in Python"
            )

    def require_gallery(self, gallery: LabeledImages) -> None:
        """Raise ConfigError, with the reason, if the promises are not about this gallery: about another one, about this
        one before an image was added or replaced, or about people who were compared with each other."""
        if self.gallery is None:
            raise ConfigError(
                "this certificate is about people who are compared with each other, and not about a gallery: certify "
                "with --gallery"
            )
        if data_digest(gallery, gallery.labels) != self.gallery.digest:
            ours = f"{counted(len(gallery), 'image')} of {counted(len(np.unique(gallery.labels)), 'person', 'people')}"
            theirs = f"{counted(self.gallery.images, 'image')} of {counted(self.gallery.people, 'person', 'people')}"
            raise ConfigError(
                f"this certificate is about the gallery {self.gallery.name} ({theirs}), and {gallery.name} ({ours}) is "
                "another one, or that one before it changed: no promise about one gallery holds for another, so "
                "certify with this one"
            )

    def require_faces(self, detector: Detector | str | None) -> None:
        """Raise ConfigError, with the reason, if faces that this detector finds (None: images used as they are) are
        framed otherwise than those that the promises rest on."""
        if problem := self._other_faces(detector):
            raise ConfigError(
                f"this certificate was made {problem}, and faces that are cut out otherwise get other scores"
            )

    def _other_faces(self, detector: Detector | str | None) -> str:
        made_by = self.faces.detector
        if detector is None:
            if made_by is None:
                return ""
            return (
                f"on faces that {made_by} found in photographs, but these images are used as they are. Let it find the "
                "faces (--detect), or certify images that were aligned like these"
            )
        name, settings = identify_detector(detector)
        if made_by is None:
            return (
                f"on images as they are, but {name} is to find these faces. Compare images that were aligned like "
                "those, without a detector, or certify photographs with it (--detect)"
            )
        if name != made_by:
            return f"on faces that {made_by} found, but {name} is to find these. Use {made_by}, or certify with {name}"
        theirs = self.faces.settings or {}
        if settings == theirs:
            return ""
        now = "some that it does not say" if settings is None else differing_settings(settings, theirs)
        return (
            f"on faces that {name} found with the settings {differing_settings(theirs, settings or {})}, but now it "
            f"has {now}. Use the same settings, or certify with these"
        )

    def save(self, path: Path | str) -> None:
        """Write to a .json file that `load` reads back. It is written completely or not at all."""
        write_text_atomically(Path(path), self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> "Certificate":
        """Read a file of `save` or `facemargin certify`. Raises DataError, which names the file and the field, for any
        other file."""
        try:
            return _certificate(Fields(json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)))
        except OSError as error:
            raise DataError(
                f"{path} cannot be read as a certificate: {error.strerror}; facemargin certify writes one"
            ) from error
        except (ValueError, RecursionError) as error:
            problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise DataError(
                f"{path} cannot be read as a certificate of facemargin: {problem}; facemargin certify writes one"
            ) from error

    def to_json(self) -> str:
        """Plain JSON, without NaN and infinity."""
        found = self.thresholds
        content = {
            "format": FORMAT,
            "date": self.date,
            "facemargin": self.version,
            "model": {"quality": self.quality, "views": self.views, "fingerprint": self.fingerprint},
            "faces": self.faces,
            "design": found.design,
            "confidence": found.confidence,
            "left_out": found.left_out,
            "bands": found.bands,
        }
        if self.gallery is not None:
            content["gallery"] = self.gallery
        return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _rates(self, band: CertifiedBand) -> list[CertifiedRate]:
        return [rate for rate in (band.fmr, band.fnmr) if rate is not None]


def _refuse(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _certificate(file: Fields) -> Certificate:
    file.text("format", (FORMAT,))
    date, version = file.text("date"), file.text("facemargin")
    model = file.fields("model")
    quality, views = model.text("quality", get_args(QualityName)), model.text("views", get_args(Views))
    values = model.numbers("fingerprint")
    model.end()
    faces = _faces(file.fields("faces"))
    thresholds = thresholds_from(file)
    gallery = _gallery(file.fields("gallery")) if thresholds.design == "gallery" else None
    file.end()
    return Certificate(thresholds, faces, quality, cast(Views, views), values, date, version, gallery)


def _gallery(gallery: Fields) -> CertifiedGallery:
    name, people, images = gallery.text("name"), gallery.count("people"), gallery.count("images")
    digest, probe_people = gallery.text("digest"), gallery.count("probe_people")
    gallery.end()
    if probe_people > people:
        raise gallery.refuse("probe_people", probe_people, f"at most the people of the gallery, {people}")
    return CertifiedGallery(name, people, images, digest, probe_people)


def _faces(faces: Fields) -> CertifiedFaces:
    name, people, images = faces.text("name"), faces.count("people"), faces.count("images")
    digest, detector = faces.text("digest"), faces.optional_text("detector")
    given = faces.optional_fields("settings")
    faces.end()
    settings = None if given is None else given.settings()
    if (detector is None) != (settings is None):
        raise ValueError(f"faces.settings is {settings}, expected settings of a detector, and null without one")
    return CertifiedFaces(name, people, images, digest, detector, settings)
