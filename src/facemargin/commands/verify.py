"""`facemargin verify MODEL A B` and `facemargin verify MODEL --pairs pairs.csv --output results.csv`.

Shapes: K pairs, N images, R of them usable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._certificates import fitting_certificate
from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._embedding import warn_of_unreadable
from facemargin.commands._face_files import write_csv
from facemargin.commands._face_source import FaceSource, OnSeveral, check_detection
from facemargin.commands._origin import require_other_file, say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import warn_of_quality
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.pairs.unlabeled import read_path_pairs
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.certificate import Certificate
from facemargin.decision.guarantee import promises, rounded_up
from facemargin.decision.shipped import measured_elsewhere, shipped_calibration
from facemargin.decision.verify import DEFAULT_FMR, Decision, Verification, decide, require_finite
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError
from facemargin.models.model import Model
from facemargin.models.readable import embed_readable

# The exit codes are like those of cmp and diff; 2 means an error.
_EXIT_CODES: dict[Decision | None, int] = {
    None: 0,
    "same": 0,
    "different": 1,
    "cannot tell": 3,
    "too poor to decide": 3,
}
_COLUMNS = ["path1", "path2", "score", "quality1", "quality2", "decision", "problem"]


@dataclass(frozen=True, kw_only=True)
class Arguments(ComputingArguments):
    """Compare two faces: print the score, the qualities and, with a calibration or a certificate, a decision. The exit
    code is 0 for "same" (and without a decision), 1 for "different", 3 for "too poor to decide" and "cannot tell", 2
    for errors. With --pairs it is 0."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="A B")] = ()
    """Two images: aligned faces, or photographs with --detect."""
    pairs: Path | None = None
    """Instead of two images: a .csv file of pairs with the columns path1 and path2, relative to its folder."""
    output: Path | None = None
    """With --pairs: the .csv file to write. An existing file is replaced."""
    calibration: Path | None = None
    """The file that facemargin calibrate wrote for this model. Without it, a released model may have thresholds that
    come with facemargin, as a note says; otherwise there are scores, but no decisions."""
    certificate: Path | None = None
    """Instead of --calibration: the file that facemargin certify wrote for this model. The answer says what is promised
    of it."""
    fmr: float | None = None
    """With a calibration: the allowed false match rate, at which pairs of different people were taken for the same
    person in its pairs. The default is 1e-3."""
    detect: bool = False
    """Find and align the face in each image first."""
    on_several: OnSeveral = "largest"
    """With --detect: the face to use in a photograph with several faces, which is the largest, the most central, or
    none (error refuses the photograph). A warning says how many photographs had several faces."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""
    batch_size: int | None = None
    """With --pairs: the number of images to embed at a time. The default is 64 on the CPU and 256 on a GPU."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "verify", arguments)
    _check(args)
    model = load_on_device(args.model, args)
    by = _certificate(args, model) or _calibration(args, model)
    if isinstance(by, Calibration):
        fmr = DEFAULT_FMR if args.fmr is None else args.fmr
        for doubt in (by.doubt(fmr), by.doubt_detector(args.detector if args.detect else None)):
            if doubt:
                say(f"warning: {doubt}", stderr=True)
    return _verify_two(args, model, by) if args.pairs is None else _verify_pairs(args, model, by)


def _thresholds(args: Arguments, by: Calibration | Certificate | None) -> Threshold | Certificate | None:
    return by.at(DEFAULT_FMR if args.fmr is None else args.fmr) if isinstance(by, Calibration) else by


def _certificate(args: Arguments, model: Model) -> Certificate | None:
    """The given one, if it fits and promises something."""
    given = fitting_certificate(args.certificate, model, args.detector if args.detect else None)
    if given is not None:
        given.require_promise()
    return given


def _calibration(args: Arguments, model: Model) -> Calibration | None:
    """The given one, or of a released model the one that comes with the package, of which a note says on whom it was
    measured."""
    if args.calibration is not None:
        given = Calibration.load(args.calibration)
        given.require_model(model)
        return given
    shipped = shipped_calibration(model)
    if shipped is not None:
        say(measured_elsewhere(shipped), "note", stderr=True)
    return shipped


