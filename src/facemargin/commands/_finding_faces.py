"""The common part of `detect` and `align`: a detector, photographs, and a journal of the faces found in them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._face_files import image_file_name
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted, none_readable
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.source import RGBImage
from facemargin.detection.detect import no_face
from facemargin.detection.detector import DEFAULT_DETECTOR, Detector, DetectorName, create_detector
from facemargin.detection.face import Face
from facemargin.detection.journal import FaceJournal, ImageFaces
from facemargin.errors import ConfigError, DataError, ImageError, SeveralFacesError

_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class DetectionArguments:
    """The arguments of the commands that find faces in photographs."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Photographs: image files, folders at any depth, and .txt files with one path per line."""
    detector: DetectorName = DEFAULT_DETECTOR
    """The network that finds the faces."""
    min_score: float | None = None
    """The smallest score of a face, from 0 to 1. The default depends on the detector: 0.5 for centerface, 0.6 for
    yunet."""
    longest_side: int | None = None
    """Larger photographs are shrunk to this number of pixels for detection. A larger number finds smaller faces, with
    more memory and time. The default of both detectors is 1280."""

    def make_detector(self) -> Detector:
        given = {"min_score": self.min_score, "longest_side": self.longest_side}
        return create_detector(self.detector, **{name: value for name, value in given.items() if value is not None})


Keep = Callable[[int, RGBImage, list[Face]], ImageFaces]
"""A function that handles the faces found in image number `index`, and returns the entry for the journal."""


def find_faces(
    images: NamedImages,
    detector: Detector,
    journal: FaceJournal | None,
    keep: Keep,
    is_done: Callable[[ImageFaces], bool],
    doing: str,
) -> Iterator[ImageFaces]:
    """Yields the entry of every image, in order. Images that are done according to the journal are not processed again.
    For the others, `keep` handles the faces. An image that cannot be read, or has no face, gets an entry with its
    problem.
    """
    with embedding_progress(Console(stderr=True), images.name, doing) as report:
        for index, name in enumerate(images.names):
            record = None if journal is None else journal.get(name)
            if record is None or not is_done(record):
                record = _find(images, index, detector, keep)
                if journal is not None:
                    journal.add(record)
            report(index + 1, len(images))
            yield record


def _find(images: NamedImages, index: int, detector: Detector, keep: Keep) -> ImageFaces:
    name = images.names[index]
    try:
        image = images.read(index)
    except ImageError as error:
        return ImageFaces(name, problem=str(error))
    faces = detector.detect(image)
    if not faces:
        height, width = image.shape[:2]
        return ImageFaces(name, width, height, problem=str(no_face(images.describe(index), image)))
    try:
        return keep(index, image, faces)
    except SeveralFacesError as error:
        height, width = image.shape[:2]
        return ImageFaces(name, width, height, problem=f"{images.describe(index)}: {error}", num_faces=len(faces))


def target_names(images: NamedImages) -> list[str]:
    """The name of the output file of each image: its path relative to the folder that all images share, followed by
    .png if its format is not written. Raises DataError if two images would have the same name."""
    targets = [image_file_name("/".join(Path(name).parts[1:])) for name in images.names]
    if len(set(targets)) < len(targets):
        ((twice, _),) = Counter(targets).most_common(1)
        raise DataError(f"two images would be written to {twice}: rename one, or write them to different folders")
    return targets


def refuse_inside(folder: Path, locations: tuple[Path, ...], option: str) -> None:
    """Raise ConfigError if files written to `folder` would be found as images in the next run, or would replace
    images."""
    for location in locations:
        inside = location if location.is_dir() else location.parent
        target = folder.resolve()
        if target == inside.resolve() or (location.is_dir() and target.is_relative_to(inside.resolve())):
            raise ConfigError(f"{option} {folder} is inside {inside}, which contains the images: give another folder")


def require_readable(readable: int, images: NamedImages, problems: list[str]) -> None:
    """Raise DataError if no image could be read, because the folder is then probably wrong."""
    if not readable:
        raise DataError(f"{none_readable(len(images), images.name)}; {problems[0]}")


def printable(name: str) -> str:
    """The name of a file for printing, with bytes that are not UTF-8 replaced."""
    return os.fsencode(name).decode(errors="replace")


def name_problems(problems: list[str], count: int, several: bool = False) -> None:
    """Print the first images that could not be used, and their number of `count`, to stderr. `several`: the reason may
    also be several faces."""
    for message in problems[:_NAMED]:
        say(printable(message), stderr=True)
    if problems:
        all_shown = "it is named above" if len(problems) == 1 else "they are named above"
        shown = all_shown if len(problems) <= _NAMED else f"the first {_NAMED} are named above"
        say(
            f"warning: {len(problems):,} of {counted(count, 'image')} cannot be read or show "
            f"{'none or several faces' if several else 'no face'}; {shown}",
            stderr=True,
        )
