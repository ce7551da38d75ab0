"""Finds where a program waits for a device, without one.

Torch's device "meta" stands for it: its tensors have a shape and no values. What needs a value on the host, or the
number of values that fulfil a condition, would wait for a GPU; here it has nothing to wait for, and raises.
"""

import traceback
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NEEDS_VALUES = (
    "aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::equal", "aten::nonzero",
    "aten::masked_select", "aten::_unique", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
    "aten::bincount", "aten::repeat_interleave",
)  # fmt: skip
_COPIES = ("aten::_to_copy", "aten::copy_")
_INDEXES = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_FROM_HOST = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


AUTOCAST = torch.autocast


class WaitsForDeviceError(AssertionError):
    """A value was needed that only the device knows."""


class Waits:
    """Within this context, `found` collects the places where the program would wait for the device."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._contexts = ExitStack()

    def __enter__(self) -> "Waits":
        for context in (mock.patch.object(torch, "autocast", _autocast), _Functions(self), _Kernels(self)):
            self._contexts.enter_context(context)
        return self

    def __exit__(self, *error: Any) -> None:
        self._contexts.__exit__(*error)

    def add(self, what: str) -> None:
        ours = [frame for frame in traceback.extract_stack() if "facemargin/" in frame.filename]
        place = f"{ours[-1].filename}:{ours[-1].lineno}" if ours else "a backward pass"
        self.found.append(f"{what} at {place}")


class _Functions(TorchFunctionMode):
    """Finds tensors that are made of the host's numbers on the device, which torch does in one go."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function in _FROM_HOST and _on_device(result):
            given = args[-1] if function is Tensor.new_tensor else args[0]
            if not (isinstance(given, Tensor) and _on_device(given)):
                self.waits.add(function.__name__)
        return result


class _Kernels(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function._schema.name
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if any(map(_on_device, tensors)):
            masks = [value for value in tree_leaves(args[1]) if _is_mask(value)] if name in _INDEXES else []
            if name in _NEEDS_VALUES or masks:
                self.waits.add(name)
                raise WaitsForDeviceError(self.waits.found[-1])
        if name.startswith("aten::_fused_") and any(map(_on_device, tensors)):
            return None  # an optimizer's: there are none for that device
        if name in _COPIES:
            source = args[0] if name == "aten::_to_copy" else args[1]
            target = torch.device(kwargs.get("device") or args[0].device)
            blocking = not (kwargs.get("non_blocking") or (name == "aten::copy_" and len(args) > 2 and args[2]))
            if (target.type == "meta") != _on_device(source):
                if blocking:
                    self.waits.add(name)
                if _on_device(source):  # there is nothing to copy
                    return torch.zeros_like(source, device="cpu") if name == "aten::_to_copy" else args[0]
        return function(*args, **kwargs)


def _autocast(device_type: str, **options: Any) -> AbstractContextManager[Any]:
    """torch.autocast, which does not know that device."""
    return AUTOCAST("cpu" if device_type == "meta" else device_type, **options)


def _on_device(tensor: Tensor) -> bool:
    return tensor.device.type == "meta"


def _is_mask(value: Any) -> bool:
    return isinstance(value, Tensor) and _on_device(value) and value.dtype in (torch.bool, torch.uint8)
