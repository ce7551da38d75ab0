"""Pairs of image files, one per line: `path1 path2 label`, separated by commas, tabs or spaces.

The label is 1 or 0 (also true, false, same, different). A first line may name the columns, in any order: path1, path2,
same and, optionally, fold, person1, person2. What is written is a folder: images/000000.jpg, … and such a list of them,
pairs.csv, which keeps folds and people. Shapes: N images, K pairs.
"""

import contextlib
import csv
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from facemargin.counting import counted
from facemargin.data.formats.data_format import Location
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.images.common_kind import in_common_kind, say_as_png
from facemargin.data.pairs.lfw import pairs_list, require_images
from facemargin.data.pairs.odd_pairs import say_odd_pairs
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError, OutputError
from facemargin.files.listing import plain_path
from facemargin.files.plain_numbers import is_digits
from facemargin.files.unicode_names import find_file, one_form

"""The name of the file in a folder of pairs."""
COLUMNS = ("path1", "path2", "same", "fold", "person1", "person2")
_REQUIRED = COLUMNS[:3]
_LABELS = {"1": True, "true": True, "same": True, "genuine": True}
_LABELS |= {"0": False, "false": False, "different": False, "impostor": False}
_LARGEST_FOLD = 10_000
_LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def load_pairs_list(path: Path | str) -> VerificationSet:
    """The pairs in a text file. Paths are relative to its folder; every path is one image.

    There are folds only if the file has a column for them. Raises DataError, which names the line that cannot be read,
    or the missing images.
    """
    path = Path(path)
    index: dict[str, int] = {}
    person_of: dict[str, str] = {}
    first, second, same, folds = [], [], [], []
    for row, where in _rows(path):
        for image, person in ((row["path1"], _person(row, "person1")), (row["path2"], _person(row, "person2"))):
            index.setdefault(image, len(index))
            if person is not None and person_of.setdefault(image, person) != person:
                raise DataError(f"{where}: {image} shows {person}, but {person_of[image]} on another line")
        first.append(index[row["path1"]])
        second.append(index[row["path2"]])
        same.append(_label(row["same"], where))
        if "fold" in row:
            folds.append(_fold(row["fold"], where))
    if not same:
        raise DataError(f"{path} lists no pairs; expected lines `path1 path2 label`")
    names = list(index)
    require_images(path.parent, len(names), [name for name in names if not _is_file(path.parent / name)])
    people = sorted(set(person_of.values()))
    number_of = {person: number for number, person in enumerate(people)}
    return VerificationSet(
        name=path.resolve().parent.name if path.stem == "pairs" else path.stem,
        images=ImageFiles(path.parent, names),
        first_K=np.array(first, dtype=np.int64),
        second_K=np.array(second, dtype=np.int64),
        same_K=np.array(same, dtype=np.bool_),
        folds_K=np.array(folds, dtype=np.int64) if folds else None,
        identities_N=np.array([number_of[person_of[name]] for name in names], dtype=np.int64) if people else None,
        identity_names=people or None,
    )


