"""The head of a training that has none."""

from torch import Tensor, nn


class NoHead(nn.Module):
    """Stands in the head's place where a face reconstruction is trained alone: no classes, nothing to learn or save."""

    num_classes = 0
    class_range = (0, 0)
    samples_classes = False

    def begin_step(self, labels: Tensor) -> None:
        """Does nothing."""

    def trained_tensors(self) -> list[Tensor]:
        """None."""
        return []

    def shared_tensors(self) -> list[Tensor]:
        """None."""
        return []

    def step(self, learning_rate: float) -> None:
        """Does nothing."""

    def skip_step(self) -> None:
        """Does nothing."""
