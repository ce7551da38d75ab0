"""`facemargin cluster MODEL IMAGES… --output people/`: groups photographs of unknown people by person.

Shapes: N images, R of them readable, U of those of sufficient quality.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._certificates import fitting_certificate
from facemargin.commands._device import load_on_device
from facemargin.commands._embedding import EmbeddingArguments, check_arguments, warn_of_unreadable
from facemargin.commands._face_files import write_csv
from facemargin.commands._face_source import FaceSource
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import warn_of_quality
from facemargin.commands._say import say
from facemargin.commands._writing_groups import write_group_folders
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.shipped import shipped_calibration
from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.clustering import clustering_scores
from facemargin.gallery.cluster import Clusters, Method, cluster
from facemargin.models.model import Model
from facemargin.models.readable import ReadableEmbeddings, embed_readable
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments(EmbeddingArguments):
    """Group images of unknown people by person. Images of too low a quality are put aside instead of being guessed.
    Where the people are known (--data), also print how well the groups agree with them."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")] = ()
    """Image files, folders of images at any depth, and .txt files with paths of images. Faces must be aligned as in
    training, or photographs with --detect."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FACES")] = None
    """Instead of IMAGES, a labelled set in any format, such as a folder with one folder per person: the groups are
    compared with its people."""
    output: Path | None = None
    """A .csv file (an existing one is replaced), or a new folder, which gets a folder of copies for each group. Without
    it, groups are only counted."""
    threshold: float | None = None
    """Join groups whose images have this mean score or more, instead of the threshold of a calibration."""
    calibration: Path | None = None
    """The file that facemargin calibrate wrote for this model. A released model may have thresholds of its own."""
    certificate: Path | None = None
    """A file of facemargin certify for this model, instead of a calibration: the largest threshold of its bands of
    quality, and its lowest quality. Its promise is of pairs, not of groups."""
    fmr: float | None = None
    """The false match rate whose threshold to take. The default is 1 / the number of images, or the lowest rate that
    the calibration has."""
    quality_floor: float | None = None
    """Put images of lower quality aside. The default is the calibration's; with --threshold none."""
    method: Method | None = None
    """average (average linkage), or leiden, for more than 20,000 images. The default depends on their number."""


@dataclass(frozen=True)
class _Rule:
    """The threshold and the quality floor (-inf: none), and where they come from, in words."""

    threshold: float
    floor: float
    words: str


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "cluster", arguments)
    _check(args)
    images: ImageSource = NamedImages(args.images) if args.data is None else open_images(args.data)
    model = load_on_device(args.model, args)
    certificate = fitting_certificate(args.certificate, model, args.detector if args.detect else None)
    by = certificate or _calibration(args, model)
    rule = _certified_rule(args, by, len(images)) if isinstance(by, Certificate) else _rule(args, by, len(images))
    source = FaceSource(images, args.detect, args.on_several, args.detector)
    if isinstance(by, Calibration) and (doubt := by.doubt_detector(args.detector if args.detect else None)):
        say(doubt, "warning", stderr=True)
    views = args.views if by is None else by.views
    console = Console(stderr=True)
    with embedding_progress(console, images.name) as progress:
        embedded = embed_readable(model, source, args.batch_size, views, progress)
    source.warn()
    warn_of_unreadable(embedded.unreadable, len(embedded.indices_R), args.detect)
    enough_R = embedded.embeddings.quality >= rule.floor
    with embedding_progress(console, images.name, "comparing") as progress:
        found = cluster(embedded.embeddings.vectors[enough_R], rule.threshold, method=args.method, progress=progress)
    number_R = np.full(len(enough_R), -1)
    number_R[enough_R] = found.numbers
    _say(found, rule, int((~enough_R).sum()))
    if isinstance(images, LabeledImages):
        _compare(images.labels[embedded.indices_R], number_R)
    if args.output is not None:
        _write(args.output, images, embedded, number_R)
    warn_of_quality(args.model, model)
    return 0


def _check(args: Arguments) -> None:
    check_arguments(args)
    if (args.data is None) == (not args.images):
        raise ConfigError("give images of unknown people, or --data with a labelled set, and not both")
    for ruling, others in (
        ("threshold", ("calibration", "certificate", "fmr")),
        ("certificate", ("calibration", "fmr")),
    ):
        for name in others if getattr(args, ruling) is not None else ():
            if getattr(args, name) is not None:
                raise ConfigError(f"--{ruling} is given, so --{name} has no effect: remove one of them")
    if args.views is not None and args.threshold is None:
        raise ConfigError("--views goes with --threshold: a calibration and a certificate have views of their own")
    if args.output is not None and args.output.suffix != ".csv":
        if args.data is not None:
            raise ConfigError(f"--output is {args.output}, expected with --data a name that ends in .csv")
        if args.output.exists():
            raise ConfigError(f"--output {args.output} exists already: give a new folder, or a name that ends in .csv")


