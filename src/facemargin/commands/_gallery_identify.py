"""`facemargin gallery identify G IMAGES --output results.csv`."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import check_batch_size
from facemargin.commands._face_files import write_csv
from facemargin.commands._face_source import OnSeveral
from facemargin.commands._finding_faces import printable
from facemargin.commands._gallery_model import SearchedGalleryArguments, open_gallery
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.errors import ConfigError
from facemargin.gallery.gallery import Gallery
from facemargin.gallery.identification import Answer, Identification
from facemargin.gallery.rule import DEFAULT_FPIR, SearchRule
from facemargin.quality.gate import QualityGate

# Like those of verify.
_EXIT_CODES: dict[Answer | None, int] = {
    None: 0,
    "this person": 0,
    "nobody enrolled": 1,
    "cannot tell": 3,
    "too poor to decide": 3,
}
_COLUMNS = ["path", "person", "score", "decision", "quality", "reason"]


@dataclass(frozen=True, kw_only=True)
class IdentifyArguments(SearchedGalleryArguments):
    """Look for the people of images in a gallery. The answers are "this person", "nobody enrolled", "cannot tell" and
    "too poor to decide". The exit code for one answer is 0, 1, 3 and 3; for several it is 0. No image is enrolled."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Image files, folders of images at any depth, and .txt files with paths of images."""
    output: Path | None = None
    """A .csv file with the columns path, person, score, decision, quality, reason. An existing file is replaced.
    Without it, the answers are printed."""
    by_folder: bool = False
    """The images of a folder are of one person, such as the frames of a video: one answer for all of them, pooled by
    quality."""
    fpir: float = DEFAULT_FPIR
    """The share of searches for strangers that may return somebody. The threshold of a calibration is that for the FMR
    of this share, divided by the number of people."""
    fmr: float | None = None
    """Instead of --fpir: the false match rate of a single comparison."""
    certificate: Path | None = None
    """Instead of a calibration: the file of facemargin gallery certify for this gallery, or of facemargin certify for
    this model, whose promise is of pairs of images."""
    gate: Literal["off", "refuse"] = "off"
    """refuse: an image that is too small, blurred, turned away, … is too poor to decide, whatever its quality."""
    on_several: OnSeveral = "largest"
    """The face to use in a photograph with several faces, or error: it is too poor to decide."""
    candidates: int = 5
    """How many of the most alike to show with --explain."""
    explain: bool = False
    """Print how each answer comes about: the most alike, the threshold and what is known of its errors."""


def identify(arguments: Sequence[str]) -> int:
    args = parse(IdentifyArguments, "gallery identify", arguments)
    _check(args)
    images = NamedImages(args.images)
    groups = [Path(name).parent.as_posix() for name in images.names] if args.by_folder else None
    with open_gallery(args, args.certificate) as gallery:
        rule = gallery.rule(args.fpir, args.fmr)
        with embedding_progress(Console(stderr=True), images.name, "looking for") as progress:
            answers = gallery.identify(
                images,
                groups,
                candidates=args.candidates,
                fpir=args.fpir,
                fmr=args.fmr,
                gate=QualityGate() if args.gate == "refuse" else None,
                on_several=args.on_several,
                batch_size=args.batch_size,
                progress=progress,
            )
        names = list(dict.fromkeys(groups)) if groups is not None else list(map(str, images.paths))
        _say(args, gallery, rule, names, answers)
    return _EXIT_CODES[answers[0].decision] if len(answers) == 1 else 0


def _check(args: IdentifyArguments) -> None:
    check_batch_size(args.batch_size)
    if args.output is not None and args.output.suffix != ".csv":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .csv")
    if args.fmr is not None and args.fpir != DEFAULT_FPIR:
        raise ConfigError("--fmr and --fpir are both given, expected one of them")
    if args.certificate is None:
        return
    for option, is_given in (
        ("--calibration", args.calibration is not None),
        ("--fmr", args.fmr is not None),
        ("--fpir", args.fpir != DEFAULT_FPIR),
    ):
        if is_given:
            raise ConfigError(
                f"--certificate and {option} are both given, but a certificate has its own: remove {option}"
            )


def _say(
    args: IdentifyArguments,
    gallery: Gallery,
    rule: SearchRule | None,
    names: Sequence[str],
    answers: Sequence[Identification],
) -> None:
    if rule is None:
        say(
            "this model has no thresholds, so there are scores and no answers: measure them with facemargin calibrate, "
            "and give --calibration",
            "note",
            stderr=True,
        )
    if not gallery.binding.quality_helps:
        say(f"the model's quality is not used: it is {gallery.binding.quality_words}", "note", stderr=True)
    shown = [] if args.output is not None and not args.explain else list(zip(names, answers, strict=True))
    for name, answer in shown:
        say(f"{printable(name)}: {_in_short(answer)}")
        for line in answer.explain(rule) if args.explain else ():
            say(f"  {line}")
    if args.output is not None:
        say_replaced(args.output)
        rows = (_row(name, answer) for name, answer in zip(names, answers, strict=True))
        write_csv(_COLUMNS, rows, args.output)
    for text in rule.words if rule is not None else ():
        say(text)
    if len(answers) > 1:
        counts = Counter(answer.decision for answer in answers)
        decided = ", ".join(f"{counts[answer]:,} {answer}" for answer in _EXIT_CODES if answer is not None)
        what = counted(len(answers), "folder" if args.by_folder else "image")
        say(f"{what}{f': {decided}' if rule is not None else ''}{f'; {args.output}' if args.output else ''}")


def _in_short(answer: Identification) -> str:
    best = answer.candidates[0] if answer.candidates else None
    if answer.decision == "this person":
        return f"{answer.person}, score {answer.score:.4f}"
    if best is None or answer.decision == "too poor to decide":
        why = f" ({'; '.join(reason.words for reason in answer.reasons)})" if answer.reasons else ""
        return f"{answer.decision or 'no answer'}{why}"
    why = f"; {'; '.join(reason.words for reason in answer.reasons)}" if answer.reasons else ""
    return f"{answer.decision or 'most alike'}, {best.person} has {best.score:.4f}{why}"


def _row(name: str, answer: Identification) -> list[object]:
    score, quality = (
        "" if math.isnan(value) else shown
        for value, shown in ((answer.score, f"{answer.score:.6f}"), (answer.quality, f"{answer.quality:.6g}"))
    )
    reason = "; ".join(reason.words for reason in answer.reasons)
    return [name, answer.person or "", score, answer.decision or "", quality, reason]
