"""Arrays in .npz files, which may come from anybody."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

# Scores and vectors hardly shrink when they are deflated, truth values and zeros by up to a thousand times.
_HARMLESS_BYTES, _TIMES_THE_FILE = 1 << 26, 100


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays in an .npz file by name; nothing is unpickled.

    Raises ValueError for a small file that inflates to much, and any Exception at all for one that is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if total > max(_HARMLESS_BYTES, _TIMES_THE_FILE * size):
        raise ValueError(f"it would grow from {size:,} to {total:,} bytes when it is decompressed")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: _array(archive, name) for name in archive.files}
    if no_arrays := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{no_arrays[0]} in it is no array")
    return arrays


def _array(archive: Any, name: str) -> Any:
    try:
        return archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{name} in it contains Python objects, which are stored as a pickle and could run code: save text "
            f"with {name}.astype(str), numbers with {name}.astype(float)"
        ) from error
