"""The field's verification sets by name, wherever and in whatever format a user has them."""

import logging
import os
from pathlib import Path

from facemargin.data.formats.webdataset import SHARD_SUFFIXES, shard_paths
from facemargin.data.pairs.adaface_memmap import DAT_FILE
from facemargin.data.pairs.csv_list import PAIRS_LIST_NAMES
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError
from facemargin.files.listing import entries

NUM_PAIRS = {
    "lfw": 6000,
    "cfp_fp": 7000,
    "cfp_ff": 7000,
    "agedb_30": 6000,
    "calfw": 6000,
    "cplfw": 6000,
    "xqlfw": 6000,
}
"""Pairs of each set as it is published; all of them have ten folds."""

ROOT_VARIABLE = "FACEMARGIN_DATA"
"""The environment variable with the folder that sets are looked for in, by default the current one."""
_NUM_FOLDS = 10

logger = logging.getLogger(__name__)


def set_name(location: str | Path) -> str | None:
    """The set that "lfw", "CFP-FP" or "folder/agedb_30" names, as NUM_PAIRS has it; None if that is no known name."""
    name = Path(location).name.lower().replace("-", "_")
    return name if name in NUM_PAIRS else None


def find_named_set(name: str, location: str | Path) -> Path:
    """The path of the set `name`: of "folder/lfw" in that folder, of "lfw" in the folder that FACEMARGIN_DATA names and
    in the InsightFace training sets there.

    Looked for are, in this order, lfw.bin, the folder lfw with pairs.txt, with AdaFace's memfile or with shards, and
    lfw.tar. Raises DataError that lists them where there is none.
    """
    path = Path(location)
    if "/" in str(location):
        folders = [path.parent]
        if _holds_pairs(path):  # what is there under the very name is what was meant
            return path
    else:
        root = Path(os.environ.get(ROOT_VARIABLE) or ".")
        folders = [root, *_training_sets(root)]
    candidates = _candidates(folders[0], name)
    for candidate in (candidate for folder in folders for candidate in _candidates(folder, name)):
        if candidate.is_file() or _holds_pairs(candidate):
            return candidate
    raise DataError(
        f"{name} is not in {', '.join(map(str, folders))}: looked for {', '.join(one.name for one in candidates[:-1])} "
        f"and for the folder {name} with pairs.txt, pairs.csv, {DAT_FILE} or .tar shards. Say where it is, as in "
        f"path/to/{name}.bin, or set the environment variable {ROOT_VARIABLE} to the folder that holds it"
    )


def warn_if_incomplete(name: str, found: VerificationSet) -> None:
    """Log a warning where `found` has other pairs or folds than the set is published with."""
    folds = None if found.folds_K is None else len(set(found.folds_K.tolist()))
    if len(found) != NUM_PAIRS[name] or folds not in (None, _NUM_FOLDS):
        logger.warning(
            "%s: %d pairs in %s folds, the published %s has %d in %d; its figures do not compare with published ones",
            found.images.name, len(found), folds, name, NUM_PAIRS[name], _NUM_FOLDS,
        )  # fmt: skip


def _candidates(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.bin", *(folder / f"{name}{suffix}" for suffix in SHARD_SUFFIXES), folder / name]


def _holds_pairs(folder: Path) -> bool:
    return folder.is_dir() and (
        any((folder / name).is_file() for name in (*PAIRS_LIST_NAMES, DAT_FILE)) or bool(shard_paths(folder))
    )


def _training_sets(root: Path) -> list[Path]:
    """Folders in `root` with a train.rec: InsightFace puts the .bin files beside it."""
    try:
        return [folder for folder in entries(root) if (folder / "train.rec").is_file()]
    except OSError:
        return []