def _rows(path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yields the columns of every pair by name, and the name of the line for messages."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _named(_split(file, path), path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _split(lines: Iterator[str], path: Path) -> Iterator[tuple[list[str], str]]:
    """Yields the columns of every line that is not empty."""
    separator = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        if separator is None:
            separator = "\t" if "\t" in line else "," if "," in line else " "
        if separator == " ":
            yield line.split(), where
            continue
        try:
            (columns,) = csv.reader([line.strip("\r\n")], delimiter=separator, strict=True)
        except (csv.Error, ValueError) as error:
            raise DataError(f"{where}: {line[:200]!r} cannot be read: {error}") from error
        yield [column.strip() for column in columns], where


def _named(lines: Iterator[tuple[list[str], str]], path: Path) -> Iterator[tuple[dict[str, str], str]]:
    names: tuple[str, ...] | None = None
    for columns, where in lines:
        if names is None:
            lower = tuple(column.lower() for column in columns)
            if set(_REQUIRED) <= set(lower):
                _check_names(lower, where)
                names = lower
                continue
            names = COLUMNS[:4] if len(columns) == 4 else _REQUIRED
        if len(columns) != len(names):
            raise DataError(f"{where}: {counted(len(columns), 'column')}, expected {len(names)}: {', '.join(names)}")
        row = dict(zip(names, columns, strict=True))
        row |= {name: plain_path(row[name]) for name in ("path1", "path2") if row[name]}
        if not row["path1"] or not row["path2"]:
            raise DataError(f"{where}: a path is empty")
        yield row, where


def _check_names(names: tuple[str, ...], where: str) -> None:
    wrong = [name for name in names if name not in COLUMNS or names.count(name) > 1]
    if wrong or ("person1" in names) != ("person2" in names):
        raise DataError(
            f"{where}: columns {', '.join(names)}; expected {', '.join(_REQUIRED)} and, optionally, fold, person1 "
            "and person2, each once"
        )


def _person(row: dict[str, str], column: str) -> str | None:
    return one_form(row[column]) if column in row else None


def _label(text: str, where: str) -> bool:
    if text.lower() not in _LABELS:
        raise DataError(f"{where}: label {text[:50]!r}, expected 1 for the same person or 0")
    return _LABELS[text.lower()]


def _fold(text: str, where: str) -> int:
    if not is_digits(text) or len(text) > len(str(_LARGEST_FOLD)) or int(text) > _LARGEST_FOLD:
        raise DataError(f"{where}: fold {text[:50]!r}, expected a number from 0 to {_LARGEST_FOLD}")
    return int(text)


def _is_file(path: Path) -> bool:
    try:
        file = find_file(path)
        return file is not None and file.is_file()
    except (OSError, ValueError):  # the name is too long, or has a zero byte
        return False


def write_pairs_folder(
    pairs: VerificationSet, folder: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the pairs, in their order, with the image bytes from `read_encoded` (rare formats become PNG, which is
    logged). The folder is written completely or not at all.

    `progress(done, all)` counts images. Raises DataError for a folder that exists already, OutputError if it cannot be
    written, CorruptImageError for images that cannot be read.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(f"{folder} exists already; give the name of a new folder, or remove it first")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        (temporary / "images").mkdir(parents=True)
        _write_folder(pairs, temporary, progress)
        temporary.replace(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary)


def _write_folder(pairs: VerificationSet, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    name_of: dict[int, str] = {}
    changed = 0
    used = sorted({*pairs.first_K.tolist(), *pairs.second_K.tolist()})
    for image in used:
        encoded = pairs.images.read_encoded(image)
        encoded, suffix, is_changed = in_common_kind(encoded, pairs.images.describe(image))
        changed += is_changed
        name_of[image] = f"images/{image:06d}{suffix}"
        (folder / name_of[image]).write_bytes(encoded)
        if progress is not None:
            progress(len(name_of), len(used))
    say_as_png(changed, pairs.name)
    columns = [
        [name_of[image] for image in pairs.first_K.tolist()],
        [name_of[image] for image in pairs.second_K.tolist()],
        pairs.same_K.astype(int).tolist(),
    ]
    names = list(COLUMNS[:3])
    if pairs.folds_K is not None:
        names.append("fold")
        columns.append(pairs.folds_K.tolist())
    if pairs.identities_N is not None:
        names += ["person1", "person2"]
        columns += [
            [_person_shown(pairs, image) for image in index_K.tolist()] for index_K in (pairs.first_K, pairs.second_K)
        ]
    with (folder / "pairs.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        file.flush()
        os.fsync(file.fileno())


def _person_shown(pairs: VerificationSet, image: int) -> str:
    assert pairs.identities_N is not None
    identity = int(pairs.identities_N[image])
    return str(identity) if pairs.identity_names is None else _LINE_ENDS.sub(" ", pairs.identity_names[identity])


@register_pair_format("list", "a .txt, .csv or .tsv file of pairs, or a folder with pairs.csv", order=41)
def _open(at: Location) -> VerificationSet | None:
    path = pairs_list(at)
    if path is None:
        return None
    pairs = load_pairs_list(path)
    say_odd_pairs(str(path), pairs.images.describe, pairs.first_K, pairs.second_K, pairs.same_K)
    return pairs
