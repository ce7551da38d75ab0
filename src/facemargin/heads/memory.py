"""What a head remembers of earlier batches while it trains, whatever its margin: BroadFace's queue of samples, VPL's
feature of every class.

Shapes: B labelled samples of the global batch, Q samples of a memory, C classes of this process, D feature values.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor, nn


class Samples(NamedTuple):
    """Samples as a head computes with them: unit features `x_QD`, their norms `norm_Q`, and on the CPU their classes
    `y_Q`. None of them has a gradient."""

    x_QD: Tensor
    norm_Q: Tensor
    y_Q: Tensor


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """The settings of a memory; each kind has a dataclass of its own."""

    def create(self, classes: int, embedding_size: int) -> "Memory":
        """An empty memory for the classes of one process."""
        raise NotImplementedError


class Memory(nn.Module):
    """Base of the memories. Its state is in buffers, so that it is saved, moved and restored with the head. A training
    head calls, in this order: `injected`, `samples` and `remember`."""

    #: whether `samples` and `remember` need the stored centres of the samples' classes
    needs_centers: ClassVar[bool] = False
    #: buffers that stay on the CPU, where they are read without waiting for a device
    on_host: ClassVar[tuple[str, ...]] = ()
    #: buffers that have a row for every class of this process
    class_rows: ClassVar[tuple[str, ...]] = ()

    def injected(self, w_CD: Tensor) -> Tensor:
        """The centres that samples are compared with in this pass, made of the stored ones."""
        return w_CD

    @property
    def classes(self) -> Tensor:
        """The classes of `samples`, (Q,), on the CPU."""
        raise NotImplementedError

    def samples(self, centers_QD: Tensor | None) -> Samples:
        """Samples of earlier passes, which the centres have to tell apart besides those of the batch. `centers_QD` are
        the stored centres of `classes`, given if `needs_centers`."""
        raise NotImplementedError

    def remember(self, batch: Samples, first_class: int, centers_BD: Tensor | None) -> None:
        """Take in the labelled samples of a pass. `first_class` is the first one of this process, `centers_BD` the
        stored centres of the samples' classes, given if `needs_centers`. A feature that is not finite leaves no trace
        in later losses."""
        raise NotImplementedError

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        kept = {name: self.get_buffer(name) for name in self.on_host}
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]  # torch has no types for it
        for name, buffer in kept.items():
            setattr(self, name, buffer)
        return self
