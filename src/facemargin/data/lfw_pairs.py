"""LFW's verification protocol: `pairs.txt` and a folder `name/name_0001.jpg`.

The header says `folds<TAB>n`; each fold has n lines `name i j` (same person) and n lines `name1 i name2 j`.
Shapes: N images, K pairs.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from facemargin.data.folder import ImageFiles
from facemargin.data.verification import VerificationSet
from facemargin.errors import DataError


class _Pair(NamedTuple):
    first: str
    second: str
    same: bool


def load_lfw_pairs(pairs_path: Path | str, images_folder: Path | str) -> VerificationSet:
    """The pairs of a `pairs.txt` over the images of a folder, with as many folds as its header says.

    Raises DataError naming the line that cannot be understood, or the images that are missing.
    """
    pairs_path, images_folder = Path(pairs_path), Path(images_folder)
    try:
        header, *lines = pairs_path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{pairs_path} cannot be read as LFW pairs: {error}") from error
    num_folds, per_class = _parse_header(header, pairs_path)
    pairs = [_parse_pair(line, f"{pairs_path} line {number}") for number, line in enumerate(lines, 2) if line.strip()]
    if len(pairs) != 2 * num_folds * per_class:
        raise DataError(
            f"{pairs_path}: {len(pairs)} pairs, but its header says {num_folds} folds of 2 × {per_class} pairs"
        )
    names = sorted({name for pair in pairs for name in (pair.first, pair.second)})
    _require_images(images_folder, names)
    index = {name: position for position, name in enumerate(names)}
    people = [Path(name).parent.name for name in names]
    identity_names, identities_N = np.unique(people, return_inverse=True)
    return VerificationSet(
        name="lfw",
        images=ImageFiles(images_folder, names),
        first_K=np.array([index[pair.first] for pair in pairs], dtype=np.int64),
        second_K=np.array([index[pair.second] for pair in pairs], dtype=np.int64),
        same_K=np.array([pair.same for pair in pairs], dtype=np.bool_),
        folds_K=np.repeat(np.arange(num_folds, dtype=np.int64), 2 * per_class),
        identities_N=identities_N.astype(np.int64),
        identity_names=identity_names.tolist(),
    )


def _parse_header(line: str, path: Path) -> tuple[int, int]:
    """(folds, pairs per class and fold); the development lists give the second number only, for one fold."""
    numbers = line.split()
    if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise DataError(f"{path} line 1: {line!r} is not LFW's header, expected `folds<TAB>pairs per class`")
    num_folds = int(numbers[0]) if len(numbers) == 2 else 1
    return num_folds, int(numbers[-1])


def _parse_pair(line: str, where: str) -> _Pair:
    match line.split():
        case [name, first, second] if first.isdecimal() and second.isdecimal():
            return _Pair(_file_name(name, first), _file_name(name, second), same=True)
        case [name1, first, name2, second] if first.isdecimal() and second.isdecimal():
            return _Pair(_file_name(name1, first), _file_name(name2, second), same=False)
    raise DataError(f"{where}: {line!r} is not a pair, expected `name i j` or `name1 i name2 j`")


def _file_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}.jpg"


def _require_images(folder: Path, names: list[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise DataError(f"{folder}: {len(missing)} of the {len(names)} images that the pairs name are missing: {shown}")
