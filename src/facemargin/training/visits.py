"""What a step found of each of its images, for the recorder: on its way from the device when the step returns.

Shapes: B images of this process in a step, M in one pass, R recorded numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.heads import HeadOutput
from facemargin.recording.columns import NUMBERS


def recorded_numbers(out: HeadOutput) -> Tensor:
    """The `NUMBERS` of a pass's images and, in the last row, their hardest classes: int32 (R, M), the floats as their
    bits, so that all are copied at once."""
    assert out.hardest_class_B is not None  # the recorder's head finds it
    floats = [getattr(out, f"{name}_B").float().view(torch.int32) for name in NUMBERS]
    return torch.stack([*floats, out.hardest_class_B.to(torch.int32)])


class Visits:
    """The visits of a step: its number, and a row for each of this process's images. `columns` waits for the device;
    the constructor does not if the numbers are `late`."""

    def __init__(self, step: int, sample_B: Tensor, passes: Sequence[Tensor], late: bool) -> None:
        self.step = step
        self._sample_B = sample_B
        values_RB = torch.cat([*passes], dim=1)
        on_cuda = values_RB.device.type == "cuda"
        self._values_RB = torch.empty(values_RB.shape, dtype=torch.int32, device="cpu", pin_memory=on_cuda)
        self._values_RB.copy_(values_RB, non_blocking=late)
        self._arrived = torch.cuda.current_stream(values_RB.device).record_event() if on_cuda else None

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns of a recording but the step, (B,)."""
        if self._arrived is not None:
            self._arrived.synchronize()
        rows_RB = self._values_RB.numpy()
        numbers = dict(zip(NUMBERS, rows_RB[:-1].view(np.float32), strict=True))
        return {"sample": self._sample_B.numpy(), **numbers, "hardest_class": rows_RB[-1].view(np.uint32)}
