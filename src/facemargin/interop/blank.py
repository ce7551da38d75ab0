"""Networks without memory for weights, to get their keys and shapes, or to be filled with weights from a file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = {"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"}


class _NothingDrawn(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def blank_networks() -> Iterator[None]:
    """Networks created in this context are on torch's meta device: they use no memory, and no random weights are drawn.
    (Drawing there would import torch's compiler, which takes seconds.)"""
    with torch.device("meta"), _NothingDrawn():
        yield
