"""Finds the common verification sets by name, in the formats and places in which users have them."""

import logging
import os
from pathlib import Path

from facemargin.data.formats.webdataset import SHARD_SUFFIXES, shard_paths
from facemargin.data.pairs.adaface_memmap import DAT_FILE
from facemargin.data.pairs.lfw import PAIRS_LIST_NAMES
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
"""The number of pairs of each published set. All of them have ten folds."""

ROOT_VARIABLE = "FACEMARGIN_DATA"
"""The environment variable with the folder in which sets are searched. The default is the current folder."""
_NUM_FOLDS = 10

logger = logging.getLogger(__name__)


def set_name(location: str | Path) -> str | None:
    """The name of the set, as in NUM_PAIRS, for a location such as "lfw", "CFP-FP" or "folder/agedb_30". None if the
    name is not known."""
    name = Path(location).name.lower().replace("-", "_")
    return name if name in NUM_PAIRS else None


def find_named_set(name: str, location: str | Path) -> Path:
    """The path of the set `name`. "folder/lfw" is searched in that folder, "lfw" in the folder of FACEMARGIN_DATA and
    in the InsightFace training sets in it.

    The search order is lfw.bin, the folder lfw with pairs.txt, with AdaFace's memfile or with shards, and lfw.tar.
    Raises DataError, which lists them, if none exists.
    """
    path = Path(location)
    if "/" in str(location):
        folders = [path.parent]
        if _holds_pairs(path):  # a file or folder with exactly this name has priority
            return path
    else:
        root = Path(os.environ.get(ROOT_VARIABLE) or ".")
        folders = [root, *_training_sets(root)]
    candidates = _candidates(folders[0], name)
    for candidate in (candidate for folder in folders for candidate in _candidates(folder, name)):
        if candidate.is_file() or _holds_pairs(candidate):
            return candidate
    raise DataError(
        f"{name} was not found in {', '.join(map(str, folders))}: searched for "
        f"{', '.join(path.name for path in candidates[:-1])} and for the folder {name} with pairs.txt, pairs.csv, "
        f"{DAT_FILE} or .tar shards. Give its path, such as path/to/{name}.bin, or set the environment variable "
        f"{ROOT_VARIABLE} to its folder"
    )


def warn_if_incomplete(name: str, pairs: VerificationSet) -> None:
    """Log a warning if the numbers of pairs or folds differ from those of the published set."""
    folds = None if pairs.folds_K is None else len(set(pairs.folds_K.tolist()))
    if len(pairs) != NUM_PAIRS[name] or folds not in (None, _NUM_FOLDS):
        logger.warning(
            "%s: %d pairs in %s folds, but the published %s has %d in %d: figures on it cannot be compared with "
                "published ones",
            pairs.images.name, len(pairs), folds, name, NUM_PAIRS[name], _NUM_FOLDS,
        )  # fmt: skip


def _candidates(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.bin", *(folder / f"{name}{suffix}" for suffix in SHARD_SUFFIXES), folder / name]


def _holds_pairs(folder: Path) -> bool:
    return folder.is_dir() and (
        any((folder / name).is_file() for name in (*PAIRS_LIST_NAMES, DAT_FILE)) or bool(shard_paths(folder))
    )


def _training_sets(root: Path) -> list[Path]:
    """Folders in `root` with a train.rec, because InsightFace puts the .bin files in the same folder."""
    try:
        return [folder for folder in entries(root) if (folder / "train.rec").is_file()]
    except OSError:
        return []
