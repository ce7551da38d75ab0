"""Pickles read without running anything in them.

A pickle is a program for a small stack machine, which may import and call whatever it names. This machine runs the same
program but has nothing to call: a name that `known` has stands for what is there, and every other one for an `Inert`
placeholder, which is never imported. Calling a placeholder gives another placeholder. So a Lightning checkpoint with
its callbacks and hyper-parameters is read, whoever's classes they are of, and its tensors are the ones wanted.

Nothing is hashed but plain values (the hash of a deeply nested tuple overflows C's stack, also in torch.load with
weights_only), nothing is compared or printed (what holds itself twice, a few times over, is endless text), and the
memory that the program may ask for is bounded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

from facemargin.files.pickle_operations import read_operation
from facemargin.files.suspects import is_suspect

MOST_MEMORY = 2**28
"""Bytes that a checkpoint's pickle may ask for: two million operations. Optimizer states of ten thousand tensors take
some 300,000."""

_AN_OPERATION = 128  # bytes of memory that one may need, whatever it makes
_LONGEST_MESSAGE = 200

# torch.save, too, writes the names that Python 2 had.
_PYTHON_2 = {"__builtin__.": "builtins.", "copy_reg.": "copyreg.", "exceptions.": "builtins."}

_MARK = object()


class CodeError(Exception):
    """The pickle calls a function that has no place in a checkpoint; the message is its name."""


class Rebuilt:
    """What a pickle makes first and then gives its state."""

    def build(self, state: object) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Inert(Rebuilt):
    """Stands for a class, function or object called `name`; `state` is what the pickle would have given it."""

    name: str
    state: object = None

    def build(self, state: object) -> None:
        self.state = state


def load_inert(
    file: BytesIO,
    known: Mapping[str, Any],
    persistent: Callable[[object], object] | None = None,
    *,
    stranger: Callable[[str], object] = Inert,
    encoding: Literal["latin1", "bytes"] = "latin1",
    most_memory: int = MOST_MEMORY,
) -> object:
    """The object that the pickle at `file`'s position describes, which is left behind its end.

    known: what "module.name" stands for: a function, which is called as the pickle says, or a value. persistent: what
    an id of something outside of the pickle stands for. stranger: what any other name stands for, if it does not raise
    ValueError. encoding: what the texts of Python 2 are, as in `pickle.load`. most_memory: bytes beyond those of the
    file's own texts. Dictionaries, lists, tuples and plain values are themselves, bytearrays bytes. Raises CodeError,
    and ValueError where the pickle is damaged or would take more memory. `file` is in memory: sizes in it are not
    trusted.
    """
    machine = _Machine(known, persistent, stranger, encoding, most_memory)
    try:
        return machine.run(file)
    except CodeError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise ValueError((str(error) or type(error).__name__)[:_LONGEST_MESSAGE]) from error


@dataclass
class _Machine:
    known: Mapping[str, Any]
    persistent: Callable[[object], object] | None
    stranger: Callable[[str], object]
    encoding: str
    memory_left: int
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, file: BytesIO) -> object:
        while True:
            name, argument = read_operation(file)
            if name == "STOP":
                return self._pop()
            self._spend(_AN_OPERATION)
            if name not in _ACTIONS:
                raise ValueError(f"it has the pickle instruction {name}, which plain data does not need")
            _ACTIONS[name](self, argument)

    def _spend(self, size: int) -> None:
        self.memory_left -= size
        if self.memory_left < 0:
            raise ValueError("it makes far more objects than a file of its size needs")

    def _top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("it takes values that are not there")
        return self.stack[-1]

    def _pop(self) -> Any:
        top = self._top()
        del self.stack[-1]
        return top

    def _pop_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise ValueError("it takes values that are not there")

    def _global(self, name: str) -> Any:
        self._spend(len(name))
        for old, new in _PYTHON_2.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        return self.known[name] if name in self.known else self.stranger(name)

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Inert):
            if is_suspect(function.name):
                raise CodeError(function.name)
            return Inert(function.name)
        if not callable(function) or not isinstance(arguments, tuple | list):
            raise ValueError(f"it calls a value of type {type(function).__name__}, which is no function")
        # It may copy its arguments, and the memo offers the same argument any number of times.
        self._spend(sum(map(_memory, arguments)))
        return function(*arguments)

    # One method an operation of the pickle format.
    def op_push(self, value: object) -> None:
        self.stack.append(value)

    def op_string(self, text: bytes) -> None:
        self.stack.append(text if self.encoding == "bytes" else text.decode("latin1"))

    def op_empty_set(self, _: None) -> None:
        self.stack.append(self.stranger("builtins.set"))

    def op_mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def op_pop(self, _: None) -> None:
        if not self.stack:
            raise ValueError("it takes values that are not there")
        self.stack.pop()  # of a recursive tuple also a mark

    def op_pop_mark(self, _: None) -> None:
        self._pop_mark()

    def op_dup(self, _: None) -> None:
        self.stack.append(self._top())

    def op_put(self, index: int) -> None:
        self.memo[index] = self._top()

    def op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self._top()

    def op_get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError("it takes values that are not there")
        self.stack.append(self.memo[index])

    def op_tuple(self, _: None) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def push_tuple(self, length: int) -> None:
        self.stack.append(tuple([self._pop() for _ in range(length)][::-1]))

    def op_list(self, _: None) -> None:
        self.stack.append(self._pop_mark())

    def op_frozenset(self, _: None) -> None:
        self._pop_mark()
        self.stack.append(self.stranger("builtins.frozenset"))

    def op_dict(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append({})
        self._set(items)

    def op_append(self, _: None) -> None:
        self._extend([self._pop()])

    def op_appends(self, _: None) -> None:
        self._extend(self._pop_mark())

    op_additems = op_appends

    def op_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def op_setitems(self, _: None) -> None:
        self._set(self._pop_mark())

    def _extend(self, items: Any) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise ValueError(f"it appends to a {type(target).__name__}")

    def _set(self, items: Any) -> None:
        target = self._top()
        if len(items) % 2 or not isinstance(target, dict | Inert):
            raise ValueError(f"it sets {len(items)} keys and values of a {type(target).__name__}")
        if isinstance(target, dict):
            target.update(zip(map(safe_key, items[::2]), items[1::2], strict=True))

    def op_global(self, argument: str) -> None:
        self.stack.append(self._global(argument.replace(" ", ".", 1)))

    def op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("it names something otherwise than by text")
        self.stack.append(self._global(f"{module}.{name}"))

    def op_inst(self, argument: str) -> None:
        arguments = self._pop_mark()
        self.stack.append(self._call(self._global(argument.replace(" ", ".", 1)), arguments))

    def op_obj(self, _: None) -> None:
        function, *arguments = self._pop_mark()
        self.stack.append(self._call(function, arguments))

    def op_reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        self.stack.append(self._call(function, arguments))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: None) -> None:
        self._pop()  # named arguments
        self.op_reduce(None)

    def op_build(self, _: None) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Rebuilt):
            target.build(state)
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as a state dict's _metadata
            raise ValueError(f"it sets the state of a {type(target).__name__}")

    def op_persid(self, identifier: object) -> None:
        if self.persistent is None:
            raise ValueError("it refers to something outside of it")
        self.stack.append(self.persistent(identifier))

    def op_binpersid(self, _: None) -> None:
        self.op_persid(self._pop())


# operations that do what another does
_ALIASES = {
    "op_push": [
        *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    ],
    "op_string": ["BINSTRING", "SHORT_BINSTRING"],
    "op_put": ["BINPUT", "LONG_BINPUT"],
    "op_get": ["BINGET", "LONG_BINGET"],
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **{name.removeprefix("op_").upper(): action for name, action in vars(_Machine).items() if name.startswith("op_")},
    **{name: getattr(_Machine, action) for action, names in _ALIASES.items() for name in names},
    **dict.fromkeys(("PROTO", "FRAME"), lambda *_: None),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
}


def _memory(value: object) -> int:
    """Bytes that a copy of an argument takes."""
    if isinstance(value, str | bytes):
        return len(value)
    return _AN_OPERATION * len(value) if isinstance(value, list | tuple | dict) else 0


def safe_key(key: object) -> object:
    """`key` where it is a plain value, else a placeholder: nothing that nests is ever hashed."""
    return key if isinstance(key, str | bytes | int | float | None | Inert) else Inert("key")