def _check(args: Arguments) -> None:
    if args.pairs is None and len(args.images) != 2:
        raise ConfigError(
            f"{counted(len(args.images), 'image')} given; expected two, or --pairs with a .csv file of pairs"
        )
    if args.pairs is None and args.output is not None:
        raise ConfigError("--output needs --pairs; the result for two images is only printed: remove --output")
    if args.pairs is not None and args.images:
        raise ConfigError("give either two images or --pairs, not both")
    if args.pairs is not None and (args.output is None or args.output.suffix != ".csv"):
        given = "missing" if args.output is None else str(args.output)
        raise ConfigError(f"--output is {given}, expected a name that ends in .csv for the results of --pairs")
    if args.pairs is not None and args.output is not None:
        require_other_file(args.output, args.pairs)
    if args.certificate is not None:
        for option, value in (("--calibration", args.calibration), ("--fmr", args.fmr)):
            if value is not None:
                raise ConfigError(
                    f"--certificate and {option} are both given, but a certificate has its own thresholds and FMR: "
                    f"remove {option}"
                )
    check_batch_size(args.batch_size)
    check_detection(args.detect, args.on_several, args.detector)


def _source(args: Arguments, paths: Sequence[Path], name: str) -> FaceSource:
    return FaceSource(ImageFiles(Path(), paths, name), args.detect, args.on_several, args.detector)


def _verify_two(args: Arguments, model: Model, by: Calibration | Certificate | None) -> int:
    source = _source(args, args.images, "the two images")
    embeddings = model.embed(source, views=None if by is None else by.views)
    source.warn()
    require_finite(embeddings)
    (result,) = decide(embeddings, np.array([[0, 1]]), _thresholds(args, by))
    say(f"score {result.score:.4f}{_against(result)}")
    say(f"quality {result.quality_a:.4g} and {result.quality_b:.4g}{_floor(result)}")
    warn_of_quality(args.model, model)
    if result.decision is not None:
        say(result.decision)
    if result.guarantee is not None:
        say(result.guarantee)
    return _EXIT_CODES[result.decision]


def _verify_pairs(args: Arguments, model: Model, by: Calibration | Certificate | None) -> int:
    assert args.pairs is not None and args.output is not None
    pairs = read_path_pairs(args.pairs)
    source = _source(args, [args.pairs.parent / name for name in pairs.names], str(args.pairs))
    views = None if by is None else by.views
    with embedding_progress(Console(stderr=True), source.name) as progress:
        embedded = embed_readable(model, source, args.batch_size, views, progress)
    source.warn()
    row_of_N = np.full(len(source), -1)
    row_of_N[embedded.indices_R] = np.arange(len(embedded.indices_R))
    rows_K2 = row_of_N[pairs.images_K2]
    usable_K = np.asarray((rows_K2 >= 0).all(axis=1))
    results = iter(decide(embedded.embeddings, rows_K2[usable_K], _thresholds(args, by)))
    decisions: list[Verification | None] = [next(results) if usable else None for usable in usable_K.tolist()]
    rows = (_row(pairs.names, images, result) for images, result in zip(pairs.images_K2, decisions, strict=True))
    say_replaced(args.output)
    write_csv(_COLUMNS, rows, args.output)
    warn_of_unreadable(embedded.unreadable, len(embedded.indices_R), args.detect)
    answers = [answer for answer in _EXIT_CODES if answer and (answer != "cannot tell" or isinstance(by, Certificate))]
    counts = [f"{_count(decisions, answer):,} {answer}" for answer in answers]
    said = ", ".join(counts) if by is not None else f"{int(usable_K.sum()):,} scored"
    left = int((~usable_K).sum())
    say(f"{counted(len(decisions), 'pair')}: {said}, {left:,} with an image that cannot be used; {args.output}")
    for promise in promises(by.thresholds) if isinstance(by, Certificate) else ():
        say(promise)
    warn_of_quality(args.model, model)
    return 0


def _count(decisions: Sequence[Verification | None], decision: Decision) -> int:
    return sum(result is not None and result.decision == decision for result in decisions)


def _row(names: Sequence[str], images: Sequence[int], result: Verification | None) -> list[object]:
    paths = [names[index] for index in images]
    if result is None:
        return [
            *paths,
            "",
            "",
            "",
            "",
            "an image cannot be read or shows no face (or several, with --on-several error)",
        ]
    qualities = [f"{result.quality_a:.6g}", f"{result.quality_b:.6g}"]
    return [*paths, f"{result.score:.6f}", *qualities, result.decision or "", ""]


def _against(result: Verification) -> str:
    point = result.threshold
    if point is None:
        return ""
    of_others = ""
    if point.estimated is not None:
        of_others += f"; of other people estimated {' to '.join(f'{rate:.2g}' for rate in point.estimated)}"
    if point.certified is not None:
        of_others += f", certified ≤ {rounded_up(point.certified):g}"
    return f", same from {point.threshold:.4f} on (FMR {point.target_fmr:g}, measured {point.fmr:.2g}{of_others})"


def _floor(result: Verification) -> str:
    return "" if result.threshold is None else f", enough from {result.threshold.quality_floor:.4g} on"
