"""`facemargin gallery create G --model MODEL`, and the other actions of `facemargin gallery`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from facemargin.commands import _gallery_certify, _gallery_enrol, _gallery_identify
from facemargin.commands._actions import Actions, run_action
from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, load_on_device
from facemargin.commands._face_files import write_csv
from facemargin.commands._gallery_certify import CertifyArguments
from facemargin.commands._gallery_enrol import EnrolArguments, ReviewArguments, images_table
from facemargin.commands._gallery_identify import IdentifyArguments
from facemargin.commands._gallery_model import GalleryArguments
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError
from facemargin.evaluation.plain import plain
from facemargin.gallery.gallery import Gallery
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class CreateArguments(GalleryArguments, ComputingArguments):
    """Create a gallery without people, for one model and one way of finding faces."""

    model: Path
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own. The gallery keeps its name, to load it again, and its fingerprint, to refuse another one."""
    detect: bool = False
    """Images are photographs, in which the face is found and aligned first. Without it they are aligned faces."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""


@dataclass(frozen=True, kw_only=True)
class ListArguments(GalleryArguments):
    """List the people of a gallery, or the images of one person."""

    person: str | None = None
    """List the images of this person, with their numbers."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class RemoveArguments(GalleryArguments):
    """Delete people, or single images. Their vectors are overwritten with zeros when the command ends."""

    people: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAMES …")] = ()
    """The names of the people."""
    numbers: tuple[int, ...] = ()
    """The numbers of single images (facemargin gallery list G --person NAME)."""


@dataclass(frozen=True, kw_only=True)
class MergeArguments(GalleryArguments):
    """Let all images of one person be of another, where two names turn out to be one person."""

    person: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """The name that goes."""
    into: str
    """The name that stays."""


