"""The operations that a pickle consists of, one after another, as `pickletools` specifies them."""

import codecs
import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any


def read_operation(file: BytesIO) -> tuple[str, Any]:
    """The name of the operation at `file`'s position, and its argument: None, a number, text or bytes (bytearrays and
    the texts of Python 2, too). ValueError where there is none. `file` is in memory: sizes in it are not trusted."""
    code = file.read(1)
    if code not in _OPERATIONS:
        raise ValueError(f"it has {code!r} for a pickle instruction" if code else "it ends too early")
    name, read = _OPERATIONS[code]
    if read is None:
        return name, None
    try:
        return name, read(file)
    except Exception as error:
        raise ValueError(str(error) if file.read(1) else "it ends too early") from error


def _sized(read_size: Callable[[BytesIO], int]) -> Callable[[BytesIO], bytes]:
    def read(file: BytesIO) -> bytes:
        content = file.read(size := read_size(file))
        if len(content) != size:
            raise ValueError("it ends too early")
        return content

    return read


# pickletools makes text of Python 2's bytes, and two copies of a bytearray
_READERS: dict[str, Callable[[BytesIO], Any]] = {
    "STRING": lambda file: codecs.escape_decode(pickletools.read_stringnl(file, decode=False))[0],
    "SHORT_BINSTRING": _sized(pickletools.read_uint1),
    "BINSTRING": _sized(pickletools.read_uint4),
    "BYTEARRAY8": _sized(pickletools.read_uint8),
}
_OPERATIONS = {
    each.code.encode("latin1"): (each.name, _READERS.get(each.name, each.arg.reader if each.arg else None))
    for each in pickletools.opcodes
}
