"""LFW's verification protocol: `pairs.txt` and a folder `name/name_0001.jpg`.

The header says `folds<TAB>n`; each fold has n lines `name i j` (same person) and n lines `name1 i name2 j`. Columns are
separated by tabs, or by spaces in lines without a tab. The images may have any format, such as `name/name_0001.png`.
Shapes: N images, K pairs.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facemargin.counting import counted
from facemargin.data.formats.data_format import Location
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.pairs.odd_pairs import say_odd_pairs
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError
from facemargin.files.listing import entries, is_image_name
from facemargin.files.plain_numbers import is_digits
from facemargin.files.unicode_names import find_file, one_form

PAIRS_LIST_SUFFIXES = (".txt", ".csv", ".tsv")
PAIRS_LIST_NAMES = ("pairs.txt", "pairs.csv", "pairs.tsv")

_LONGEST_NUMBER = 10
_LONGEST_HEADER = 256

logger = logging.getLogger(__name__)


class _Pair(NamedTuple):
    first: str
    second: str
    same: bool


def load_lfw_pairs(pairs_path: Path | str, images_folder: Path | str) -> VerificationSet:
    """The pairs of a `pairs.txt` with the images of a folder, and the number of folds in the header.

    Raises DataError, which names the line that cannot be read, or the missing images.
    """
    pairs_path, images_folder = Path(pairs_path), Path(images_folder)
    try:
        header, *lines = pairs_path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{pairs_path} cannot be read as LFW pairs: {error}") from error
    num_folds, per_class = _parse_header(header, pairs_path)
    pairs = [_parse_pair(line, f"{pairs_path} line {number}") for number, line in enumerate(lines, 2) if line.strip()]
    if len(pairs) != 2 * num_folds * per_class:
        raise DataError(
            f"{pairs_path}: {counted(len(pairs), 'pair')}, but the header states {counted(num_folds, 'fold')} of "
            f"2 × {counted(per_class, 'pair')}"
        )
    stems = sorted({stem for pair in pairs for stem in (pair.first, pair.second)})
    names = _find_images(images_folder, stems)
    index = {stem: position for position, stem in enumerate(stems)}
    people = [Path(stem).parent.name for stem in stems]
    identity_names, identities_N = np.unique(people, return_inverse=True)
    return VerificationSet(
        name=pairs_path.resolve().parent.name if pairs_path.stem == "pairs" else pairs_path.stem,
        images=ImageFiles(images_folder, names),
        first_K=np.array([index[pair.first] for pair in pairs], dtype=np.int64),
        second_K=np.array([index[pair.second] for pair in pairs], dtype=np.int64),
        same_K=np.array([pair.same for pair in pairs], dtype=np.bool_),
        folds_K=np.repeat(np.arange(num_folds, dtype=np.int64), 2 * per_class),
        identities_N=identities_N.astype(np.int64),
        identity_names=identity_names.tolist(),
    )


def is_lfw_pairs(path: Path | str) -> bool:
    """Whether a text file starts with LFW's header of one or two numbers. False if the file cannot be read."""
    try:
        with Path(path).open("rb") as file:
            numbers = file.readline(_LONGEST_HEADER).decode("utf-8-sig", errors="replace").split()
    except OSError:
        return False
    return 1 <= len(numbers) <= 2 and all(map(is_digits, numbers))


def images_folder(pairs_path: Path) -> Path:
    """The folder of the images of a pairs.txt: `images` or `lfw` (as in LFW's archive) in its folder, or its folder
    itself."""
    folders = [pairs_path.parent / name for name in ("images", "lfw")]
    return next((folder for folder in folders if folder.is_dir()), pairs_path.parent)


