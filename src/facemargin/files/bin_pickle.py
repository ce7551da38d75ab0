"""Reads the pickle inside a `.bin` file without executing anything, in memory that the file's size bounds.

A pickle is a program for a stack machine. This machine knows only the instructions that real files consist of (lists,
tuples, bytes, text, numbers, truth values, the memo; they are specified in Python's `pickletools`) and calls only
functions of this room, which rebuild numpy's scalars and arrays. It refuses everything else, and a program that makes
far more out of the file than is in it.
"""

import codecs
import pickle as p
from collections.abc import Callable
from typing import Any

from facemargin.files.bin_numpy import PickledArray, PickledType, from_buffer, scalar

_UNTIL_MARK = object()
_DEEPEST_MARK = 32
# Bytes of memory that a file may ask for. An image as a numpy array takes some 30 instructions.
_FREE, _TIMES_THE_FILE, _AN_INSTRUCTION = 8 << 20, 8, 128

# instruction -> bytes of the length that the content follows
_BYTES = {p.SHORT_BINBYTES: 1, p.BINBYTES: 4, p.BINBYTES8: 8, p.BYTEARRAY8: 8, p.SHORT_BINSTRING: 1, p.BINSTRING: 4}
_TEXT = {p.SHORT_BINUNICODE: 1, p.BINUNICODE: 4, p.BINUNICODE8: 8}
# instruction -> (bytes, signed)
_INTEGER = {p.BININT: (4, True), p.BININT1: (1, False), p.BININT2: (2, False)}
_CONSTANT = {p.NONE: None, p.NEWTRUE: True, p.NEWFALSE: False, p.EMPTY_TUPLE: ()}
_TUPLE = {p.TUPLE1: 1, p.TUPLE2: 2, p.TUPLE3: 3}
_PUT = {p.BINPUT: 1, p.LONG_BINPUT: 4}
_GET = {p.BINGET: 1, p.LONG_BINGET: 4}
_IGNORED = {p.PROTO: 1, p.FRAME: 8}


def unpickle(content: bytes) -> Any:
    """What a pickle of lists, tuples, bytes, text, numbers and truth values holds; text of Python 2 comes as bytes,
    numpy's truth values as bool, its strings as bytes, its integers as `numpy.int64`, its arrays as `PickledArray`.

    Raises UnpicklingError for a pickle of anything else; damaged content raises any Exception at all.
    """
    return _Machine(content).run()


