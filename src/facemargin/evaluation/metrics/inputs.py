"""Converts what callers pass to metrics: lists, tensors, numbers, labels of any kind. Input with an unclear meaning is
refused."""

import contextlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.errors import ConfigError, DataError

_SHOWN = 5


def as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """`values` as an array. They may be sequences, arrays (memory-mapped ones stay memory-mapped), and tensors of any
    device and precision. Raises DataError for anything else, such as rows of unequal length, and for masked entries,
    whose values would count."""
    if hasattr(values, "detach"):  # a tensor may be on a GPU, part of a graph, or of a type that numpy does not have
        tensor = values.detach().cpu()
        values = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as an array: {error}") from error
    if masked := np.count_nonzero(np.ma.getmask(array)):
        raise DataError(
            f"{masked} of {array.size} {name} are masked; leave out the masked entries, in all arrays alike, such as "
            f"{name}[~mask]"
        )
    return np.ma.getdata(array)


def as_numbers(name: str, values: ArrayLike) -> NDArray[Any]:
    """As `as_array`, for real numbers. Raises DataError for text, complex numbers, and anything else."""
    array = as_array(name, values)
    if array.dtype.kind == "O":
        with contextlib.suppress(TypeError, ValueError):
            array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} holds {_shown(array)} ({array.dtype}), expected real numbers")
    return array


def as_flags(name: str, values: ArrayLike, truth: str = "True (1)", untruth: str = "False (0)") -> NDArray[np.bool_]:
    """As `as_array`, for True and False or 1 and 0. Raises DataError for anything else, because every other number
    would count as True. The message says what to pass."""
    array = as_array(name, values)
    if array.dtype.kind == "O":
        array = np.asarray(array.tolist())
    if array.dtype.kind == "b":
        return array
    flags = array.astype(np.bool_) if array.dtype.kind in "fiu" else None
    if flags is None or not np.array_equal(flags, array):
        distinct = np.unique(array.astype(str) if array.dtype.kind not in "fiu" else array)
        values_of = ", ".join(repr(value) for value in distinct[:_SHOWN].tolist()) + (
            ", …" if len(distinct) > _SHOWN else ""
        )
        hint = f"; pass {name} == {distinct[-1].item()!r} if that is what marks them" if len(distinct) == 2 else ""
        raise DataError(f"{name} holds {values_of}; expected {truth} or {untruth}{hint}")
    return flags


def as_identities(name: str, values: ArrayLike) -> NDArray[Any]:
    """As `as_array`, for names or numbers of people. Raises DataError for missing ones (None, NaN), which would count
    as one person."""
    array = as_array(name, values)
    if array.dtype.kind == "O":
        missing = [place for place, value in enumerate(array.ravel().tolist()) if value is None or value != value]
        array = array if missing else np.asarray(array.tolist())
    else:
        missing = np.flatnonzero(np.isnan(array.ravel())).tolist() if array.dtype.kind == "f" else []
    if missing:
        raise DataError(
            f"{name}[{missing[0]}] is None or NaN, expected an identity; {len(missing)} of {array.size} are missing"
        )
    return _exact(name, array)


def _exact(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Floating-point and unsigned numbers as int64 if possible. NumPy would compare numbers of different types as
    float64, in which neighbouring numbers above 2**53 are equal."""
    if array.dtype.kind not in "fu":
        return array
    largest = 2.0 ** (np.finfo(array.dtype).nmant + 1) if array.dtype.kind == "f" else np.iinfo(np.int64).max
    if array.size and (np.abs(array).max() > largest or (array != np.trunc(array)).any()):
        raise DataError(
            f"{name} holds {_shown(array)} ({array.dtype}), expected names or whole numbers (large ones as integers)"
        )
    return array.astype(np.int64)


def as_rates(name: str, values: ArrayLike) -> tuple[float, ...]:
    """One number or several, as a tuple. Raises ConfigError for anything else."""
    try:
        given = np.asarray(values.tolist() if hasattr(values, "tolist") else values)
        if given.dtype.kind not in "fiu" or given.ndim > 1:
            raise ValueError(f"of {given.dtype}")
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} is {values!r}, expected one number or several, such as {name}=[0.001, 0.01]"
        ) from error
    return tuple(given.ravel().astype(float).tolist())


def as_rate(name: str, value: ArrayLike) -> float:
    """One number. Raises ConfigError for anything else."""
    try:
        given = np.asarray(value.tolist() if hasattr(value, "tolist") else value)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.ndim or given.dtype.kind not in "fiu":
        raise ConfigError(f"{name} is {value!r}, expected a number")
    return float(given)


def as_ranks(name: str, values: ArrayLike) -> tuple[int, ...]:
    """One whole number or several, at least 1, as a tuple. Raises ConfigError for anything else."""
    numbers = as_rates(name, values)
    for number in numbers:
        if not number.is_integer() or number < 1:
            raise ConfigError(f"{name} has {number:g}, expected whole numbers of at least 1")
    return tuple(int(number) for number in numbers)


def as_rows(name: str, values: ArrayLike) -> NDArray[Any]:
    """As `as_array`, for row numbers. Raises DataError for masks of True and False and for numbers that are not
    whole."""
    array = as_array(name, values)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(f"{name} holds {_shown(array)} ({array.dtype}), expected row numbers, which are whole numbers")
    return array.astype(np.int64) if not array.size else array


def _shown(array: NDArray[Any]) -> str:
    values = array.ravel()[:_SHOWN].tolist()
    return ", ".join(map(repr, values)) + (", …" if array.size > _SHOWN else "")
