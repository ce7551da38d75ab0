"""`facemargin gallery enrol G FOLDER`, and `facemargin gallery review G`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from facemargin.commands._arguments import parse
from facemargin.commands._device import check_batch_size
from facemargin.commands._face_files import write_csv
from facemargin.commands._finding_faces import printable
from facemargin.commands._gallery_model import GalleryArguments, SearchedGalleryArguments, open_gallery
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError
from facemargin.gallery.enrolment import Enrolment, GateMode, Outcome
from facemargin.gallery.gallery import Gallery
from facemargin.gallery.store import EnrolledImage
from facemargin.tables import Table

_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class EnrolArguments(SearchedGalleryArguments):
    """Enrol people by their images. An image that a check has reasons against is not enrolled, unless --gate says
    otherwise. If it is interrupted, the same command continues."""

    faces: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER")]
    """A folder with one folder of images per person, or another labelled set; with --person, images of one person."""
    person: str | None = None
    """All images show this person."""
    gate: GateMode = "refuse"
    """What to do with an image with reasons against it (too small, blurred, turned away, several faces, low quality,
    looks like another, disagrees with the person's others): refuse it, review (keep it, and let it count only after
    facemargin gallery review), warn and enrol it, or off, look for no reasons."""
    on_several: Literal["error", "largest", "central"] = "error"
    """The face to use in a photograph with several: the largest, the most central, or error, the largest, with a reason
    against it."""
    consent: str = ""
    """A note that is kept with every image, such as the number of a form."""
    output: Path | None = None
    """A .csv file of what became of every image, and why."""


@dataclass(frozen=True, kw_only=True)
class ReviewArguments(GalleryArguments):
    """List the images that wait for a decision, and accept or reject them."""

    accept: tuple[int, ...] = ()
    """The numbers of images that are to count from now on."""
    reject: tuple[int, ...] = ()
    """The numbers of images to delete."""


def enrol(arguments: Sequence[str]) -> int:
    args = parse(EnrolArguments, "gallery enrol", arguments)
    check_batch_size(args.batch_size)
    if args.output is not None and args.output.suffix != ".csv":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .csv")
    images: ImageSource = open_images(args.faces) if args.person is None else NamedImages([Path(args.faces)])
    with open_gallery(args) as gallery, embedding_progress(Console(stderr=True), images.name, "enrolling") as progress:
        done = gallery.enrol(
            images,
            args.person,
            gate=args.gate,
            on_several=args.on_several,
            consent=args.consent,
            batch_size=args.batch_size,
            progress=progress,
        )
        _say(done, gallery, args)
    return 0


def _say(done: Enrolment, gallery: Gallery, args: EnrolArguments) -> None:
    told = [one for one in done.outcomes if one.reasons and one.outcome != "enrolled already"]
    for one in told[:_NAMED]:
        what = f"{one.outcome}: " if one.outcome != "enrolled" else ""
        say(f"{printable(one.source)} ({one.person}): {what}{'; '.join(r.words for r in one.reasons)}", stderr=True)
    if len(told) > _NAMED:
        say(f"and {len(told) - _NAMED:,} more: --output writes all of them", stderr=True)
    for text in done.not_checked:
        say(f"not checked: {text}", "note", stderr=True)
    if args.output is not None:
        say_replaced(args.output)
        rows = (
            [one.source, one.person, one.outcome, "" if one.quality != one.quality else f"{one.quality:.6g}",
             " ".join(reason.code for reason in one.reasons), "; ".join(reason.words for reason in one.reasons)]
            for one in done.outcomes
        )  # fmt: skip
        write_csv(["path", "person", "outcome", "quality", "codes", "reasons"], rows, args.output)
    kinds: tuple[Outcome, ...] = ("enrolled", "in review", "refused", "enrolled already")
    counts = ", ".join(f"{done.count(kind):,} {kind}" for kind in kinds if done.count(kind) or kind == "enrolled")
    by_reason = ", ".join(f"{code.replace('_', ' ')} {count:,}" for code, count in done.reasons().items())
    say(f"{counted(len(done.outcomes), 'image')}: {counts}{f' ({by_reason})' if by_reason else ''}")
    if done.count("in review"):
        say(f"facemargin gallery review {args.gallery} shows what waits for a decision")
    say(f"{args.gallery}: {counted(len(gallery), 'person', 'people')} enrolled")


def review(arguments: Sequence[str]) -> int:
    args = parse(ReviewArguments, "gallery review", arguments)
    with Gallery(args.gallery) as gallery:
        if args.accept or args.reject:
            gallery.review(args.accept, args.reject)
            left = gallery.counts()[2]
            say(f"{len(set(args.accept)):,} accepted, {len(set(args.reject)):,} deleted, {left:,} left")
        elif waiting := gallery.in_review():
            Console().print(images_table(waiting))
            say(f"facemargin gallery review {args.gallery} --accept NUMBERS --reject NUMBERS decides on them")
        else:
            say("no image waits for a decision")
    return 0


def images_table(images: Sequence[EnrolledImage]) -> Table:
    table = Table("number", "person", "quality", "enrolled", "from", "consent", "reasons against it")
    for image in images:
        reasons = "; ".join(reason.words for reason in image.reasons)
        values = (image.person, f"{image.quality:.4g}", image.enrolled, image.source, image.consent, reasons)
        table.add_row(str(image.number), *(escape(value) for value in values))
    return table
