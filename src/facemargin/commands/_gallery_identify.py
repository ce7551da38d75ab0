"""`facemargin gallery identify G IMAGES --output results.csv`."""

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
from facemargin.commands._gallery_video import ANSWER_COLUMNS, answer_cells, identify_videos
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.commands._video_tracks import TrackArguments, check_video_options
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.videos.stream import Stream
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
_COLUMNS = ["path", *ANSWER_COLUMNS]


@dataclass(frozen=True, kw_only=True)
class IdentifyArguments(SearchedGalleryArguments, TrackArguments):
    """Look for the people of images or videos in a gallery. The answers are "this person", "nobody enrolled", "cannot
    tell" and "too poor to decide". The exit code for one answer is 0, 1, 3 and 3; for several it is 0. No image is
    enrolled."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")] = ()
    """Image files, folders of images at any depth, and .txt files with paths of images."""
    output: Path | None = None
    """A .csv file with the columns path, person, score, decision, quality, reason; of videos also the track, its times
    and how many frames and faces it has. An existing file is replaced. Without it, the answers are printed."""
    video: bool = False
    """IMAGES are videos, folders of videos or lists of them: one answer for each track of a face, from its best faces,
    pooled by quality."""
    stream: str | None = None
    """Instead of IMAGES: the number of a camera of this machine (0), or the address of a stream (rtsp://…). Needs
    --seconds. Ctrl-C ends it before, with the answers so far."""
    seconds: float | None = None
    """With --stream: how long to watch."""
    sheet: Path | None = None
    """With --video or --stream: a .png picture with one row for each track: its best faces with their times, and the
    answer. Further rows go into NAME-2.png and so on, 40 a picture. Existing files are replaced."""
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
    if args.video or args.stream is not None:
        return _identify_videos(args)
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
        if args.output is not None:
            say_replaced(args.output)
            write_csv(
                _COLUMNS, ([name, *answer_cells(one)] for name, one in zip(names, answers, strict=True)), args.output
            )
        _sum_up(args, rule, answers, "folder" if args.by_folder else "image")
    return _exit_code(answers)


def _identify_videos(args: IdentifyArguments) -> int:
    with open_gallery(args, args.certificate) as gallery:
        rule = gallery.rule(args.fpir, args.fmr)
        found = identify_videos(
            gallery,
            args.images if args.stream is None else Stream(args.stream, args.seconds or 0.0),
            args.output,
            args.sheet,
            batch_size=args.batch_size,
            candidates=args.candidates,
            fpir=args.fpir,
            fmr=args.fmr,
            gate=QualityGate() if args.gate == "refuse" else None,
            **args.tracking(),
        )
        _say(args, gallery, rule, found.names, found.answers)
        found.say()
        _sum_up(args, rule, found.answers, "track")
    return _exit_code(found.answers)


def _exit_code(answers: Sequence[Identification]) -> int:
    return _EXIT_CODES[answers[0].decision] if len(answers) == 1 else 0


def _check(args: IdentifyArguments) -> None:
    check_batch_size(args.batch_size)
    _check_video(args)
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


def _check_video(args: IdentifyArguments) -> None:
    is_video = args.video or args.stream is not None
    check_video_options(args, ("sheet",), is_video, "--video")
    if not is_video:
        if args.seconds is not None:
            raise ConfigError("--seconds needs --stream: add --stream, or remove --seconds")
        return
    if args.stream is not None and args.seconds is None:
        raise ConfigError("--stream needs --seconds, how long to watch: add --seconds 60, for example")
    if args.stream is None and args.seconds is not None:
        raise ConfigError("--seconds needs --stream: a video is searched to its end; remove --seconds")
    for option, given, why in (
        ("IMAGES", args.stream is not None and bool(args.images), "--stream takes the place of"),
        ("--video", args.stream is not None and args.video, "--stream takes the place of"),
        ("--by-folder", args.by_folder, "every track of a face has an answer of its own, not"),
        ("--on-several", args.on_several != "largest", "all faces of a video are used, whatever says"),
    ):
        if given:
            raise ConfigError(f"{why} {option}: remove {option}")
    if args.sheet is not None and args.sheet.suffix != ".png":
        raise ConfigError(f"--sheet is {args.sheet}, expected a name that ends in .png")


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


def _sum_up(args: IdentifyArguments, rule: SearchRule | None, answers: Sequence[Identification], what: str) -> None:
    for text in rule.words if rule is not None else ():
        say(text)
    if len(answers) > 1:
        counts = Counter(answer.decision for answer in answers)
        decided = ", ".join(f"{counts[answer]:,} {answer}" for answer in _EXIT_CODES if answer is not None)
        where = f"; {args.output}" if args.output else ""
        say(f"{counted(len(answers), what)}{f': {decided}' if rule is not None else ''}{where}")


def _in_short(answer: Identification) -> str:
    best = answer.candidates[0] if answer.candidates else None
    if answer.decision == "this person":
        return f"{answer.person}, score {answer.score:.4f}"
    if best is None or answer.decision == "too poor to decide":
        why = f" ({'; '.join(reason.words for reason in answer.reasons)})" if answer.reasons else ""
        return f"{answer.decision or 'no answer'}{why}"
    why = f"; {'; '.join(reason.words for reason in answer.reasons)}" if answer.reasons else ""
    return f"{answer.decision or 'most alike'}, {best.person} has {best.score:.4f}{why}"
