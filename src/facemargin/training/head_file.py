"""head.safetensors: the class centres and the margin's statistics as one file, whoever holds which centres.

A safetensors file is the length of its header (8 bytes, little endian), the header (JSON: name → dtype, shape, first
and last byte) and the tensors' bytes. The centres lie in it row after row, so that every process writes its own where
they belong and none ever holds them all.

Shapes: C classes, D embedding size, K sub-centres of a class.
"""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.files.atomic import publish, write_atomically
from facemargin.heads import Head
from facemargin.models.info import ModelInfo, file_metadata, save_model
from facemargin.training.processes import Processes

_TYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}


def write_head(path: Path, head: Head, info: ModelInfo, processes: Processes) -> None:
    """Write the centres of all processes as "weight", (C, D) or (C, K, D), and the margin's statistics, to `path`: it
    appears whole or not at all; what a head remembers of its last batches is of no use to others. OutputError
    everywhere if it cannot be written."""
    state = {name: value for name, value in head.state_dict().items() if not name.startswith("memory.")}
    if processes.group is None:
        write_atomically(path, lambda temporary: save_model(temporary, state, info))
        return
    temporary = path.with_name(f".{path.name}.partial")
    arrays = {key: value.detach().cpu().contiguous().numpy() for key, value in state.items()}
    centers_CD = arrays.pop("weight")
    shape = (head.num_classes, *centers_CD.shape[1:])
    bytes_of_class = math.prod(shape[1:]) * centers_CD.itemsize

    def write_common() -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        header = _header(centers_CD.dtype.name, shape, arrays, file_metadata(info))
        with temporary.open("wb") as file:
            file.write(header)
            file.seek(len(header) + shape[0] * bytes_of_class)
            for array in arrays.values():
                file.write(array.tobytes())
        return len(header)

    def write_own() -> None:
        with temporary.open("r+b") as file:
            file.seek(start + head.class_range[0] * bytes_of_class)
            centers_CD.tofile(file)

    start = processes.on_main(write_common)
    processes.together(write_own)
    processes.on_main(lambda: publish(temporary, path))


def _header(
    dtype: str, shape: tuple[int, ...], others: dict[str, NDArray[np.generic]], metadata: dict[str, str]
) -> bytes:
    """The length and the header of a file of "weight", then `others`."""
    end = math.prod(shape) * np.dtype(dtype).itemsize
    entries: dict[str, object] = {
        "__metadata__": metadata,
        "weight": {"dtype": _TYPES[dtype], "shape": shape, "data_offsets": [0, end]},
    }
    for name, array in others.items():
        span = [end, end + array.nbytes]
        entries[name] = {"dtype": _TYPES[array.dtype.name], "shape": array.shape, "data_offsets": span}
        end += array.nbytes
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # the tensors' bytes begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text
