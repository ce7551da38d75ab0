"""Arithmetic that autocast and torch.compile must not change, in any context of the caller.

A context that switches autocast off only covers the code that runs within it. Its gradient is computed later, in the
context that calls `backward`, and autocast would cast its matrix products there.
"""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

P = ParamSpec("P")
T = TypeVar("T")


class Function(torch.autograd.Function):
    """torch's base class of operations with a gradient of their own, whose `apply` has no types."""

    if TYPE_CHECKING:

        @classmethod
        def apply(cls, *args: Any) -> Any: ...


def eager_in_compiled_code(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates what is a graph break in compiled code. torch's public decorator does the same, but imports the
    compiler at once, which takes longer than the rest of this package."""
    disable = getattr(torch, "_disable_dynamo", None) or torch.compiler.disable
    disabled: Callable[P, T] = disable(function)
    return disabled


class Once(Function):
    """The identity, which can be differentiated once. With it, a plain implementation raises the same error for a
    second backward pass as one whose gradients are derived by hand."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def without_autocast(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function of tensors, such as an autograd function's `forward` or `backward`: autocast is off within
    it, for the device of its first tensor."""

    @wraps(function)
    def outside(*args: P.args, **kwargs: P.kwargs) -> T:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return outside


def product(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """a·bᵀ, (N, M). It and its gradients are computed in the operands' own type, also under autocast. It can be
    differentiated once."""
    product_NM: Tensor = _Product.apply(a_ND, b_MD)
    return product_NM


class _Product(Function):
    @staticmethod
    @without_autocast
    def forward(ctx: Any, a_ND: Tensor, b_MD: Tensor) -> Tensor:
        ctx.save_for_backward(a_ND, b_MD)
        return a_ND @ b_MD.T

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, gradient_NM: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a_ND, b_MD = ctx.saved_tensors
        wants_a, wants_b = ctx.needs_input_grad
        return gradient_NM @ b_MD if wants_a else None, gradient_NM.T @ a_ND if wants_b else None
