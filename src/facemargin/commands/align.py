"""`facemargin align IMAGES… --output FOLDER`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from facemargin.commands.arguments import parse
from facemargin.commands.face_files import image_file_name, write_csv, write_faces_csv, write_image
from facemargin.commands.finding_faces import (
    DetectionArguments,
    find_faces,
    name_problems,
    refuse_inside,
    require_readable,
)
from facemargin.counting import counted
from facemargin.data.image_files import NamedImages
from facemargin.data.source import RGBImage
from facemargin.errors import ConfigError, DataError
from facemargin.inference.face_crop import crop_face
from facemargin.inference.face_journal import FaceJournal, ImageFaces
from facemargin.inference.faces import Choice, Face, choose_faces

JOURNAL = "faces.jsonl"


@dataclass(frozen=True, kw_only=True)
class Arguments(DetectionArguments):
    """Cut the faces out of photographs, turned and scaled to the template that recognisers are trained on, in folders
    as those of the photographs. Images without a face are named, and listed in failures.csv. An interrupted run goes
    on where it was when the same command is run again."""

    output: Path
    """The folder to write: the faces, faces.csv (what was found), failures.csv and faces.jsonl (the progress)."""
    faces: Choice = "largest"
    """Which faces of an image with several."""
    size: int = 112
    """The side of the aligned faces in pixels."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "align", arguments)
    if not 16 <= own.size <= 1024:
        raise ConfigError(f"--size is {own.size}, expected 16 to 1024 pixels")
    refuse_inside(own.output, own.images, "--output")
    images = NamedImages(own.images)
    _require_own_folder(own.output)
    targets = _targets(images)
    detector = own.detector()

    def keep(index: int, image: RGBImage, faces: list[Face]) -> ImageFaces:
        chosen = choose_faces(faces, own.faces, image)
        files = [targets[index]] if own.faces != "all" else _numbered(targets[index], len(chosen))
        for face, file in zip(chosen, files, strict=True):
            write_image(crop_face(image, face.landmarks_52, own.size), own.output / file)
        height, width = image.shape[:2]
        return ImageFaces(images.names[index], width, height, tuple(chosen), tuple(files))

    def is_done(record: ImageFaces) -> bool:
        return not record.problem and all((own.output / file).is_file() for file in record.files)

    problems: dict[str, str] = {}
    aligned = readable = 0
    with FaceJournal(own.output / JOURNAL, {**detector.settings, "faces": own.faces, "size": own.size}) as journal:
        for record in find_faces(images, detector, journal, keep, is_done, "aligning"):
            if record.problem:
                problems[record.name] = record.problem
            aligned += len(record.files)
            readable += record.width > 0
        write_faces_csv(journal.records(images.names), own.output / "faces.csv")
        write_csv(["path", "problem"], problems.items(), own.output / "failures.csv")
    require_readable(readable, images, list(problems.values()))
    name_problems(list(problems.values()), len(images))
    Console().print(
        f"{counted(aligned, 'face')} aligned, of {counted(len(images) - len(problems), 'image')}; {own.output}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _require_own_folder(folder: Path) -> None:
    """DataError where writing to the folder could replace what somebody else put there."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / JOURNAL).is_file())):
        raise DataError(
            f"{folder} exists and is not of an earlier alignment (it has no {JOURNAL}): name another folder"
        )


def _targets(images: NamedImages) -> list[str]:
    """Where each image's face goes: its own name, from the folder on that all of them share; DataError where two would
    go to one place."""
    targets = [image_file_name("/".join(Path(name).parts[1:])) for name in images.names]
    if len(set(targets)) < len(targets):
        ((twice, _),) = Counter(targets).most_common(1)
        raise DataError(f"two images would be written to {twice}: rename one, or align them into different folders")
    return targets


def _numbered(target: str, count: int) -> list[str]:
    path = Path(target)
    return [str(path.with_name(f"{path.stem}.face{number}{path.suffix}")) for number in range(1, count + 1)]
