"""Moves batches of pixels to the device of a network and its results back, without waiting where that is possible."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Results = list[NDArray[np.float32]]


class Transfer:
    """For a network on the CPU or another device whose results are waited for."""

    late = 0
    """How many batches later the results of a batch are taken."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def ready(self, pixels: Tensor) -> Tensor:
        """Pixels in memory from which they can be sent; called by the threads that read."""
        return pixels

    def send(self, pixels: Tensor) -> Tensor:
        """`pixels` of `ready`, on the device."""
        return pixels.to(self.device)

    def bring_back(self, tensors: Sequence[Tensor]) -> Callable[[], Results]:
        """Begins to copy tensors to the host; what it returns waits for them."""
        arrays = [tensor.cpu().numpy() for tensor in tensors]
        return lambda: arrays


class CudaTransfer(Transfer):
    """For a GPU: copies from and to pinned memory, for which the host does not wait. The results of a batch are taken
    when the next batch is queued, so that the GPU goes on meanwhile."""

    late = 1

    def ready(self, pixels: Tensor) -> Tensor:
        """See `Transfer.ready`."""
        with torch.cuda.device(self.device):
            return pixels.pin_memory()

    def send(self, pixels: Tensor) -> Tensor:
        """See `Transfer.send`."""
        return pixels.to(self.device, non_blocking=True)

    def bring_back(self, tensors: Sequence[Tensor]) -> Callable[[], Results]:
        """See `Transfer.bring_back`."""
        with torch.cuda.device(self.device):
            copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
            for copy, tensor in zip(copies, tensors, strict=True):
                copy.copy_(tensor, non_blocking=True)
            copied = torch.cuda.Event(blocking=True)  # waiting leaves the core to the threads that read
            copied.record()

        def wait() -> Results:
            copied.synchronize()
            return [copy.numpy().copy() for copy in copies]  # pinned memory is used again

        return wait


def transfer_to(device: torch.device) -> Transfer:
    """The Transfer for a device."""
    return CudaTransfer(device) if device.type == "cuda" else Transfer(device)
