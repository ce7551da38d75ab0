"""`facemargin detect IMAGES… [--output faces.csv] [--draw FOLDER]`."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from facemargin.commands._arguments import parse
from facemargin.commands._face_files import draw_faces, write_faces_csv, write_image
from facemargin.commands._finding_faces import (
    DetectionArguments,
    find_faces,
    name_problems,
    printable,
    refuse_inside,
    require_readable,
    target_names,
)
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.source import RGBImage
from facemargin.detection.detector import detector_settings
from facemargin.detection.face import Face
from facemargin.detection.journal import FaceJournal, ImageFaces
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_text_atomically
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments(DetectionArguments):
    """Find the faces in photographs: boxes, scores and five landmarks. If a run with --output is interrupted, the same
    command continues it."""

    output: Path | None = None
    """A .csv or .json file to write. An existing file is replaced."""
    draw: Path | None = None
    """A folder for copies of the photographs with the faces marked."""
    rows: int = 20
    """The number of images to print."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "detect", arguments)
    if args.output is not None and args.output.suffix not in (".csv", ".json"):
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .csv or .json")
    if args.rows < 1:
        raise ConfigError(f"--rows is {args.rows}, expected at least 1")
    if args.draw is not None:
        refuse_inside(args.draw, args.images, "--draw")
    images = NamedImages(args.images)
    targets = [] if args.draw is None else target_names(images)
    detector = args.make_detector()

    def keep(index: int, image: RGBImage, faces: list[Face]) -> ImageFaces:
        height, width = image.shape[:2]
        if args.draw is not None:
            write_image(draw_faces(image, faces), args.draw / targets[index])
        return ImageFaces(images.names[index], width, height, tuple(faces))

    def is_done(record: ImageFaces) -> bool:
        return not record.problem

    problems: list[str] = []
    table = Table("image", "faces", "largest, pixels", "its score")
    num_faces = readable = 0
    with ExitStack() as stack:
        journal = None
        if args.output is not None:
            path = args.output.with_name(f".{args.output.name}.progress")
            journal = stack.enter_context(FaceJournal(path, {**detector_settings(detector), "draw": str(args.draw)}))
        for number, record in enumerate(find_faces(images, detector, journal, keep, is_done, "detecting")):
            if number < args.rows:
                table.add_row(*_row(record))
            problems += [record.problem] if record.problem else []
            num_faces += len(record.faces)
            readable += record.width > 0
        require_readable(readable, images, problems)
        if journal is not None and args.output is not None:
            _write(journal.records(images.names), args.output)
            journal.path.unlink()
    console = Console()
    console.print(table)
    name_problems(problems, len(images))
    where = "" if args.output is None else f"; {args.output}"
    said = f"{counted(num_faces, 'face')} in {counted(len(images), 'image')}{where}"
    say(said)
    return 0


def _row(record: ImageFaces) -> list[Text | str]:
    if not record.faces:
        return [Text(printable(record.name)), "–" if record.width == 0 else "0", "", ""]
    largest = max(record.faces, key=lambda face: face.area)
    left, top, right, bottom = largest.box
    size = f"{right - left:.0f} × {bottom - top:.0f}"
    return [Text(printable(record.name)), str(len(record.faces)), size, f"{largest.score:.2f}"]


def _write(records: Iterable[ImageFaces], path: Path) -> None:
    if path.suffix == ".csv":
        write_faces_csv(records, path)
    else:
        content = [record.to_json() for record in records]
        write_text_atomically(path, json.dumps(content, indent=1) + "\n")
