"""Numpy's scalars and arrays as pickles rebuild them, without numpy's own functions: these would call into whatever
type a file names.
"""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.files.pickles import Rebuilt

_ADMITTED_TYPE = re.compile(r"b1|[iu][1248]|O8?|S\d{1,9}")
_SHORTEST_STRING = 32


class PickledType(Rebuilt):
    """A numpy type inside a pickle: "b1", "u1", "i8", "S1200" (bytes of that length) or "O", and its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _ADMITTED_TYPE.fullmatch(text):
            given = repr(text[:20]) if isinstance(text, str) else type(code).__name__
            raise ValueError(f"it holds numpy values of type {given}, expected truth values or bytes")
        self.kind = text[0]
        self.size = 1 if self.kind == "O" else int(text[1:])
        self._order = "="

    def build(self, state: object) -> None:
        """The state is (version, byte order, …)."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if not isinstance(order, str) or order not in "<>|=" or len(order) != 1:
            raise ValueError("it holds a numpy type without a byte order")
        self._order = order

    def numbers(self, data: bytes) -> NDArray[Any]:
        """The truth values or integers in `data`: bool, uint8 or int64."""
        if self.kind == "b":
            if data.translate(None, b"\0\1"):
                raise ValueError("it holds a numpy value that is not a truth value")
            return np.frombuffer(data, dtype=np.bool_)
        values = np.frombuffer(data, dtype=np.dtype(f"{self._order}{self.kind}{self.size}"))
        return values if values.dtype == np.uint8 else values.astype(np.int64)


class PickledArray(Rebuilt):
    """An array inside a pickle. Numpy makes an empty one, whatever the arguments, and then builds its state."""

    def __init__(self, *_: object) -> None:
        self._length = 0
        self._type = PickledType("b1")
        self._data: Any = b""

    def build(self, state: object) -> None:
        """The state is (version, shape, type, whether columns come first, data). One dimension is expected, or one row
        or column, as OpenCV encodes images."""
        match state:
            case (_, tuple() as shape, PickledType() as dtype, _, data):
                pass
            case _:
                raise ValueError("it holds an array without shape, type and data")
        if not all(type(side) is int and side >= 0 for side in shape) or not 1 <= len(shape) <= 2:
            raise ValueError(f"it holds an array of {len(shape)} dimensions, expected one")
        length = math.prod(shape)
        if length != max(shape):
            raise ValueError(f"it holds an array of shape {shape}, expected one dimension: encoded images")
        if not isinstance(data, list if dtype.kind == "O" else bytes) or len(data) != length * dtype.size:
            raise ValueError(f"it holds an array of shape {shape} without as much data")
        if dtype.kind == "S" and dtype.size < _SHORTEST_STRING:
            raise ValueError(f"it holds strings of {dtype.size} bytes, too short for images")
        self._length, self._type, self._data = length, dtype, data

    def values(self) -> list[Any] | NDArray[Any]:
        """A list of bytes for type S (whose padding is cut off), of whatever was there for type O; else an array of
        bool, uint8 or int64."""
        if self._type.kind == "O":
            return list(self._data)
        if self._type.kind == "S":
            size = self._type.size
            return [self._data[start : start + size].rstrip(b"\0") for start in range(0, len(self._data), size)]
        return self._type.numbers(self._data)


def scalar(dtype: object, data: object) -> bool | np.int64 | bytes:
    """What numpy's `scalar` makes of a type and the value's bytes."""
    if not isinstance(dtype, PickledType) or dtype.kind == "O":
        raise ValueError("it holds a numpy value of a type that is neither truth value, number nor bytes")
    if not isinstance(data, bytes) or len(data) != dtype.size:
        raise ValueError("it holds a numpy value that is not of its type's size")
    if dtype.kind == "S":
        return data
    value = dtype.numbers(data)[0]
    return bool(value) if dtype.kind == "b" else np.int64(value)


def from_buffer(data: object, dtype: object, shape: object, *_: object) -> PickledArray:
    """What pickle protocol 5 calls for an array."""
    array = PickledArray()
    array.build((1, shape, dtype, False, data))
    return array


def _latin1_bytes(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("it encodes text other than as latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


NUMPY: dict[str, Any] = {
    "_codecs.encode": _latin1_bytes,  # bytes of Python 3 in pickle protocols 0 to 2
    "builtins.bytes": _no_bytes,  # the same where there are none
    "numpy.dtype": PickledType,
    "numpy.ndarray": PickledArray,  # only ever an argument of _reconstruct
    **{f"numpy.{core}.multiarray._reconstruct": PickledArray for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": from_buffer for core in ("core", "_core")},
}
"""What a pickle of truth values, integers, bytes and arrays of them may name."""
