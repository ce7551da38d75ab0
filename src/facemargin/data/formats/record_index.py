"""The positions of the records in a .rec file, from its .idx file, checked against the .rec file. Shapes: R records."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.record_file import RecordFile, read_index
from facemargin.data.formats.record_scan import scanned_index
from facemargin.errors import CorruptImageError

_PROBES = 16

logger = logging.getLogger(__name__)

Index = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Keys (R,), ascending, and byte offsets (R,)."""


def record_index(file: RecordFile, path: Path) -> Index:
    """Keys and offsets of the records in `file`, from its .idx at `path`, or, if there is none, by reading through the
    file.

    An index is ignored if most of its offsets are not the start of a record, because it then belongs to another file.
    Records after the last one in the index are read as well, because the end of the index may be lost; other records
    that are not in the index are skipped. Logged warnings with counts report each of these cases. The file is only read
    through if it continues after the last record of the index or if the keys have gaps.
    """
    if not path.exists():
        logger.info("%s has no .idx file: reading through it to find its records", file.path)
        return scanned_index(file)
    keys_R, offsets_R = read_index(path, file.size)
    if _is_of_another_file(file, offsets_R):
        logger.warning(
            "%s is not the index of %s: most of its offsets are not the start of a record. It is ignored, and "
                "the records are found by reading through the file", path, file.path.name,
        )  # fmt: skip
        return scanned_index(file)
    is_without_gaps = offsets_R.min() == 0 and keys_R[0] in (0, 1) and keys_R[-1] - keys_R[0] + 1 == len(keys_R)
    if is_without_gaps and not _goes_on(file, int(offsets_R.max())):
        return keys_R, offsets_R
    return _compared(keys_R, offsets_R, scanned_index(file), path)


def _is_of_another_file(file: RecordFile, offsets_R: NDArray[np.int64]) -> bool:
    probes = np.unique(np.linspace(0, len(offsets_R) - 1, _PROBES).astype(int))
    right = sum(file.is_start(int(offsets_R[probe])) for probe in probes)
    return 2 * right < len(probes)


def _goes_on(file: RecordFile, last_offset: int) -> bool:
    """Whether the file continues after the record at `last_offset`. False if this record is cut off."""
    try:
        return file.end(last_offset) < file.size
    except CorruptImageError:
        return False


def _compared(keys_R: NDArray[np.int64], offsets_R: NDArray[np.int64], scanned: Index, path: Path) -> Index:
    """The records of the index, completed by the records after its last one."""
    scanned_keys, scanned_offsets = scanned
    unlisted = ~np.isin(scanned_offsets, offsets_R)
    behind = unlisted & (scanned_offsets > offsets_R.max())
    all_records = counted(len(keys_R) + int(unlisted.sum()), "record")
    where = f"{path} lists {len(keys_R):,} of the {all_records} in the file beside it"
    if (unlisted & ~behind).any():
        logger.warning(
            "%s; skipped records between those in the index: %d. To read all of them, delete this .idx file",
            where,
            (unlisted & ~behind).sum(),
        )
    if not behind.any():
        return keys_R, offsets_R
    logger.warning("%s; records after the last one in the index, which are read as well: %d", where, behind.sum())
    new_offsets = np.sort(scanned_offsets[behind])
    key_of = dict(zip(scanned_offsets.tolist(), scanned_keys.tolist(), strict=True))
    new_keys = np.array([key_of[offset] for offset in new_offsets.tolist()], dtype=np.int64)
    has_same_keys = all(
        key_of.get(offset) == key for key, offset in zip(keys_R.tolist(), offsets_R.tolist(), strict=True)
    )
    if not has_same_keys:
        new_keys = keys_R[-1] + 1 + np.arange(len(new_offsets))
    keys, offsets = np.concatenate([keys_R, new_keys]), np.concatenate([offsets_R, new_offsets])
    order = np.argsort(keys)
    return keys[order], offsets[order]