class _Machine:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._left = _FREE + _TIMES_THE_FILE * len(content)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._num_marks = 0

    def run(self) -> Any:
        while (instruction := self._read(1)) != p.STOP:
            self._spend(_AN_INSTRUCTION)
            self._step(instruction)
        return self._top()

    def _step(self, instruction: bytes) -> None:
        stack = self._stack
        if instruction in _BYTES:
            stack.append(self._read(self._unsigned(_BYTES[instruction])))
        elif instruction in _TEXT:
            stack.append(self._read(self._unsigned(_TEXT[instruction])).decode("utf-8", "surrogatepass"))
        elif instruction in _INTEGER:
            size, signed = _INTEGER[instruction]
            stack.append(int.from_bytes(self._read(size), "little", signed=signed))
        elif instruction in _CONSTANT:
            stack.append(_CONSTANT[instruction])
        elif instruction in _TUPLE:
            stack.append(tuple(self._pop(_TUPLE[instruction])))
        elif instruction in _PUT:
            self._memo[self._unsigned(_PUT[instruction])] = self._top()
        elif instruction in _GET:
            stack.append(self._memo[self._unsigned(_GET[instruction])])
        elif instruction in _IGNORED:
            self._read(_IGNORED[instruction])
        else:
            self._step_of_its_own(instruction)

    def _step_of_its_own(self, instruction: bytes) -> None:
        stack = self._stack
        match instruction:
            case p.MEMOIZE:
                self._memo[len(self._memo)] = self._top()
            case p.PUT:
                self._memo[int(self._line())] = self._top()
            case p.GET:
                stack.append(self._memo[int(self._line())])
            case p.MARK:
                self._mark()
            case p.EMPTY_LIST:
                stack.append([])
            case p.LIST:
                stack.append(self._pop_to_mark())
            case p.TUPLE:
                stack.append(tuple(self._pop_to_mark()))
            case p.APPEND:
                (value,) = self._pop(1)
                self._list().append(value)
            case p.APPENDS:
                values = self._pop_to_mark()
                self._list().extend(values)
            case p.INT:
                line = self._line()
                stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))
            case p.LONG:
                stack.append(int(self._line().removesuffix(b"L")))
            case p.LONG1:
                stack.append(int.from_bytes(self._read(self._unsigned(1)), "little", signed=True))
            case p.STRING:
                stack.append(codecs.escape_decode(_unquoted(self._line()))[0])
            case p.UNICODE:
                stack.append(self._line().decode("raw-unicode-escape"))
            case p.GLOBAL:
                stack.append(_admitted(self._line().decode("utf-8"), self._line().decode("utf-8")))
            case p.STACK_GLOBAL:
                stack.append(_admitted(*self._pop(2)))
            case p.REDUCE:
                function, arguments = self._pop(2)
                if not callable(function) or not isinstance(arguments, tuple):
                    raise p.UnpicklingError(f"it calls a {type(function).__name__}")
                # It may copy its arguments, and the memo offers the same argument any number of times.
                self._spend(sum(len(part) for part in arguments if isinstance(part, str | bytes)))
                stack.append(function(*arguments))
            case p.BUILD:
                (state,) = self._pop(1)
                target = self._top()
                if not isinstance(target, PickledArray | PickledType):
                    raise p.UnpicklingError(f"it sets the state of a {type(target).__name__}")
                target.build(state)
            case _:
                raise p.UnpicklingError(f"it has the pickle instruction {instruction!r}, which no .bin file needs")

    def _read(self, size: int) -> bytes:
        part = self._content[self._position : self._position + size]
        if len(part) != size:
            raise p.UnpicklingError("it ends too early")
        self._position += size
        return part

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._read(size), "little")

    def _line(self) -> bytes:
        end = self._content.index(b"\n", self._position)
        line = self._content[self._position : end]
        self._position = end + 1
        return line.removesuffix(b"\r")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise p.UnpicklingError("it makes far more objects than a .bin file of its size needs")

    def _mark(self) -> None:
        self._num_marks += 1
        if self._num_marks > _DEEPEST_MARK:
            raise p.UnpicklingError("it is nested more deeply than any .bin file")
        self._stack.append(_UNTIL_MARK)

    def _top(self) -> Any:
        (value,) = self._pop(1)
        self._stack.append(value)
        return value

    def _pop(self, count: int) -> list[Any]:
        values = self._stack[-count:]
        if len(values) != count or any(value is _UNTIL_MARK for value in values):
            raise p.UnpicklingError("it takes values that are not there")
        del self._stack[-count:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self._stack) - 1, -1, -1):
            if self._stack[start] is _UNTIL_MARK:
                values = self._stack[start + 1 :]
                del self._stack[start:]
                self._num_marks -= 1
                return values
        raise p.UnpicklingError("it takes values that are not there")

    def _list(self) -> list[Any]:
        target = self._top()
        if not isinstance(target, list):
            raise p.UnpicklingError(f"it appends to a {type(target).__name__}")
        return target


def _unquoted(line: bytes) -> bytes:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"\"'":
        raise p.UnpicklingError("it holds text without quotation marks")
    return line[1:-1]


def _admitted(module: object, name: object) -> Callable[..., Any]:
    match module, name:
        case "_codecs", "encode":  # Python 3 bytes in pickle protocols 0 to 2
            return _latin1_bytes
        case (("builtins" | "__builtin__"), "bytes"):  # the same where there are none
            return _no_bytes
        case "numpy", "dtype":
            return PickledType
        case "numpy", "ndarray":  # only ever an argument of _reconstruct
            return PickledArray
        case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
            return PickledArray
        case (("numpy.core.multiarray" | "numpy._core.multiarray"), "scalar"):
            return scalar
        case (("numpy.core.numeric" | "numpy._core.numeric"), "_frombuffer"):
            return from_buffer
    raise p.UnpicklingError(f"it refers to {module}.{name}, which no .bin file needs")


def _latin1_bytes(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise p.UnpicklingError("it encodes text other than as latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""
