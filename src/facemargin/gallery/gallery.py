"""People, their images and vectors, by name: enrol them, find them again. Shapes: N images."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.data.videos.stream import Stream
from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.shipped import shipped_calibration
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice
from facemargin.errors import ConfigError
from facemargin.features.video import embed_video
from facemargin.gallery.binding import Binding
from facemargin.gallery.certificate import GalleryCertificate
from facemargin.gallery.certifying import certify_searches
from facemargin.gallery.enrolling import Enroller
from facemargin.gallery.enrolment import Enrolment, GateMode, limits_of
from facemargin.gallery.exporting import export_images
from facemargin.gallery.identification import Identification
from facemargin.gallery.identifying import identify
from facemargin.gallery.named import consent_note, known_names, named_images, person_name
from facemargin.gallery.regrouping import merge, split
from facemargin.gallery.reviewing import review
from facemargin.gallery.rule import DEFAULT_FPIR, SearchRule, calibrated_rule, certified_rule
from facemargin.gallery.store import EnrolledImage, EnrolledPerson, Store
from facemargin.gallery.stores import create_store, open_store
from facemargin.gallery.video import IdentifiedVideo, identify_tracks
from facemargin.models.load import load, named_code
from facemargin.models.model import Model, Progress
from facemargin.quality.gate import QualityGate

logger = logging.getLogger(__name__)


class Gallery:
    """Enrolled people in a folder, or in Milvus: their images' vectors, norms, qualities and where they are from, but
    no image.

    A gallery belongs to the model, and to the way of finding faces, with which it was created. Any number of processes
    read it while one changes it; a change is there wholly or not at all, whenever a process is killed. Only what is
    enrolled by name gets in: probes never do.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> gallery = fm.Gallery.create(tempfile.mkdtemp() + "/gallery", model)
        >>> gallery.enrol(fm.open_images("orl:1-3"), gate="off").count("enrolled")
        30
        >>> gallery
        <facemargin.Gallery .../gallery: 3 people, 30 images>
        >>> answer, = gallery.identify(fm.open_images("orl:2").read(0))
        >>> len(answer.candidates), answer.decision  # no decision without thresholds
        (3, None)
    """

    def __init__(
        self,
        path: Path | str,
        model: Model | None = None,
        *,
        detector: Detector | None = None,
        calibration: Calibration | None = None,
        certificate: Certificate | GalleryCertificate | None = None,
    ) -> None:
        """Open the gallery at `path`: a folder, or milvus:PATH.db, or milvus:http://HOST:19530/NAME. `model` is the one
        that it was created with, which is otherwise loaded by its name when it is needed; `detector` likewise, if it is
        not one of facemargin's. Decisions are by a `calibration` or a `certificate` of this model, or by what `certify`
        promises of this gallery; a released model may have a calibration of its own.

        Raises DataError, which names the file, if there is no gallery or it is damaged, and ConfigError, with the
        reason, for another model or detector, and for a calibration or a certificate that is not of this model.
        """
        self._store: Store = open_store(path)
        self._model: Model | None = None
        self._detector: Detector | None = None
        self._by: Calibration | Certificate | GalleryCertificate | None = None
        try:
            if calibration is not None and certificate is not None:
                raise ConfigError("a calibration and a certificate are given, expected one of them")
            if model is not None:
                self._set_model(model)
            if detector is not None:
                self._detector = self._store.binding.find_detector(detector)
            if calibration is not None:
                calibration.require_model(self.model)
                self._require_views(calibration.views, "calibration")
            if isinstance(certificate, GalleryCertificate):
                self._promised(certificate)
            elif certificate is not None:
                certificate.require_any_people()
                certificate.require_model(self.model)
                self._require_views(certificate.views, "certificate")
                certificate.require_faces(self.detector)
                certificate.require_promise()
            self._by = calibration or certificate
        except BaseException:
            self._store.close()
            raise

    @classmethod
    def create(
        cls,
        path: Path | str,
        model: Model | Path | str,
        *,
        detector: Detector | str | None = None,
        model_name: str = "",
        **opened_with: Any,
    ) -> "Gallery":
        """Create a gallery without people in a new folder, and open it (`opened_with`: as for `Gallery`).

        `model` is a model, or what `load` takes, by which it is loaded again later; so is the `model_name` of a model.
        `detector` finds the face in every image, by its name or as an object; without one the images must be aligned.

        The model's quality is used, to weight images and to tell poor ones, if it is shown to help (`check_quality`),
        now and for this gallery for good.

        Raises ConfigError if there is something at `path`, OutputError if it cannot be written, and what `load` raises.
        """
        name = model_name if isinstance(model, Model) else str(model)
        loaded = model if isinstance(model, Model) else load(model)
        if name and Path(name).exists():
            name = str(Path(name).resolve())
        create_store(path, Binding.of(loaded, name, detector)).close()
        return cls(path, loaded, detector=None if isinstance(detector, str) else detector, **opened_with)

    def __repr__(self) -> str:
        people, images, in_review = self._store.counts()
        waiting = f", {in_review:,} in review" if in_review else ""
        shown = f"{people:,} {'person' if people == 1 else 'people'}, {images:,} {'image' if images == 1 else 'images'}"
        return f"<facemargin.Gallery {self._store.name}: {shown}{waiting}>"

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of people with images that count."""
        return self._store.counts()[0]

    @property
    def model(self) -> Model:
        """The model, loaded when it is first asked for. ConfigError if it cannot be, or has changed."""
        if self._model is None:
            self.require_named_model()
            self._set_model(load(self._store.binding.model))
        assert self._model is not None
        return self._model

    def require_named_model(self) -> None:
        """Raise ConfigError, with what to do, if the model cannot be loaded by its name: it was given in Python, or is
        code, which is not run because a file names it."""
        name = self._store.binding.model
        if not name or named_code(name):
            given = f"given as code ({name}), which is not run unless you name it" if name else "given in Python"
            raise ConfigError(
                f"{self._store.name} was created with a model that was {given}: give it again, as fm.Gallery(path, "
                "model) or --model"
            )

    @property
    def detector(self) -> Detector | None:
        """What finds the faces; None if images are aligned."""
        if self._detector is None:
            self._detector = self._store.binding.find_detector()
        return self._detector

    @property
    def binding(self) -> Binding:
        """What the vectors depend on: the model's name and fingerprint, how it measures quality, the detector."""
        return self._store.binding

    @property
    def people(self) -> list[EnrolledPerson]:
        """Everybody, in the order of enrolment."""
        return list(self._store.people())

    def each_person(self, after: int = 0) -> Iterator[EnrolledPerson]:
        """Everybody of a number above `after`, in the order of enrolment, read as they are asked for."""
        return self._store.people(after)

    def counts(self) -> tuple[int, int, int]:
        """The number of people with images that count, of these images, and of images in review."""
        return self._store.counts()

    def enrolled(self, people: Sequence[str]) -> list[bool]:
        """Which of these people are in the gallery."""
        return [number is not None for number in self._store.person_numbers(known_names(self._store, people))]

    def images(self, person: str | None = None) -> list[EnrolledImage]:
        """The images of a person, or of all, in the order of enrolment. DataError for one who is not enrolled."""
        return list(self._store.images(None if person is None else known_names(self._store, [person])[0]))

    def in_review(self, after: int = 0, limit: int | None = None) -> list[EnrolledImage]:
        """The images that wait for `review`, in the order of their numbers: those above `after`, at most `limit`."""
        return list(islice(self._store.images(in_review=True, after=after), limit))

    def review(self, accept: Sequence[int] = (), reject: Sequence[int] = ()) -> list[EnrolledImage]:
        """Let images that wait count, by their numbers, or delete them with their vectors, and people of whom none is
        left; returns these images, as they waited. ConfigError for one that does not wait, as when somebody else has
        decided, and for one in both: then nothing changes."""
        return review(self._store, accept, reject)

    def enrol(
        self,
        images: LabeledImages | GivenForm | Iterable[GivenForm],
        person: str | None = None,
        *,
        gate: GateMode = "refuse",
        limits: QualityGate | None = None,
        on_several: Choice = "error",
        consent: str = "",
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Enrolment:
        """Enrol `images` of one `person`, or a folder of people, or other images with identities, and say what became
        of each.

        `gate` says what happens to an image with reasons against it: it fails the `limits` of size, sharpness, light
        and pose; it shows several faces (unless `on_several` says which one to use); its quality is below the floor of
        the calibration; it looks like somebody else who is enrolled; or it disagrees with the person's other images.
        "refuse" leaves it out, "review" keeps it without letting it count, "warn" enrols it, "off" looks for no
        reasons. An image that cannot be read or shows no face is refused always, and one that the person has already is
        passed over, so that an enrolment that was broken off can simply be repeated. `consent` is a note that is kept
        with every image.

        Raises ConfigError for a name that is empty, has more than 200 characters or cannot be shown, for a note of more
        than 1,000, and a gate that is not known, DataError if no
        image has an identity and no person is given, and OutputError if the gallery cannot be written or another
        process is writing; what was enrolled before that stays.
        """
        if gate not in ("off", "warn", "refuse", "review"):
            raise ConfigError(f"gate is {gate!r}, expected one of off, warn, refuse, review")
        if on_several not in ("error", "largest", "central"):
            raise ConfigError(f"on_several is {on_several!r}, expected one of error, largest, central")
        source, names = named_images(images, person)
        people = self._store.counts()[0] + len(set(names))
        checked = limits_of(self._calibration() if gate != "off" else None, self.binding, people)
        enroller = Enroller(
            self._store, self.model, self.detector, checked, gate, limits or QualityGate(), on_several,
            consent_note(consent),
        )  # fmt: skip
        with self._store.writing("enrolling"):
            return enroller.enrol(source, names, batch_size, progress)

    def identify(
        self,
        images: ImageSource | GivenForm | Iterable[GivenForm],
        groups: Sequence[object] | None = None,
        *,
        candidates: int = 5,
        fpir: float = DEFAULT_FPIR,
        fmr: float | None = None,
        gate: QualityGate | None = None,
        on_several: Choice = "largest",
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[Identification]:
        """Say who each image shows: "this person", "nobody enrolled", "cannot tell" or "too poor to decide", with the
        most alike `candidates`. Images with equal `groups` (N,) are of one person, and pooled by their quality.

        Decisions are by the thresholds that the gallery was opened with; see `rule`. `gate`: also leave out images that
        fail its limits. `on_several`: the face of a photograph with several, or "error".

        Raises ConfigError for rates out of range and for options that do not go together.
        """
        if candidates < 1:
            raise ConfigError(f"candidates is {candidates}, expected at least 1")
        source = given_images(images)
        if groups is not None and len(groups) != len(source):
            raise ConfigError(f"groups has {len(groups)} values for {len(source)} images, expected one for each")
        rule = self.rule(fpir, fmr)
        answers = identify(
            self._store,
            self.model,
            self.detector,
            rule,
            source,
            groups,
            candidates,
            gate,
            on_several,
            batch_size,
            progress,
        )
        return list(answers)

    def identify_video(
        self,
        video: Path | str | Stream,
        *,
        candidates: int = 5,
        fpir: float = DEFAULT_FPIR,
        fmr: float | None = None,
        gate: QualityGate | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        **tracking: Any,
    ) -> IdentifiedVideo:
        """Say who is in a video file, or in some seconds of a stream: each track of a face (`embed_video`, which takes
        the other arguments, such as `frames_per_second` and `journal`) is answered as images of one person are, from
        its best faces. `gate`: faces that fail its limits count only in tracks that have no others, which are too poor.

        Raises ConfigError for a gallery of aligned images, which says nothing of how faces are found, and what
        `embed_video` raises.
        """
        if candidates < 1:
            raise ConfigError(f"candidates is {candidates}, expected at least 1")
        if self.detector is None:
            raise ConfigError(
                f"{self._store.name} is of aligned images, and does not say what finds the faces in a video: create a "
                "gallery of photographs (facemargin gallery create G --model MODEL --detect)"
            )
        rule = self.rule(fpir, fmr)
        found = embed_video(
            self.model, video, detector=self.detector, batch_size=batch_size, views=self.binding.views,
            progress=progress, gate=gate, **tracking,
        )  # fmt: skip
        return IdentifiedVideo(found, identify_tracks(self._store, rule, found, candidates))

    def rule(self, fpir: float = DEFAULT_FPIR, fmr: float | None = None) -> SearchRule | None:
        """The thresholds of a search among the people who are enrolled now, and what is known of its errors; None if
        there are none for this model. Raises ConfigError for `fpir` and `fmr` together, and for either beside a
        certificate."""
        given = {"fpir": fpir != DEFAULT_FPIR, "fmr": fmr is not None}
        if all(given.values()):
            raise ConfigError("fpir and fmr are both given, expected one of them")
        if isinstance(self._by, GalleryCertificate | Certificate):
            for name, is_given in given.items():
                if is_given:
                    raise ConfigError(f"a certificate has rates of its own: leave out {name}")
        if isinstance(self._by, GalleryCertificate):
            return self._promised(self._by)
        if isinstance(self._by, Certificate):
            return certified_rule(self._by, self.binding, len(self))
        calibration = self._calibration()
        return None if calibration is None else calibrated_rule(calibration, self.binding, len(self), fpir, fmr)

    def certify(
        self,
        faces: LabeledImages,
        fpir: float = DEFAULT_FPIR,
        *,
        fnir: float | None = None,
        confidence: float = 0.95,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> GalleryCertificate:
        """The threshold at which at most `fpir` of the searches with one image for people who are not enrolled find
        somebody, promised with `confidence` for strangers whom nobody has tested, drawn like those in `faces`.

        Names tell who of `faces` is enrolled; these people count for the `fnir` alone: at most this share of the
        searches for enrolled people is answered with "nobody enrolled". Without it nobody gets that answer. The promise
        is about the gallery as it is, and ends with the next change of it. It takes −ln(1 − confidence)/fpir people,
        about 300 for 1 %.

        A rate that so few people cannot certify is no error: `refusals` says what it would need. Raises ConfigError for
        rates out of range, DataError for faces without names and for pictures that are enrolled.
        """
        calibration = self._calibration()
        floor = None if calibration is None else calibrated_rule(calibration, self.binding, 1).quality_floor
        return certify_searches(
            self._store, self.model, self.detector, faces, fpir, fnir, confidence, floor, batch_size, progress
        )

    def remove(self, *people: str) -> int:
        """Delete people with all their images and vectors, which are overwritten on the disk when this returns; returns
        the number of images. DataError for one who is not enrolled: then nobody is deleted."""
        return self._store.remove_people(list(dict.fromkeys(known_names(self._store, people))))

    def remove_images(self, *numbers: int) -> int:
        """Delete images by their numbers, and people of whom none is left. DataError for a number that is not there."""
        return self._store.remove_images(numbers)

    def accept(self, *numbers: int) -> None:
        """Let images count that are in review. DataError for a number that is not there."""
        self._store.accept(numbers)

    def merge(self, person: str, into: str) -> int:
        """Let all images of `person` be of somebody else who is enrolled, where two names turn out to be one person;
        returns their number. DataError for one who is not enrolled, ConfigError for the same name twice."""
        return merge(self._store, *known_names(self._store, [person, into]))

    def split(self, person: str, numbers: Sequence[int], name: str) -> None:
        """Let some images of `person`, by their numbers, be of a new person called `name`, where one name turns out to
        be two people. DataError for one who is not enrolled; ConfigError for images that are not of the person, for
        all of them, for none, and for a name that is enrolled already or cannot be shown."""
        split(self._store, known_names(self._store, [person])[0], numbers, person_name(name))

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Read all of the gallery and say what is wrong with it, naming file and row; empty if nothing is."""
        return self._store.check(progress)

    def export(self, path: Path | str) -> None:
        """Write all images to an .npz file with the arrays `paths`, `embeddings`, `norms`, `quality`, as facemargin
        embed does, and `people`, `numbers`, `in_review`; no pickles. A path that two images have gets their numbers.
        OutputError if it cannot be written."""
        export_images(self._store, Path(path))

    def close(self) -> None:
        """Let go of all files."""
        self._store.close()

    def _promised(self, certificate: GalleryCertificate) -> SearchRule:
        """ConfigError, with the reason, if it is not about this gallery as it is, or promises nothing."""
        if certificate.state != self._store.state():
            raise ConfigError(
                f"this certificate is about {certificate.gallery} with {certificate.enrolled:,} people on "
                f"{certificate.date[:10]}, and {self._store.name} is another gallery or has changed since: no promise "
                "about one holds for the other, so run facemargin gallery certify again"
            )
        rule = certificate.rule()
        if rule is None:
            raise ConfigError(f"this certificate promises nothing: {'; '.join(certificate.refusals)}")
        return rule

    def _set_model(self, model: Model) -> None:
        self.binding.require_model(model, self._store.name)
        self._model = model

    def _require_views(self, views: str, what: str) -> None:
        if views != self.binding.views:
            raise ConfigError(
                f"this {what} is of the views {views} of every image, the gallery of {self.binding.views}: make one "
                "with those, or create a gallery with a model of those views"
            )

    def _calibration(self) -> Calibration | None:
        if self._by is None or isinstance(self._by, GalleryCertificate):
            shipped = shipped_calibration(self.model)
            return shipped if shipped is not None and shipped.views == self.binding.views else None
        return self._by if isinstance(self._by, Calibration) else None
