"""Image lists: text files of paths and labels, one image per line."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.text_labels import UNLABELED, text_identities
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.files.listing import plain_path
from facemargin.files.plain_numbers import decimal_number
from facemargin.files.text_lists import is_image_column, read_columns

LIST_SUFFIXES = (".txt", ".lst", ".tsv", ".csv")
LIST_NAME = "list.txt"
"""The name of the list in a folder, also for the output of `facemargin convert`."""

# In order of preference: in `id,path,label`, the label is the last column.
_IMAGE_WORDS = (
    "path", "image", "image_path", "imagepath", "img", "img_path", "file", "filename", "file_name", "filepath",
    "file_path", "images", "paths", "files",
)  # fmt: skip
_LABEL_WORDS = (
    "label", "labels", "identity", "identity_id", "identity_name", "person", "person_id", "subject", "subject_id",
    "cls", "class", "class_id", "class_name", "target", "name", "id", "y",
)  # fmt: skip

logger = logging.getLogger(__name__)


class ListedImages(ImageFiles, LabeledImages):
    """The images in lines `path<TAB>label`, `path label` or `path,label`. Labels are numbers or names of people (see
    `text_identities`, also for −1).

    Lines with more columns are read as MXNet's .lst (index, label, …, path), InsightFace's lists (whether aligned,
    path, label, …) or `path,label,…`. A first line with headings defines the columns. Paths are relative to `root`, by
    default the folder of the list. Images that are listed twice, or with two labels, are counted in a logged warning.
    Raises DataError, which names the line, for any other line.
    """

    def __init__(self, path: Path | str, root: Path | str | None = None) -> None:
        path = Path(path)
        root = path.parent if root is None else Path(root)
        names: list[str] = []
        texts: dict[str, int] = {}
        codes: list[int] = []
        for image, label in _entries(path, root):
            names.append(image)
            codes.append(texts.setdefault(label, len(texts)))
        if not names:
            raise DataError(f"{path} is empty; expected lines `path<TAB>label`")
        names = _with_slashes(names, root, path)
        code_N = np.array(codes, dtype=np.int64)
        _warn_of_repeated([plain_path(name) for name in names], code_N, list(texts), path)
        label_N, self.identity_names, self.has_names = text_identities(list(texts), code_N, str(path), path.parent)
        kept = np.flatnonzero(label_N != UNLABELED)
        self.num_unlabeled = len(label_N) - len(kept)
        super().__init__(root, [names[index] for index in kept.tolist()])
        self.name = str(path)
        self.labels = label_N[kept]


def _entries(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yields the image and the label of every line."""
    rows = read_columns(path)
    first = next(rows, None)
    if first is None:
        return
    second = next(rows, None)
    places = _heading(first[1])
    if places is None and second is not None and _is_unknown_heading(first[1], second[1], root):
        logger.warning(
            "%s line %d: %s is not the path of an image, so the line is read as headings; %s",
            path,
            *_shown(first),
            _read_as(first, second),
        )
    elif places is None:
        yield _entry(first, None, path)
    for row in [] if second is None else [second]:
        yield _entry(row, places, path)
    for row in rows:
        yield _entry(row, places, path)


def _shown(row: tuple[int, list[str]]) -> tuple[int, str]:
    return row[0], repr(" ".join(row[1]))[:200]


def _read_as(heading: tuple[int, list[str]], row: tuple[int, list[str]]) -> str:
    """Says how the columns of a list with unknown headings are read."""
    named = dict(enumerate(heading[1]))
    image, label = (f"column {place + 1} ({named.get(place, 'without a heading')})" for place in _places(row[1]))
    return f"images are read from {image}, labels from {label}"


def _heading(columns: Sequence[str]) -> tuple[int, int] | None:
    """The columns of image and label according to a line of headings. None if the line has no headings."""
    lower = [column.lower() for column in columns]
    image = next((lower.index(word) for word in _IMAGE_WORDS if word in lower), None)
    label = next((lower.index(word) for word in _LABEL_WORDS if word in lower), None)
    return None if image is None or label is None else (image, label)


def _is_unknown_heading(first: Sequence[str], second: Sequence[str], root: Path) -> bool:
    """Whether the second line has an image, but no column of the first line is a file."""
    if any(map(is_image_column, first)) or not any(map(is_image_column, second)):
        return False
    try:
        return not any(column and (root / column).is_file() for column in first)
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return False


def _entry(row: tuple[int, list[str]], places: tuple[int, int] | None, path: Path) -> tuple[str, str]:
    """The path and the label of a line."""
    number, columns = row
    image, label = _places(columns) if places is None else places
    if max(image, label) >= len(columns) or not columns[image] or not columns[label]:
        raise DataError(
            f"{path} line {number}: expected `path<TAB>label` (label -1 for an unknown person), found "
            f"{' '.join(columns)[:200]!r}"
        )
    return columns[image], columns[label]


def _places(columns: Sequence[str]) -> tuple[int, int]:
    """The columns of image and label in a line of a list without headings."""
    last = len(columns) - 1
    if last < 2:
        return (1, 0) if is_image_column(columns[-1]) and not is_image_column(columns[0]) else (0, 1)
    images = [place for place, column in enumerate(columns) if is_image_column(column)]
    if images == [0]:
        return 0, 1
    if images == [1] or (images != [last] and decimal_number(columns[1]) is None):
        return 1, 2
    return last, 1


def _with_slashes(names: Sequence[str], root: Path, path: Path) -> list[str]:
    """Replace the backslashes of Windows by slashes, if the file only exists with slashes."""
    converted = [name.replace("\\", "/") if "\\" in name and _only_with_slashes(name, root) else name for name in names]
    changed = sum(name != converted_name for name, converted_name in zip(names, converted, strict=True))
    if changed:
        logger.warning("%s: the backslashes in %d of %d paths are read as slashes", path, changed, len(names))
    return converted


def _only_with_slashes(name: str, root: Path) -> bool:
    try:
        return not (root / name).exists() and (root / name.replace("\\", "/")).exists()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return False


def _warn_of_repeated(names: Sequence[str], code_N: NDArray[np.int64], texts: Sequence[str], path: Path) -> None:
    if len(set(names)) == len(names):
        return
    repeated = {name: set[int]() for name, count in Counter(names).items() if count > 1}
    for name, code in zip(names, code_N.tolist(), strict=True):
        if name in repeated:
            repeated[name].add(code)
    several = {name: codes for name, codes in repeated.items() if len(codes) > 1}
    logger.warning(
        "%s: images listed more than once, which count as often: %d (%s)",
        path, len(repeated), ", ".join(list(repeated)[:5]),
    )  # fmt: skip
    if several:
        shown = [f"{name} ({', '.join(sorted(texts[code] for code in codes))})" for name, codes in several.items()]
        logger.warning("%s: images listed under several labels: %d (%s)", path, len(several), "; ".join(shown[:5]))


@register_format("list", "an image list (.txt, .lst, .tsv, .csv), a folder with list.txt", order=20)
def _open(at: Location) -> ListedImages | None:
    if at.path is None:
        return None
    if at.path.is_file() and at.path.suffix.lower() in LIST_SUFFIXES:
        return ListedImages(at.path, at.root)
    inside = at.path / LIST_NAME
    return ListedImages(inside, at.root) if inside.is_file() else None
