"""The cost of a training step of a backbone: its parameters, the memory kept for the backward pass, the operations.

Nothing is estimated. The real network runs a forward and a backward pass with tensors that have shapes and types but no
memory, for two batch sizes. All costs of a pass are linear in the batch size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from facemargin.backbones import Backbone, create_backbone
from facemargin.planning.hardware import Precision
from facemargin.planning.machine import Operation

_AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# A batch norm over one image has no variance.
_SMALL, _LARGE = 2, 4


@dataclass(frozen=True)
class ScaledOperation:
    """An operation of a pass over b images: `flops`·b, `fixed_bytes` + `bytes`·b."""

    flops: float
    fixed_bytes: float
    bytes: float
    half: bool

    def at(self, batch: int) -> Operation:
        return Operation(self.flops * batch, self.fixed_bytes + self.bytes * batch, self.half)


@dataclass(frozen=True)
class BackboneCost:
    """parameters: the number of all parameters; trained: of those with a gradient, in `trained_tensors` tensors;
    buffers: of other floating-point values (batch-norm statistics). A batch of b images keeps `fixed_bytes` (the
    weights in the autocast type) + `image_bytes`·b until its backward pass, the images included. forward, backward: the
    operations of each pass.
    """

    name: str
    precision: Precision
    parameters: int
    trained: int
    trained_tensors: int
    buffers: int
    fixed_bytes: int
    image_bytes: int
    forward: tuple[ScaledOperation, ...]
    backward: tuple[ScaledOperation, ...]

    @property
    def flops(self) -> float:
        """FLOPs of the forward and backward pass of one image; a multiply-add counts as two."""
        return sum(operation.flops for operation in [*self.forward, *self.backward])

    def activations(self, batch: int) -> int:
        """Bytes kept for the backward pass of `batch` images."""
        return self.fixed_bytes + self.image_bytes * batch


def measure_backbone(name: str, embedding_size: int = 512, precision: Precision = "bf16") -> BackboneCost:
    """The cost of `create_backbone(name, embedding_size)` trained in `precision`, which may not be "auto".

    Raises what `create_backbone` raises.
    """
    with FakeTensorMode():
        backbone = create_backbone(name, embedding_size).train()
        small, large = (_Pass(backbone, batch, _AUTOCAST[precision]) for batch in (_SMALL, _LARGE))
    image_bytes = (large.kept_bytes - small.kept_bytes) // (_LARGE - _SMALL)
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    return BackboneCost(
        name=name,
        precision=precision,
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        trained=sum(parameter.numel() for parameter in trained),
        trained_tensors=len(trained),
        buffers=sum(buffer.numel() for buffer in backbone.buffers() if buffer.is_floating_point()),
        fixed_bytes=small.kept_bytes - image_bytes * _SMALL,
        image_bytes=image_bytes,
        forward=_scaled(small.forward, large.forward),
        backward=_scaled(small.backward, large.backward),
    )


@contextmanager
def kept_storages(excluded: set[int]) -> Iterator[dict[int, int]]:
    """Collects {storage: bytes} of everything that autograd saves within the context, except the `excluded`
    storages."""
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # otherwise a new storage could get the id of one that was freed

    def pack(tensor: Tensor) -> Tensor:
        held.append(tensor)
        storage = tensor.untyped_storage()
        if storage._cdata not in excluded:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def storages(module: torch.nn.Module) -> set[int]:
    """The storages of all parameters and buffers."""
    return {tensor.untyped_storage()._cdata for tensor in [*module.parameters(), *module.buffers()]}


class _Pass:
    """One forward and backward pass: the bytes kept between the two, and the operations of both."""

    def __init__(self, backbone: Backbone, batch: int, autocast: torch.dtype | None) -> None:
        images_BCHW = torch.empty(batch, backbone.in_channels, backbone.input_size, backbone.input_size)
        # A training step holds its images in any case, also if the first convolution keeps a rounded copy of them.
        images = images_BCHW.untyped_storage()
        with FlopCounterMode(display=False) as counter, _Recorder(counter) as recorder:
            with (
                kept_storages(storages(backbone) | {images._cdata}) as kept,
                torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
            ):
                features_BD = backbone(images_BCHW)
            self.forward = recorder.taken()
            features_BD.backward(torch.empty_like(features_BD))
            self.backward = recorder.taken()
        self.kept_bytes = sum(kept.values()) + images.nbytes()
        backbone.zero_grad(set_to_none=True)


class _Recorder(TorchDispatchMode):
    """Records every operation that reads or writes memory."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.counter = counter
        self._operations: list[Operation] = []

    def taken(self) -> list[Operation]:
        """The operations since the last call."""
        operations, self._operations = self._operations, []
        return operations

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self.counter.get_total_flops()
        result = function(*args, **(kwargs or {}))
        if function.namespace == "aten" and not function.is_view and "empty" not in function._schema.name:
            read = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
            written = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
            self._operations.append(
                Operation(
                    flops=self.counter.get_total_flops() - before,
                    bytes=sum(value.numel() * value.element_size() for value in [*read, *written]),
                    half=any(value.dtype in (torch.bfloat16, torch.float16) for value in read),
                )
            )
        return result


def _scaled(small: list[Operation], large: list[Operation]) -> tuple[ScaledOperation, ...]:
    operations = []
    for small_batch, large_batch in zip(small, large, strict=True):
        image_bytes = (large_batch.bytes - small_batch.bytes) / (_LARGE - _SMALL)
        operations.append(
            ScaledOperation(
                small_batch.flops / _SMALL, small_batch.bytes - image_bytes * _SMALL, image_bytes, small_batch.half
            )
        )
    return tuple(operations)
