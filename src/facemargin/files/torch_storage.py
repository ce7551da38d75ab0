"""What the pickles of `torch.save` may name: types of storages, and how a tensor is a view of one."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from facemargin.files.pickles import load_inert, safe_key
from facemargin.files.stored_tensor import Storage

LONGEST_PICKLE = 2**26
"""Bytes. Tensors lie outside of it."""

_LONGEST_KEY = 100

_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _storage_tensor(storage: object, *where: object) -> object:
    # a storage of a type that has no name here, such as a quantised one, is a placeholder already
    return storage.tensor(*where) if isinstance(storage, Storage) else storage


def _mapping(*pairs: Any) -> dict[object, object]:
    """An OrderedDict, empty but in pickles of Python 2."""
    items = pairs[0] if pairs else ()
    return {safe_key(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


KNOWN: dict[str, Any] = {
    **{f"{module}.{name}": dtype for module in ("torch", "torch.cuda") for name, dtype in _TYPES.items()},
    **{str(dtype): dtype for dtype in _TYPES.values()},
    "torch._utils._rebuild_tensor": _storage_tensor,
    "torch._utils._rebuild_tensor_v2": _storage_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch.Size": lambda sizes=(): sizes,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: {},
}


def load_torch_pickle(file: BytesIO, persistent: Callable[[object], object] | None = None) -> object:
    """`load_inert` with these names."""
    try:
        return load_inert(file, KNOWN, persistent)
    except ValueError as error:
        raise ValueError(f"the pickle in it is damaged: {error}") from error


def numbers(buffer: bytearray, dtype: torch.dtype, count: int) -> Tensor:
    """The first `count` values in `buffer`, which they share."""
    return torch.frombuffer(buffer, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def storage_id(identifier: object) -> tuple[torch.dtype | None, str, int]:
    """(type, key, number of values) of ("storage", type, key, device, number); no type where it has no name here."""
    if not isinstance(identifier, tuple) or len(identifier) != 5 or identifier[0] != "storage":
        raise ValueError("it refers to something that is no storage")
    _, dtype, key, _, count = identifier
    if not isinstance(key, str) or len(key) > _LONGEST_KEY or not isinstance(count, int) or count < 0:
        raise ValueError("it refers to a storage without key or size")
    return dtype if isinstance(dtype, torch.dtype) else None, key, count
