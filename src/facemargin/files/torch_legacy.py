"""Files of `torch.save` before torch 1.6, read as safely as `torch_zip` reads the later ones.

It is a pickle (after three short ones: a magic number, the version, the byte order), one of the list of storages' keys,
and per key the number of values (int64) and the values.
"""

import io
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import Storage
from facemargin.files.torch_storage import LONGEST_PICKLE, load_torch_pickle, numbers, storage_id

_MAGIC = 0x1950A86A20F9469CFC6C


def read_torch_legacy(path: Path) -> object:
    """What the file holds, its tensors as `StoredTensor`; raises what `read_torch_zip` raises."""
    size = path.stat().st_size
    storages: dict[str, tuple[torch.dtype | None, int]] = {}
    places: dict[str, int] = {}

    def persistent(identifier: object) -> object:
        if isinstance(identifier, tuple) and len(identifier) > 1 and identifier[0] == "module":
            return identifier[1]  # a network's class, with its source text
        if isinstance(identifier, tuple) and len(identifier) == 6 and identifier[5] is None:
            identifier = identifier[:5]
        dtype, key, count = storage_id(identifier)
        if (dtype.itemsize if dtype else 1) * count > size or storages.setdefault(key, (dtype, count))[1] != count:
            raise ValueError(f"storage {key} has {count:,} numbers, more than the file")
        if dtype is None:
            return None
        return Storage(dtype, count, lambda first, last: _read_run(path, places[key], dtype, first, last))

    try:
        with path.open("rb") as file:
            start = io.BytesIO(file.read(LONGEST_PICKLE))
            if load_torch_pickle(start) != _MAGIC:
                raise CheckpointError(f"{path} is a pickle, but not one that torch.save wrote")
            load_torch_pickle(start)
            system = load_torch_pickle(start)
            if not isinstance(system, dict) or system.get("little_endian") is not True:
                raise ValueError("it is not little-endian")
            content = load_torch_pickle(start, persistent)
            _locate(file, start, size, storages, places)
        return content
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _locate(
    file: BinaryIO,
    start: io.BytesIO,
    size: int,
    storages: dict[str, tuple[torch.dtype | None, int]],
    places: dict[str, int],
) -> None:
    """Fill in where each storage's values begin; ValueError where the file is too short for them."""
    keys = load_torch_pickle(start)
    position = start.tell()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("its list of storages is damaged")
    for key in keys:
        dtype, count = storages.get(key, (None, 0))
        file.seek(position)
        stated = int.from_bytes(file.read(8), "little")
        if dtype is None or stated != count or position + 8 + count * dtype.itemsize > size:
            raise ValueError(f"it is truncated or damaged at storage {key}")
        places[key] = position + 8
        position += 8 + count * dtype.itemsize
    if missing := storages.keys() - places.keys():
        raise ValueError(f"storage {min(missing)} is missing")


def _read_run(path: Path, position: int, dtype: torch.dtype, first: int, last: int) -> Tensor:
    buffer = bytearray((last - first) * dtype.itemsize)
    with path.open("rb") as file:
        file.seek(position + first * dtype.itemsize)
        if file.readinto(buffer) != len(buffer):
            raise CheckpointError(f"{path} is truncated")
    return numbers(buffer, dtype, last - first)
