"""`facemargin calibrate MODEL --pairs SET | --images FOLDER --output calibration.json`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, load_on_device
from facemargin.commands._embedding import warn_of_unreadable
from facemargin.commands._face_source import FaceSource, OnSeveral, check_detection
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import warn_of_quality
from facemargin.commands._say import say
from facemargin.data.open import open_images, open_verification
from facemargin.data.pairs.sampling import at_most, count_pairs
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSubset
from facemargin.decision.calibration import Calibration
from facemargin.decision.measuring import calibrate
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.number_format import (
    NOT_AVAILABLE,
    interval_text,
    measured_rate,
    percent,
    small_limit,
    small_rate,
)
from facemargin.models.model import Model
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views
from facemargin.tables import Table

_MOST_PAIRS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Arguments(ComputingArguments):
    """Measure the thresholds of a model on verification pairs, and the quality below which it should not decide. Use
    pairs from the cameras and people of your application, aligned in the same way."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own."""
    pairs: Annotated[str | None, tyro.conf.arg(metavar="SET")] = None
    """A verification set, as for facemargin evaluate."""
    images: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Instead of --pairs: a folder with one folder per person, or any other training set. All pairs of images are
    compared; above two million pairs (2,000 images), all genuine pairs and randomly drawn impostor pairs."""
    output: Path
    """The .json file to write. An existing file is replaced."""
    floor_percentile: float = 1.0
    """The quality floor, as a percentile: this percentage of the images in the pairs is below it. Images below it are
    too poor to decide."""
    max_fnmr: float | None = None
    """Instead of --floor-percentile: the quality floor is the quality below which genuine pairs are falsely not matched
    at a higher rate than this."""
    views: Views | None = None
    """Views of an image to average. The default is that of the model."""
    detect: bool = False
    """Find and align the face in each image first, as facemargin verify --detect does."""
    on_several: OnSeveral = "largest"
    """With --detect: the face to use in a photograph with several faces; error refuses such a photograph."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""
    seed: int = 0
    """The seed for drawing impostor pairs, if --images has more than two million pairs."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "calibrate", arguments)
    if args.output.suffix != ".json":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .json")
    if (args.pairs is None) == (args.images is None):
        given = "neither is given" if args.pairs is None else "both are given"
        raise ConfigError(
            f"{given}: expected either --pairs with a verification set, or --images with a folder of people"
        )
    check_detection(args.detect, args.on_several, args.detector)
    model, calibration = _of_pairs(args) if args.images is None else _of_images(args)
    say_replaced(args.output)
    calibration.save(args.output)
    Console().print(_table(calibration))
    say(
        f"{calibration.impostors:,} impostor and {calibration.genuine:,} genuine pairs of {calibration.pairs}, "
        f"quality: {calibration.quality}, floor by {calibration.floor_rule}; {args.output}"
    )
    _say_people(calibration)
    warn_of_quality(args.model, model)
    return 0


def _of_pairs(args: Arguments) -> tuple[Model, Calibration]:
    assert args.pairs is not None
    pairs = open_verification(args.pairs)
    source = FaceSource(pairs.images, args.detect, args.on_several, args.detector)
    pairs = replace(pairs, images=source)
    model = load_on_device(args.model, args)
    with embedding_progress(Console(stderr=True), pairs.name) as progress:
        calibration = calibrate(
            model,
            pairs,
            args.floor_percentile,
            args.max_fnmr,
            args.views,
            progress,
            detector=source.detector,
        )
    source.warn()
    return model, calibration


def _of_images(args: Arguments) -> tuple[Model, Calibration]:
    """Images that cannot be read are named and left out."""
    assert args.images is not None
    images = open_images(args.images)
    model = load_on_device(args.model, args)
    source = FaceSource(images, args.detect, args.on_several, args.detector)
    with embedding_progress(Console(stderr=True), images.name) as progress:
        embedded = embed_readable(model, source, views=args.views, progress=progress)
    source.warn()
    warn_of_unreadable(embedded.unreadable, len(embedded.indices_R), args.detect)
    labels_R = images.labels[embedded.indices_R]
    counts = count_pairs(labels_R)
    if not all(counts):
        raise DataError(
            f"{images.name}: {len(labels_R):,} images make {counts[0]:,} genuine and {counts[1]:,} impostor "
            "pairs; expected some of both kinds: at least two people, and at least two images of one of them"
        )
    drawn = at_most(labels_R, _MOST_PAIRS, args.seed)
    if len(drawn.same_K) < sum(counts):
        taken = int(drawn.same_K.sum())
        say(
            f"{len(drawn.same_K):,} of {sum(counts):,} pairs are compared: {taken:,} of {counts[0]:,} genuine and "
            f"{len(drawn.same_K) - taken:,} of {counts[1]:,} impostor pairs, drawn with --seed {args.seed}"
        )
    pairs = VerificationSet(
        name=images.name,
        images=ImageSubset(source, embedded.indices_R),
        first_K=drawn.first_K,
        second_K=drawn.second_K,
        same_K=drawn.same_K,
        identities_N=labels_R,
        identity_names=images.identity_names,
    )
    calibration = calibrate(
        model,
        pairs,
        args.floor_percentile,
        args.max_fnmr,
        args.views,
        embeddings=embedded.embeddings,
        detector=source.detector,
    )
    return model, calibration


def _table(calibration: Calibration) -> Table:
    table = Table("FMR", "threshold", "impostors", "estimated", "certified", "FNMR", "floor", "too poor")
    for point in calibration.thresholds:
        table.add_row(
            percent(point.target_fmr),
            f"{point.threshold:.4f}",
            f"{point.impostors_accepted:,}",
            NOT_AVAILABLE if point.estimated is None else interval_text(point.estimated, small_rate),
            NOT_AVAILABLE if point.certified is None else f"≤ {small_limit(point.certified)}",
            measured_rate(point.fnmr, calibration.genuine),
            f"{point.quality_floor:.4g}",
            measured_rate(point.too_poor, calibration.genuine + calibration.impostors),
        )
    return table


def _say_people(calibration: Calibration) -> None:
    """What the two figures rest on."""
    if calibration.thresholds[0].certified is None:
        say(
            "these pairs do not say who is in the images, so the rates of other people can be neither estimated nor "
            "certified: use pairs with names (pairs.txt and its folders), or --images"
        )
        return
    say(
        "estimated: where the FMR of other people probably is; certified: what it does not exceed, with 95 % "
        "confidence, whatever they are like, in all rows together. facemargin certify finds the threshold for a rate "
        "to promise"
    )
