"""Metrics for TensorBoard, where the recipe asks for them."""

from collections.abc import Mapping
from pathlib import Path

from facemargin.errors import ConfigError


class TensorBoardLog:
    """Writes TensorBoard events under `folder`/tensorboard; events after `step` are dropped by TensorBoard on display.

    Raises ConfigError, saying what to install, where tensorboard is missing.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                'logging.tensorboard needs the package tensorboard: pip install "facemargin[tracking]"'
            ) from None
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row's numbers at its `step`."""
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()