def _certified_rule(args: Arguments, certificate: Certificate, images: int) -> _Rule:
    thresholds = certificate.thresholds
    found = {band.fmr.threshold: band.fmr.target for band in thresholds.bands if band.fmr.threshold is not None}
    if not found:
        raise ConfigError(f"this certificate has no threshold: {'; '.join(certificate.refusals)}")
    given = args.quality_floor if args.quality_floor is not None else thresholds.quality_floor
    fmr = max(found.values())
    _warn_of_chance(fmr, images)
    words = f"FMR {fmr:.2g} of pairs, certified on {certificate.faces.name}"
    return _Rule(max(found), -math.inf if given is None else given, words)


def _calibration(args: Arguments, model: Model) -> Calibration | None:
    if args.threshold is not None:
        return None
    if args.calibration is not None:
        given = Calibration.load(args.calibration)
        given.require_model(model)
        return given
    shipped = shipped_calibration(model)
    if shipped is None:
        raise ConfigError(
            "this model has no thresholds: measure them with facemargin calibrate, and give --calibration; or give a "
            "score with --threshold"
        )
    return shipped


def _rule(args: Arguments, calibration: Calibration | None, images: int) -> _Rule:
    floor = -math.inf if args.quality_floor is None else args.quality_floor
    if calibration is None:
        assert args.threshold is not None
        return _Rule(args.threshold, floor, "as given")
    fmr = args.fmr
    if fmr is None:
        fmr = max(min(1 / max(images, 1), 0.5), min(point.target_fmr for point in calibration.thresholds))
    point = calibration.at(fmr)
    if doubt := calibration.doubt(fmr):
        say(doubt, "warning", stderr=True)
    words = f"FMR {point.target_fmr:.2g} on {calibration.pairs}"
    _warn_of_chance(point.target_fmr, images)
    return _Rule(point.threshold, point.quality_floor if args.quality_floor is None else floor, words)


def _warn_of_chance(fmr: float, images: int) -> None:
    """Where the threshold is one that many pairs of different people reach."""
    expected = fmr * images * (images - 1) / 2
    if expected > images:
        say(
            f"of {images:,} images of different people about {expected:,.0f} pairs reach the threshold by chance: "
            f"groups may hold several people; a lower --fmr is better, such as {1 / images:.1g}",
            "warning",
            stderr=True,
        )


def _say(found: Clusters, rule: _Rule, too_poor: int) -> None:
    images, groups = len(found.numbers), len(found) - found.alone
    say(
        f"{counted(images, 'image')}: {counted(groups, 'group')} of two images or more, {found.alone:,} alone; largest "
        f"group {counted(int(found.sizes[0]) if images else 0, 'image')}"
    )
    say(f"groups are joined from a mean score of {rule.threshold:.4f} on ({rule.words}), by the method {found.method}")
    if too_poor:
        say(f"{counted(too_poor, 'image')} of a quality below {rule.floor:.4g} put aside")


def _compare(labels_R: NDArray[np.int64], number_R: NDArray[np.int64]) -> None:
    """Print how well the groups agree with the people, on the images that are in one."""
    used_R = (number_R >= 0) & (labels_R >= 0)
    if not used_R.any():
        say("no image with a label is in a group, so there is nothing to compare", "note")
        return
    scores = clustering_scores(labels_R[used_R], number_R[used_R])
    table = Table(title=f"{scores.images:,} images of {scores.people:,} people in {scores.clusters:,} groups")
    for heading in ("", "precision", "recall", "F"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, found in (("B-cubed", scores.b_cubed), ("pairwise", scores.pairwise)):
        table.add_row(name, f"{found.precision:.4f}", f"{found.recall:.4f}", f"{found.f:.4f}")
    Console().print(table)


def _write(output: Path, images: ImageSource, embedded: ReadableEmbeddings, number_R: NDArray[np.int64]) -> None:
    """Write the list of images, or the folders of copies."""
    size_C = np.bincount(number_R[number_R >= 0])
    width = len(str(len(size_C)))
    index_R = embedded.indices_R.tolist()
    if output.suffix == ".csv":
        say_replaced(output)
        columns = zip(index_R, number_R.tolist(), embedded.embeddings.quality.tolist(), strict=True)
        rows = (
            [images.describe(index), *(("", 0) if number < 0 else (number + 1, size_C[number])), f"{quality:.6g}"]
            for index, number, quality in columns
        )
        write_csv(["path", "group", "images", "quality"], rows, output)
    else:
        assert isinstance(images, NamedImages)
        names = [
            "too_poor" if number < 0 else "alone" if size_C[number] == 1 else f"group_{number + 1:0{width}d}"
            for number in number_R.tolist()
        ]
        write_group_folders(zip([images.paths[index] for index in index_R], names, strict=True), output)
    say(f"written: {output}")
