"""Finds the reader for what a user names: a path, or a set that comes with a package."""

import logging
from dataclasses import replace
from pathlib import Path

from facemargin.data.formats.data_format import FORMATS, Location
from facemargin.data.formats.folder import folders_of_people
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.orl import people_named
from facemargin.data.pairs.named_sets import find_named_set, set_name, warn_if_incomplete
from facemargin.data.pairs.pair_format import PAIR_FORMATS
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.files.unicode_names import find_file

logger = logging.getLogger(__name__)


def open_images(location: str | Path, root: str | Path | None = None) -> LabeledImages:
    """Labelled images from whatever format `location` is in.

    "orl", "orl:1-30" (people; also "orl:1-24,31"; "orl-full" leaves the frames as they are instead of cutting them
    square), a folder with train.rec or a .rec file, WebDataset shards (see `open_shards`), parquet files (see
    `parquet_paths`), an image list (whose paths are relative to `root`), a folder of one folder per person, or what
    another registered format opens. Raises DataError for anything else.

    Examples:
        >>> import facemargin as fm
        >>> faces = fm.open_images("orl:1-3")
        >>> len(faces), faces.read(0).shape, faces.identity_names
        (30, (92, 92, 3), ['s1', 's2', 's3'])
    """
    at = Location(location, find_file(Path(location)), None if root is None else Path(root))
    formats = sorted(FORMATS.values(), key=lambda format_: format_.order)
    for images in (format_.open(at) for format_ in formats):
        if images is not None:
            if at.path is not None:
                _warn_of_folders_beside(at.path, images)
            return images
    if at.path is None:
        raise DataError(_does_not_exist(location))
    understood = sorted(FORMATS.names(), key=lambda name: FORMATS[name].order)
    raise DataError(
        f"{at.path} holds no labelled images that can be read; understood are: "
        + ", ".join(map(FORMATS.description, understood))
    )


def _warn_of_folders_beside(path: Path, images: LabeledImages) -> None:
    """A downloaded archive often lies beside what it was unpacked to."""
    if path.is_dir() and not isinstance(images, ImageFiles) and (others := folders_of_people(path)):
        logger.warning(
            "%s: read are images such as %s; folders of images that lie beside it are not: %d (%s)",
            path, images.describe(0), len(others), ", ".join(others[:5]),
        )  # fmt: skip


def open_verification(location: str | Path) -> VerificationSet:
    """A verification set from whatever format `location` is in.

    "orl:31-40" (all pairs of these people); a set of the field by name, "lfw" or "path/to/lfw" (see
    `find_named_set`); a .bin file; pairs.txt or another text file of pairs, or a folder with one; a folder with
    AdaFace's memfile; WebDataset shards of pairs; or what another registered format opens. Raises DataError for
    anything else, and for pairs that contradict
    each other; repeated pairs are said (see `say_odd_pairs`).

    Examples:
        >>> import facemargin as fm
        >>> fm.open_verification("orl:1-10").name
        'orl:1-10'
    """
    name = set_name(location)
    if name is None or people_named(location) is not None:
        return _open_pairs(location)
    pairs = replace(_open_pairs(find_named_set(name, location)), name=name)
    warn_if_incomplete(name, pairs)
    return pairs


def _open_pairs(location: str | Path) -> VerificationSet:
    at = Location(location, find_file(Path(location)))
    formats = sorted(PAIR_FORMATS.values(), key=lambda format_: format_.order)
    for pairs in (format_.open(at) for format_ in formats):
        if pairs is not None:
            return pairs
    if at.path is None:
        raise DataError(_does_not_exist(location))
    understood = sorted(PAIR_FORMATS.names(), key=lambda name: PAIR_FORMATS[name].order)
    raise DataError(
        f"{at.path} holds no verification pairs that can be read; understood are: "
        + ", ".join(map(PAIR_FORMATS.description, understood))
        + ", and the field's sets by name, such as lfw"
    )


def _does_not_exist(location: str | Path) -> str:
    return f"{location} does not exist; expected a path, or orl or orl:1-30 for the embedded faces"