def _parse_header(line: str, path: Path) -> tuple[int, int]:
    """(folds, pairs per class and fold). The development lists only have the second number, for one fold."""
    numbers = line.split()
    if not 1 <= len(numbers) <= 2 or not all(_are_numbers(n) and int(n) > 0 for n in numbers):
        raise DataError(f"{path} line 1: {line[:200]!r} is not LFW's header, expected `folds<TAB>pairs per class`")
    num_folds = int(numbers[0]) if len(numbers) == 2 else 1
    return num_folds, int(numbers[-1])


def _parse_pair(line: str, where: str) -> _Pair:
    match line.strip().split("\t") if "\t" in line else line.split():
        case [name, first, second] if _are_numbers(first, second):
            return _Pair(_stem(name, first), _stem(name, second), same=True)
        case [name1, first, name2, second] if _are_numbers(first, second):
            return _Pair(_stem(name1, first), _stem(name2, second), same=False)
    raise DataError(f"{where}: {line[:200]!r} is not a pair, expected `name i j` or `name1 i name2 j`")


def _are_numbers(*texts: str) -> bool:
    return all(is_digits(text) and len(text) < _LONGEST_NUMBER for text in texts)


def _stem(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}"


def _find_images(folder: Path, stems: list[str]) -> list[str]:
    """The file of each image, `name/name_0001.jpg` or with another suffix. Raises DataError, which names the missing
    images.

    If files differ only in their suffix, the first is used, which is logged.
    """
    files: dict[str, list[str]] = {}
    similar: dict[str, set[str]] = {}
    for person in {stem.rpartition("/")[0] for stem in stems}:
        place = find_file(folder / person)
        shown = person if place in (None, folder / person) else place.relative_to(folder).as_posix()
        for file in [] if place is None else _file_names(place):
            if is_image_name(file):
                stem = f"{person}/{file.rpartition('.')[0]}"
                files.setdefault(stem, []).append(f"{shown}/{file}")
                similar.setdefault(one_form(stem), set()).add(stem)
    files_by_stem = {stem: files.get(_as_filed(stem, files, similar), []) for stem in stems}
    require_images(folder, len(stems), [f"{stem}.jpg" for stem in stems if not files_by_stem[stem]])
    several = [names for names in files_by_stem.values() if len(names) > 1]
    if several:
        logger.warning(
            "%s: images of pairs that exist in several files, of which the first is used: %d (%s)",
            folder,
            len(several),
            "; ".join(", ".join(names) for names in several[:5]),
        )
    return [files_by_stem[stem][0] for stem in stems]


def _as_filed(stem: str, files: dict[str, list[str]], similar: dict[str, set[str]]) -> str:
    """The stem as it is spelled on disk, if it differs only in its Unicode normal form and there is only one such
    file."""
    others = similar.get(one_form(stem), set())
    return stem if stem in files or len(others) != 1 else next(iter(others))


def _file_names(folder: Path) -> list[str]:
    try:
        return [path.name for path in entries(folder)]
    except (OSError, ValueError):  # ValueError: the name has a zero byte
        return []


def require_images(folder: Path, count: int, missing: Iterable[str]) -> None:
    """Raise DataError, which names the `missing` of `count` images, if there are any."""
    missing = list(missing)
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise DataError(f"{folder}: images of the pairs are missing: {len(missing):,} of {count:,} ({shown})")


@register_pair_format("lfw", "LFW's pairs.txt, or a folder with it and images/", order=40)
def _open(at: Location) -> VerificationSet | None:
    path = pairs_list(at)
    if path is None or not is_lfw_pairs(path):
        return None
    pairs = load_lfw_pairs(path, images_folder(path))
    say_odd_pairs(str(path), pairs.images.describe, pairs.first_K, pairs.second_K, pairs.same_K)
    return pairs


def pairs_list(at: Location) -> Path | None:
    """The text file of pairs at a location, or in the folder there."""
    if at.path is None:
        return None
    if not at.path.is_dir():
        return at.path if at.path.suffix in PAIRS_LIST_SUFFIXES else None
    return next((at.path / name for name in PAIRS_LIST_NAMES if (at.path / name).is_file()), None)
