"""Which functions a checkpoint has no reason to call."""

import sys

# Modules whose functions an attack would call. Others' classes are of whoever wrote the file.
_SUSPECT = sys.stdlib_module_names | {"cPickle", "commands", "torch", "numpy"}

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


def is_suspect(name: str) -> bool:
    """Whether "module.name" is a function of Python, numpy or torch that could do more than make a value."""
    module, _, _ = name.rpartition(".")
    if name in _VALUES or module in _VALUE_MODULES or name.startswith(_VALUE_PREFIXES):
        return False
    return name.split(".")[0] in _SUSPECT
