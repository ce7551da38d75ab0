"""The header of a safetensors file, which reading takes some fifty times the memory of."""

from pathlib import Path

from facemargin.errors import CheckpointError

_LARGEST_HEADER = 1 << 21
"""Bytes; networks of a thousand tensors have a tenth of it."""


def require_small_header(path: Path) -> None:
    """CheckpointError, naming the file, where a safetensors file's header is larger than any network's; OSError where
    it cannot be read."""
    with path.open("rb") as file:
        start = file.read(9)
    size = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and size > _LARGEST_HEADER:
        raise CheckpointError(f"{path} claims a header of {size:,} bytes: it is damaged, or does not contain a network")
