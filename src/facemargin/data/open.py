"""Finds the reader for what a user names: a path, or a set that comes with a package."""

import re
from collections.abc import Iterable
from pathlib import Path

from facemargin.data.bin import load_bin
from facemargin.data.embedded import ALL_PEOPLE, EmbeddedFaces, embedded_verification_set
from facemargin.data.folder import FolderImages
from facemargin.data.lfw_pairs import load_lfw_pairs
from facemargin.data.recordio import RecordIOImages
from facemargin.data.source import LabelledImages
from facemargin.data.verification import VerificationSet
from facemargin.errors import DataError

_ORL = re.compile(r"(?P<set>orl|orl-full)(?::(?P<people>\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?")


def open_images(location: str | Path) -> LabelledImages:
    """Labelled images from "orl", "orl:1-30" (people; also "orl:1-24,31"; "orl-full" leaves the frames as they are
    instead of cutting them square), a folder with train.rec, a .rec file, or a folder of one folder per person.
    Raises DataError for anything else."""
    orl = _orl(location)
    if orl is not None:
        return EmbeddedFaces(*orl)
    path = _existing(location)
    if path.suffix == ".rec" or (path / "train.rec").is_file():
        return RecordIOImages(path)
    if path.is_dir():
        return FolderImages(path)
    raise DataError(
        f"{path} holds no labelled images that can be read; understood are: orl, orl:1-30, a folder with train.rec, "
        "a .rec file, a folder of one folder per person"
    )


def open_verification(location: str | Path) -> VerificationSet:
    """A verification set from "orl:31-40" (all pairs of these people), a .bin file, or a folder with pairs.txt and
    images/ as of LFW. Raises DataError for anything else."""
    orl = _orl(location)
    if orl is not None:
        return embedded_verification_set(*orl)
    path = _existing(location)
    if path.suffix == ".bin":
        return load_bin(path)
    if (path / "pairs.txt").is_file():
        return load_lfw_pairs(path / "pairs.txt", path / "images")
    raise DataError(
        f"{path} holds no verification pairs that can be read; understood are: orl, orl:31-40, a .bin file, "
        "a folder with pairs.txt and images/"
    )


def _orl(location: str | Path) -> tuple[Iterable[int], bool] | None:
    """The people that "orl:1-24,31" names, and whether their frames are cut square; None if `location` is not of this
    form (a folder called orl is ./orl)."""
    match = _ORL.fullmatch(location) if isinstance(location, str) else None
    if match is None:
        return None
    square = match["set"] == "orl"
    if match["people"] is None:
        return ALL_PEOPLE, square
    bounds = [[int(number) for number in part.split("-")] for part in match["people"].split(",")]
    return [person for bound in bounds for person in range(bound[0], bound[-1] + 1)], square


def _existing(location: str | Path) -> Path:
    path = Path(location)
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a path, or orl or orl:1-30 for the embedded faces")
    return path
