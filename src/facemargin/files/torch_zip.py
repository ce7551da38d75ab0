"""Files of `torch.save` since torch 1.6, read without torch's own unpickler: nothing in them is run, and no tensor is
larger than what the file holds of it. Tensors are read when they are asked for.

It is a zip archive, stored uncompressed: NAME/data.pkl, a pickle in which a tensor refers to a storage by key, and
NAME/data/KEY, that storage's bytes.
"""

import io
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor

from facemargin.counting import some_of
from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import Storage
from facemargin.files.torch_storage import LONGEST_PICKLE, load_torch_pickle, numbers, storage_id

_LOCAL_HEADER = 30
_PIECE = 1 << 22


def read_torch_zip(path: Path) -> object:
    """What a zip archive of `torch.save` holds, its tensors as `StoredTensor`. CodeError where it would call functions;
    CheckpointError, naming the file, where it is damaged or another archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
            if len(pickles) != 1:
                raise CheckpointError(f"{path} is a zip archive, but not one that torch.save wrote: {some_of(entries)}")
            root = pickles[0].removesuffix("data.pkl")
            _check_archive(path, archive, root)
            if entries[pickles[0]].file_size > LONGEST_PICKLE:
                raise CheckpointError(
                    f"{path}: {pickles[0]} has {entries[pickles[0]].file_size:,} bytes, too many for the pickle of a "
                    "checkpoint"
                )
            program = archive.read(pickles[0])
    except CheckpointError:
        raise
    except Exception as error:  # zipfile raises half a dozen types for damaged archives
        raise CheckpointError(f"{path} is damaged: {error}") from error

    def persistent(identifier: object) -> object:
        dtype, key, count = storage_id(identifier)
        name = f"{root}data/{key}"
        entry = entries[name]  # KeyError: damaged
        if dtype is None:
            return None
        if count * dtype.itemsize > entry.file_size:
            raise ValueError(f"{name} has {entry.file_size} bytes, expected {count * dtype.itemsize}")
        return Storage(dtype, count, lambda first, last: _read_entry(path, entry, dtype, first, last))

    try:
        return load_torch_pickle(io.BytesIO(program), persistent)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _check_archive(path: Path, archive: zipfile.ZipFile, root: str) -> None:
    """What torch writes is stored as it is, so that nothing grows when it is read."""
    if f"{root}constants.pkl" in archive.namelist():
        raise CheckpointError(
            f"{path} is a TorchScript archive, a program with its weights; save the network's state_dict() instead"
        )
    total = 0
    for entry in archive.infolist():
        total += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(f"{path}: {entry.filename} is compressed, which torch.save never does")
    if total > path.stat().st_size:
        raise CheckpointError(f"{path} claims to hold {total:,} bytes, which is more than its own size")
    byte_order = f"{root}byteorder"
    if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine; load and save it there as safetensors")


def _read_entry(path: Path, entry: zipfile.ZipInfo, dtype: torch.dtype, first: int, last: int) -> Tensor:
    """Its numbers [first, last), which alone are kept; the checksum is that of all. (Not by zipfile, which would read
    the table of all entries for each.)"""
    start, stop = first * dtype.itemsize, last * dtype.itemsize
    wanted, position, checksum = bytearray(stop - start), 0, 0
    try:
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            header = file.read(_LOCAL_HEADER)
            # behind the header lie the name and what extra there is, of these lengths
            lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(entry.header_offset + _LOCAL_HEADER + lengths)
            while piece := file.read(min(_PIECE, entry.file_size - position)):
                checksum = zlib.crc32(piece, checksum)
                low, high = max(start, position), min(stop, position + len(piece))
                if low < high:
                    wanted[low - start : high - start] = memoryview(piece)[low - position : high - position]
                position += len(piece)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if position != entry.file_size or checksum != entry.CRC:
        raise CheckpointError(f"{path} is damaged: {entry.filename} does not have its checksum")
    return numbers(wanted, dtype, last - first)