@dataclass(frozen=True, kw_only=True)
class SplitArguments(GalleryArguments):
    """Let some images of a person be of a new person, where one name turns out to be two people."""

    person: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Whose images they are now."""
    numbers: tuple[int, ...]
    """The numbers of these images (facemargin gallery list G --person NAME)."""
    name: str
    """The name of the new person."""


@dataclass(frozen=True, kw_only=True)
class VerifyArguments(GalleryArguments):
    """Read all of a gallery and say what is wrong with it. The exit code is 0 if nothing is, else 1."""


@dataclass(frozen=True, kw_only=True)
class ExportArguments(GalleryArguments):
    """Write a gallery to a file of another format. Vectors of faces are personal data."""

    output: Path
    """A .npz file of embeddings, as facemargin embed writes it, with the array people; or a .csv list of people and
    images without vectors. An existing file is replaced."""


@dataclass(frozen=True, kw_only=True)
class Arguments(
    CreateArguments,
    EnrolArguments,
    CertifyArguments,
    IdentifyArguments,
    ReviewArguments,
    ListArguments,
    RemoveArguments,
    MergeArguments,
    SplitArguments,
    ExportArguments,
):
    """The options of all actions, for the completion of a shell."""


_ACTIONS: Actions = {
    "create": ("create a gallery for a model", lambda arguments: _create(arguments)),
    "enrol": ("enrol people by their images, through a gate", _gallery_enrol.enrol),
    "review": ("decide on images that the gate kept for review", _gallery_enrol.review),
    "identify": ("look for the people of images", _gallery_identify.identify),
    "certify": ("find the threshold whose FPIR can be promised", _gallery_certify.certify),
    "list": ("list the people, or the images of one", lambda arguments: _list(arguments)),
    "remove": ("delete people or images", lambda arguments: _remove(arguments)),
    "merge": ("let two names be one person", lambda arguments: _merge(arguments)),
    "split": ("let some images of a person be somebody else's", lambda arguments: _split(arguments)),
    "verify": ("check that all of it is whole", lambda arguments: _verify(arguments)),
    "export": ("write it to a file of another format", lambda arguments: _export(arguments)),
}


def main(arguments: Sequence[str]) -> int:
    return run_action("gallery", "G …", _ACTIONS, arguments, "list path/to/gallery")


def _create(arguments: Sequence[str]) -> int:
    args = parse(CreateArguments, "gallery create", arguments)
    if args.detector != DEFAULT_DETECTOR and not args.detect:
        raise ConfigError(f"--detector {args.detector} needs --detect: add --detect, or remove --detector")
    if args.gallery.exists():
        raise ConfigError(f"{args.gallery} exists already: give a new folder")
    model = load_on_device(args.model, args)
    detector = args.detector if args.detect else None
    with Gallery.create(args.gallery, model, detector=detector, model_name=str(args.model)) as gallery:
        found = "aligned faces" if detector is None else f"photographs, in which {detector} finds the faces"
        used = "used" if gallery.binding.quality_helps else "not used"
        say(f"{args.gallery}: a gallery for {args.model}, of {found}")
        say(f"the model's quality is {used}: it is {gallery.binding.quality_words}")
    return 0


def _list(arguments: Sequence[str]) -> int:
    args = parse(ListArguments, "gallery list", arguments)
    with Gallery(args.gallery) as gallery:
        if args.person is not None:
            images = gallery.images(args.person)
            if args.json:
                print(json.dumps(plain([asdict(image) for image in images]), ensure_ascii=False, indent=1))  # noqa: T201
            else:
                Console().print(images_table(images))
            return 0
        people = gallery.people
    if args.json:
        print(json.dumps(plain([asdict(person) for person in people]), ensure_ascii=False, indent=1))  # noqa: T201
        return 0
    table = Table("person", "images", "in review", "quality", "enrolled")
    for person in people:
        quality = "" if person.quality != person.quality else f"{person.quality:.4g}"
        table.add_row(escape(person.name), f"{person.images:,}", f"{person.in_review:,}", quality, person.enrolled)
    Console().print(table)
    images_count, in_review = sum(person.images for person in people), sum(person.in_review for person in people)
    waiting = f", {in_review:,} in review" if in_review else ""
    say(f"{counted(len(people), 'person', 'people')}, {counted(images_count, 'image')}{waiting}")
    return 0


def _remove(arguments: Sequence[str]) -> int:
    args = parse(RemoveArguments, "gallery remove", arguments)
    if bool(args.people) == bool(args.numbers):
        raise ConfigError("give the names of people, or --numbers with those of single images, and not both")
    with Gallery(args.gallery) as gallery:
        images = gallery.remove(*args.people) if args.people else gallery.remove_images(*args.numbers)
        of_people = f" of {counted(len(set(args.people)), 'person', 'people')}" if args.people else ""
        say(
            f"{counted(images, 'image')}{of_people} deleted; their vectors are overwritten with zeros in the files of "
            f"{args.gallery}. Copies of it, such as backups and snapshots of the file system, still have them"
        )
    return 0


def _merge(arguments: Sequence[str]) -> int:
    args = parse(MergeArguments, "gallery merge", arguments)
    with Gallery(args.gallery) as gallery:
        images = gallery.merge(args.person, args.into)
        say(f"{counted(images, 'image')} of {args.person!r} now of {args.into!r}")
    return 0


def _split(arguments: Sequence[str]) -> int:
    args = parse(SplitArguments, "gallery split", arguments)
    with Gallery(args.gallery) as gallery:
        gallery.split(args.person, args.numbers, args.name)
        say(f"{counted(len(set(args.numbers)), 'image')} of {args.person!r} now of {args.name!r}")
    return 0


def _verify(arguments: Sequence[str]) -> int:
    args = parse(VerifyArguments, "gallery verify", arguments)
    with (
        Gallery(args.gallery) as gallery,
        embedding_progress(Console(stderr=True), str(args.gallery), "checking", "vectors") as progress,
    ):
        problems = gallery.check(progress)
        shown = repr(gallery) if not problems else ""
    for problem in problems:
        say(problem, stderr=True)
    if problems:
        say(f"{args.gallery} has {counted(len(problems), 'problem')}, named above")
        return 1
    say(f"{shown.removeprefix('<facemargin.Gallery ').removesuffix('>')}: whole")
    return 0


def _export(arguments: Sequence[str]) -> int:
    args = parse(ExportArguments, "gallery export", arguments)
    if args.output.suffix not in (".npz", ".csv"):
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .npz or .csv")
    with Gallery(args.gallery) as gallery:
        images = gallery.images()
        say_replaced(args.output)
        if args.output.suffix == ".npz":
            gallery.export(args.output)
        else:
            rows = (
                [image.number, image.person, image.source, f"{image.norm:.6g}", f"{image.quality:.6g}", image.enrolled,
                 image.consent, "yes" if image.in_review else "", "; ".join(reason.words for reason in image.reasons)]
                for image in images
            )  # fmt: skip
            columns = ["number", "person", "path", "norm", "quality", "enrolled", "consent", "in review", "reasons"]
            write_csv(columns, rows, args.output)
    say(f"{counted(len(images), 'image')}; {args.output}")
    return 0
