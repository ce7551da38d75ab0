"""`facemargin align IMAGES… --output FOLDER`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._face_files import write_csv, write_faces_csv, write_image
from facemargin.commands._face_source import warn_of_several
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
from facemargin.data.crop import crop_face
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.source import RGBImage
from facemargin.detection.detector import detector_settings
from facemargin.detection.face import Choice, Face, choose_faces
from facemargin.detection.journal import FaceJournal, ImageFaces
from facemargin.errors import ConfigError, DataError

JOURNAL = "faces.jsonl"


@dataclass(frozen=True, kw_only=True)
class Arguments(DetectionArguments):
    """Cut the faces out of photographs, and turn and scale them to the template with which recognisers are trained. The
    folders are those of the photographs. Images without a face are named, and listed in failures.csv. If a run is
    interrupted, the same command continues it."""

    output: Path
    """The folder to write: the faces, faces.csv (what was found), failures.csv and faces.jsonl (the progress)."""
    on_several: Annotated[Choice, tyro.conf.arg(aliases=["--faces"])] = "largest"
    """Which faces to use in a photograph with several faces: the largest, the most central, all, or none (error: the
    photograph is named, and listed in failures.csv). A warning says how many photographs had several faces."""
    size: int = 112
    """The side of the aligned faces in pixels."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "align", arguments)
    if not 16 <= args.size <= 1024:
        raise ConfigError(f"--size is {args.size}, expected 16 to 1024 pixels")
    refuse_inside(args.output, args.images, "--output")
    images = NamedImages(args.images)
    _require_own_folder(args.output)
    targets = target_names(images)
    detector = args.make_detector()

    def keep(index: int, image: RGBImage, faces: list[Face]) -> ImageFaces:
        chosen = choose_faces(faces, args.on_several, image)
        files = [targets[index]] if args.on_several != "all" else _numbered(targets[index], len(chosen))
        if clash := [file for file in files if file in others]:
            raise DataError(
                f"{args.output / clash[0]} is the face of {others[clash[0]]}, written by an earlier run on other "
                f"images; that of {images.names[index]} would replace it: use another output folder"
            )
        for face, file in zip(chosen, files, strict=True):
            write_image(crop_face(image, face.landmarks_52, args.size), args.output / file)
        height, width = image.shape[:2]
        return ImageFaces(images.names[index], width, height, tuple(chosen), tuple(files), num_faces=len(faces))

    def is_done(record: ImageFaces) -> bool:
        return not record.problem and all((args.output / file).is_file() for file in record.files)

    others: dict[str, str] = {}
    problems: dict[str, str] = {}
    several: list[str] = []
    aligned = readable = 0
    with FaceJournal(
        args.output / JOURNAL, {**detector_settings(detector), "faces": args.on_several, "size": args.size}
    ) as journal:
        earlier = journal.records(sorted(set(journal.names()) - set(images.names)))
        others.update((file, record.name) for record in earlier for file in record.files)
        for record in find_faces(images, detector, journal, keep, is_done, "aligning"):
            if record.problem:
                problems[record.name] = record.problem
            aligned += len(record.files)
            if record.num_faces > 1:
                several.append(f"{printable(record.name)}: {record.num_faces}")
            readable += record.width > 0
        write_faces_csv(journal.records(images.names), args.output / "faces.csv")
        write_csv(["path", "problem"], problems.items(), args.output / "failures.csv")
    require_readable(readable, images, list(problems.values()))
    name_problems(list(problems.values()), len(images), several=args.on_several == "error")
    if args.on_several in ("largest", "central"):
        warn_of_several(several, len(images), args.on_several, get_args(Choice))
    say(f"{counted(aligned, 'face')} aligned, of {counted(len(images) - len(problems), 'image')}; {args.output}")
    return 0


def _require_own_folder(folder: Path) -> None:
    """Raise DataError if writing to the folder could replace files that are not from an earlier alignment."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / JOURNAL).is_file())):
        raise DataError(
            f"{folder} exists and is not the output of an earlier alignment (it has no {JOURNAL}): give another folder"
        )


def _numbered(target: str, count: int) -> list[str]:
    path = Path(target)
    return [str(path.with_name(f"{path.stem}.face{number}{path.suffix}")) for number in range(1, count + 1)]
