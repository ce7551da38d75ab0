"""Pickles read without running anything in them.

A pickle is a program for a small stack machine, which may import and call whatever it names. This machine runs the same
program but has nothing to call: a name that `known` has stands for what is there, and every other one for an `Inert`
placeholder, which is never imported. Calling a placeholder gives another placeholder. So a Lightning checkpoint with
its callbacks and hyper-parameters is read, whoever's classes they are of, and its tensors are the ones wanted.

Nothing is hashed but plain values (the hash of a deeply nested tuple overflows C's stack, also in torch.load with
weights_only), nothing is compared or printed, and the length of the program is bounded.
"""

import pickletools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_OPERATIONS = 2_000_000
"""Optimizer states of ten thousand tensors take some 300,000."""

# Modules whose functions an attack would call. Others' classes are of whoever wrote the file.
_SUSPECT = sys.stdlib_module_names | {"cPickle", "commands", "torch", "numpy"}

# torch.save, too, writes the names that Python 2 had.
_PYTHON_2 = {"__builtin__.": "builtins.", "copy_reg.": "copyreg.", "exceptions.": "builtins."}

# Those of them that stand for plain values.
_BUILTIN_VALUES = [
    *("object", "set", "frozenset", "list", "dict", "tuple", "slice", "range"),
    *("int", "float", "complex", "bool", "str", "bytes", "bytearray"),
]
_VALUES = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.deque",
    "collections.Counter",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "_codecs.encode",
    "copyreg._reconstructor",
    "torch.device",
    "torch.Tensor",
    "torch.Generator",
    "torch.serialization._get_layout",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._tensor._rebuild_from_type_v2",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"builtins.{kind}" for kind in _BUILTIN_VALUES),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
}
_VALUE_MODULES = ("pathlib", "pathlib._local", "datetime")
_VALUE_PREFIXES = ("torch.nn.", "torch.optim.")  # pickled networks and optimizers

_MARK = object()


class CodeError(Exception):
    """The pickle calls a function that has no place in a checkpoint; the message is its name."""


@dataclass(eq=False)
class Inert:
    """Stands for a class, function or object called `name`; `state` is what the pickle would have given it."""

    name: str
    state: object = None


def load_inert(
    file: BinaryIO, known: Mapping[str, Any], persistent: Callable[[object], object] | None = None
) -> object:
    """The object that the pickle at `file`'s position describes, which is left behind its end.

    known: what "module.name" stands for: a function, which is called as the pickle says, or a value. persistent: what
    an id of something outside of the pickle stands for. Dictionaries, lists, tuples and plain values are themselves.
    Raises CodeError, and ValueError where the pickle is damaged. `file` must be in memory: sizes in it are not trusted.
    """
    machine = _Machine(known, persistent)
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if count >= MOST_OPERATIONS:
                raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations")
            machine.run(operation.name, argument)
        return machine.result()
    except CodeError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise ValueError(f"the pickle in it is damaged: {error or type(error).__name__}") from error


class _Machine:
    def __init__(self, known: Mapping[str, Any], persistent: Callable[[object], object] | None) -> None:
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _PLAIN:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PROTO", "FRAME", "STOP"):
            return
        elif (action := getattr(self, f"op_{name.lower()}", None)) is not None:
            action(argument)
        else:
            raise ValueError(f"operation {name} has no place in a checkpoint")

    def result(self) -> Any:
        return self._pop()

    def _pop(self) -> Any:
        top = self.stack.pop()
        if top is _MARK:
            raise ValueError("a value is missing")
        return top

    def _pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while (top := self.stack.pop()) is not _MARK:
            items.append(top)
        return items[::-1]

    def _global(self, name: str) -> Any:
        for old, new in _PYTHON_2.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        return self.known.get(name, Inert(name))

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Inert):
            if _is_suspect(function.name):
                raise CodeError(function.name)
            return Inert(function.name)
        if not callable(function) or not isinstance(arguments, tuple | list):
            raise ValueError(f"a call of {type(function).__name__}")
        return function(*arguments)

    # One method an operation of the pickle format.
    def op_mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def op_pop(self, _: None) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: None) -> None:
        self._pop_mark()

    def op_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_binget = op_long_binget = op_get

    def op_tuple(self, _: None) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def op_tuple1(self, _: None) -> None:
        self.stack.append((self._pop(),))

    def op_tuple2(self, _: None) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def op_tuple3(self, _: None) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    def op_list(self, _: None) -> None:
        self.stack.append(self._pop_mark())

    def op_frozenset(self, _: None) -> None:
        self._pop_mark()
        self.stack.append(Inert("frozenset"))

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
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise ValueError(f"items for {type(target).__name__}")

    def _set(self, items: Any) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, dict | Inert):
            raise ValueError(f"{len(items)} keys and values for {type(target).__name__}")
        if isinstance(target, dict):
            target.update(zip(map(safe_key, items[::2]), items[1::2], strict=True))

    def op_global(self, argument: str) -> None:
        self.stack.append(self._global(argument.replace(" ", ".", 1)))

    def op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is no text")
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
        state, target = self._pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as a state dict's _metadata
            raise ValueError(f"a state for {type(target).__name__}")

    def op_persid(self, identifier: object) -> None:
        if self.persistent is None:
            raise ValueError("it refers to something outside of it")
        self.stack.append(self.persistent(identifier))

    def op_binpersid(self, _: None) -> None:
        self.op_persid(self._pop())


_PLAIN = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: Inert("set"),
}


def safe_key(key: object) -> object:
    """`key` where it is a plain value, else a placeholder: nothing that nests is ever hashed."""
    return key if isinstance(key, str | bytes | int | float | None | Inert) else Inert("key")


def _is_suspect(name: str) -> bool:
    module, _, _ = name.rpartition(".")
    if name in _VALUES or module in _VALUE_MODULES or name.startswith(_VALUE_PREFIXES):
        return False
    return name.split(".")[0] in _SUSPECT
