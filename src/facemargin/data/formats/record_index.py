"""Where the records of a .rec file lie: what its .idx says, checked against the file. Shapes: R records."""

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
    """Keys and offsets of the records in `file` by its .idx at `path`, or, where there is none, by going through it.

    An index of which most offsets are not the beginnings of records is of another file: it is left alone. Records
    behind the last that it lists are read too, as if its end had been lost; others that it does not list are passed
    over. Each of these is said in a logged warning, with counts. Records are compared by going through the file, which
    is done only where the file goes on behind the last listed record or the keys leave gaps.
    """
    if not path.exists():
        logger.info("%s has no .idx: going through it", file.path)
        return scanned_index(file)
    keys_R, offsets_R = read_index(path, file.size)
    if _is_of_another_file(file, offsets_R):
        logger.warning(
            "%s is not the index of %s: most of its offsets are not where a record begins. It is left alone, and the "
            "records are found by going through the file", path, file.path.name,
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
    """Whether there is anything behind the record at `last_offset`; not, where this record is cut off."""
    try:
        return file.end(last_offset) < file.size
    except CorruptImageError:
        return False


def _compared(keys_R: NDArray[np.int64], offsets_R: NDArray[np.int64], scanned: Index, path: Path) -> Index:
    """What the index says, completed by the records behind the last that it lists."""
    scanned_keys, scanned_offsets = scanned
    unlisted = ~np.isin(scanned_offsets, offsets_R)
    behind = unlisted & (scanned_offsets > offsets_R.max())
    all_records = counted(len(keys_R) + int(unlisted.sum()), "record")
    where = f"{path} lists {len(keys_R):,} of the {all_records} in the file beside it"
    if (unlisted & ~behind).any():
        logger.warning(
            "%s; passed over between those that it lists: %d. Without this .idx, the file is gone through and all are "
            "read", where, (unlisted & ~behind).sum(),
        )  # fmt: skip
    if not behind.any():
        return keys_R, offsets_R
    logger.warning("%s; read too, since they lie behind the last that it lists: %d", where, behind.sum())
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
