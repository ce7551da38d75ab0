"""The header of a safetensors file: a limit of its size, because reading it takes about fifty times the memory, and an
order of its metadata, because safetensors writes them in an order that differs from call to call."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from facemargin.errors import CheckpointError

_LARGEST_HEADER = 1 << 21
"""Bytes; networks of a thousand tensors have a tenth of it."""


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata; the same content always gives the same bytes. Raises what safetensors raises."""
    save_file(tensors, path, metadata=dict(metadata))
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise OSError(f"{path}: the sorted header has {len(text)} bytes, more than the {size} of safetensors")
        file.seek(8)
        file.write(text.ljust(size))  # the header is padded with spaces


def require_small_header(path: Path) -> None:
    """Raise CheckpointError, which names the file, if the header of a safetensors file is larger than that of any
    network, and OSError if it cannot be read."""
    with path.open("rb") as file:
        start = file.read(9)
    size = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and size > _LARGEST_HEADER:
        raise CheckpointError(f"{path} claims a header of {size:,} bytes: it is damaged, or does not contain a network")
