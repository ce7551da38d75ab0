"""`facemargin certify MODEL --images FOLDER [--gallery GALLERY] | --pairs SET --fmr 1e-3 --output certificate.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._embedding import warn_of_unreadable
from facemargin.commands._face_source import FaceSource, OnSeveral, check_detection
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import warn_of_quality
from facemargin.commands._say import say
from facemargin.commands._stored_embeddings import stored_embeddings
from facemargin.counting import counted
from facemargin.data.open import open_images, open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages, labeled_subset
from facemargin.decision.certificate import Certificate
from facemargin.decision.certifying import certify
from facemargin.decision.guarantee import ONE_COMPARISON, band_quality, left_out, promises
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics.certified_thresholds import CertifiedRate, CertifiedThresholds
from facemargin.models.model import Model
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views
from facemargin.report.certificate_page import write_certificate_page
from facemargin.tables import Table

_REFUSED = 3


@dataclass(frozen=True, kw_only=True)
class Arguments(ComputingArguments):
    """Find the thresholds at which error rates can be promised for people whom nobody has tested, and write them with
    a page that explains them. The exit code is 0 if the rates that were asked for can be promised, 3 if so few people
    cannot promise them, 2 for errors."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own."""
    images: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder with one folder per person, or any other training set: people drawn at random from those that the
    system is for. All of them are compared with each other, or with --gallery."""
    gallery: Annotated[str | None, tyro.conf.arg(metavar="GALLERY")] = None
    """Compare the people of --images with those enrolled here, a folder with one folder per person or any other set
    with names. Whose name is in it is enrolled. The promise is about this gallery alone."""
    pairs: Annotated[str | None, tyro.conf.arg(metavar="SET")] = None
    """Instead of --images: a verification set that says who is in its images. A list of pairs can promise far less than
    its people compared with each other."""
    fmr: float
    """The false match rate to promise: at most this share of pairs of different people is taken for the same person."""
    fnmr: float | None = None
    """Also promise a false non-match rate: at most this share of pairs of the same person is taken for different
    people. Without it, no pair is called different."""
    confidence: float = 0.95
    """The confidence in all promises together."""
    bands: int = 1
    """The number of bands of quality, of equally many images, each with thresholds of its own. It needs --images."""
    edges: tuple[float, ...] = ()
    """Instead of --bands: the qualities at which a new band begins, ascending, chosen without looking at these
    images."""
    output: Path
    """The .json file to write; the page beside it ends in .html. Existing files are replaced."""
    embeddings: Path | None = None
    """The .npz file that facemargin embed wrote for this model and the images of --images or --pairs, so that they are
    not embedded again. A sample of them is compared with what the model says. A gallery is embedded anyway."""
    views: Views | None = None
    """Views of an image to average. The default is that of the model."""
    detect: bool = False
    """Find and align the face in each image first, as facemargin verify --detect does."""
    on_several: OnSeveral = "largest"
    """With --detect: the face to use in a photograph with several faces; error refuses such a photograph."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""
    batch_size: int | None = None
    """Number of images to embed at a time. The default is 64 on the CPU and 256 on a GPU."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "certify", arguments)
    _check(args)
    faces = open_images(args.images) if args.images is not None else open_verification(args.pairs or "")
    gallery = None if args.gallery is None else open_images(args.gallery)
    model = load_on_device(args.model, args)
    faces, embeddings, source = _embedded(args, model, faces)
    certificate = certify(
        model,
        faces,
        args.fmr,
        args.confidence,
        args.fnmr,
        args.edges or args.bands,
        args.views,
        embeddings=embeddings,
        detector=source.detector,
        gallery=gallery,
        gallery_embeddings=None if gallery is None else _embedded_gallery(args, model, gallery),
    )
    page = args.output.with_suffix(".html")
    for path in (args.output, page):
        say_replaced(path)
    certificate.save(args.output)
    write_certificate_page(certificate, str(args.model), page)
    _say(certificate, args.output, page)
    warn_of_quality(args.model, model)
    return 0 if certificate.promises else _REFUSED


def _check(args: Arguments) -> None:
    if args.output.suffix != ".json":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .json")
    if (args.pairs is None) == (args.images is None):
        given = "neither is given" if args.pairs is None else "both are given"
        raise ConfigError(
            f"{given}: expected either --images with a folder of people, or --pairs with a verification set"
        )
    if args.gallery is not None and args.images is None:
        raise ConfigError(
            "--gallery is given without --images: the people who are compared with it, in a folder with one folder per "
            "person"
        )
    if args.edges and args.bands != 1:
        raise ConfigError("--bands and --edges are both given: --edges chooses the bands, so remove --bands")
    check_batch_size(args.batch_size)
    check_detection(args.detect, args.on_several, args.detector)


def _embedded(
    args: Arguments, model: Model, faces: LabeledImages | VerificationSet
) -> tuple[LabeledImages | VerificationSet, Embeddings, FaceSource]:
    """The faces that can be read, and their embeddings. An image of a list of pairs that cannot be read is an error."""
    images = faces.images if isinstance(faces, VerificationSet) else faces
    source = FaceSource(images, args.detect, args.on_several, args.detector)
    if args.embeddings is not None:
        return faces, stored_embeddings(args.embeddings, model, source, images, args.views), source
    with embedding_progress(Console(stderr=True), faces.name) as progress:
        if isinstance(faces, VerificationSet):
            embeddings = model.embed(source, args.batch_size, args.views, progress)
        else:
            embedded = embed_readable(model, source, args.batch_size, args.views, progress)
            embeddings = embedded.embeddings
            if embedded.unreadable:
                faces = labeled_subset(faces, embedded.indices_R)
            warn_of_unreadable(embedded.unreadable, len(embedded.indices_R), args.detect)
    source.warn()
    return faces, embeddings, source


def _embedded_gallery(args: Arguments, model: Model, gallery: LabeledImages) -> Embeddings:
    """An image that cannot be read is an error, because a promise about a gallery is about all of it."""
    source = FaceSource(gallery, args.detect, args.on_several, args.detector)
    with embedding_progress(Console(stderr=True), gallery.name) as progress:
        embeddings = model.embed(source, args.batch_size, args.views, progress)
    source.warn()
    return embeddings


def _say(certificate: Certificate, output: Path, page: Path) -> None:
    found = certificate.thresholds
    Console().print(_table(found))
    people = counted(certificate.faces.people, "person", "people")
    images = counted(certificate.faces.images, "image")
    for promise in promises(found):
        say(promise)
    for refusal in certificate.refusals:
        say(f"refused: {refusal}")
    if certificate.lowest_if_all_compared is not None:
        say(
            f"a list of pairs promises less than its people can: if all {people} were compared with each other "
            f"(--images), an FMR down to {100 * certificate.lowest_if_all_compared:.3g} % could be certified, with the "
            f"list {100 * certificate.lowest_fmr:.3g} %"
        )
    if behind_none := left_out(found):
        say(behind_none)
    if certificate.gallery is not None:
        say(f"compared with {certificate.gallery}. {ONE_COMPARISON}")
    say(f"{images} of {people} of {certificate.faces.name}; {output}, and {page} says what would break the promise")


def _table(found: CertifiedThresholds) -> Table:
    table = Table("quality", "people", "answer", "score", "certified", "observed", "estimated")
    for number, band in enumerate(found.bands):
        quality = band_quality(found.bands, number)
        if found.is_too_poor(band):
            table.add_row(quality, f"{band.fmr.people:,}", "too poor", "any", "refused", "", "")
            continue
        for rate in (band.fmr, band.fnmr):
            if rate is not None:
                table.add_row(quality if rate is band.fmr else "", f"{rate.people:,}", *_cells(rate))
    return table


def _cells(rate: CertifiedRate) -> tuple[str, ...]:
    answer, score = ("same", "≥ {:.4f}") if rate.name == "FMR" else ("different", "< {:.4f}")
    if rate.threshold is None or rate.observed is None:
        return answer, "–", "refused", "", ""
    low, high = rate.estimated or (None, None)
    return (
        answer,
        score.format(rate.threshold),
        f"≤ {100 * rate.target:.10g} %",
        f"{100 * rate.observed:.3g} %",
        "–" if low is None or high is None else f"{100 * low:.3g} – {100 * high:.3g} %",
    )
