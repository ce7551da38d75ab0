"""Writes verification pairs as a folder that `load_pairs_list` reads: images/000000.jpg, … and pairs.csv, which keeps
folds and people.
"""

import contextlib
import csv
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from facemargin.data.images.common_kind import in_common_kind, say_as_png
from facemargin.data.pairs.csv_list import COLUMNS
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError

_LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def write_pairs_folder(
    pairs: VerificationSet, folder: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the pairs, in their order, with the images' bytes as `read_encoded` gives them (rare kinds become PNG,
    which is logged); the folder appears whole or not at all.

    `progress(done, all)` counts images. Raises DataError for a folder that exists already or cannot be written,
    CorruptImageError for images that cannot be had.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(f"{folder} exists already; name a folder that does not, or remove it first")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        (temporary / "images").mkdir(parents=True)
        _write(pairs, temporary, progress)
        temporary.replace(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary)


def _write(pairs: VerificationSet, folder: Path, progress: Callable[[int, int], None] | None) -> None:
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
            [_person(pairs, image) for image in index_K.tolist()] for index_K in (pairs.first_K, pairs.second_K)
        ]
    with (folder / "pairs.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        file.flush()
        os.fsync(file.fileno())


def _person(pairs: VerificationSet, image: int) -> str:
    assert pairs.identities_N is not None
    identity = int(pairs.identities_N[image])
    return str(identity) if pairs.identity_names is None else _LINE_ENDS.sub(" ", pairs.identity_names[identity])
