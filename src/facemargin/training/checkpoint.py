"""Checkpoints that a kill at any moment cannot damage.

One file a checkpoint, `checkpoints/step_00001234.pt`: written beside its place, flushed to the disk, then renamed. They
hold plain tensors and numbers and are read with `weights_only=True`: a checkpoint cannot run code.
"""

import logging
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from facemargin.atomic import write_atomically
from facemargin.errors import CheckpointError

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step_(\d+)\.pt")


def checkpoint_steps(folder: Path) -> dict[int, Path]:
    """Step number → file, in order of the number (not of the text: 9 comes before 10)."""
    found = {}
    for path in folder.glob("step_*.pt"):
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write the checkpoint of `step`, then delete all but the newest `keep` up to it.

    Later ones can only be damaged ones that the run has gone back behind: they must not push out good ones.

    Raises CheckpointError, with earlier checkpoints untouched, if it cannot be written (a full disk).
    """
    path = folder / f"step_{step:08d}.pt"
    write_atomically(path, lambda temporary: torch.save(state, temporary))
    for old in [old for old_step, old in checkpoint_steps(folder).items() if old_step <= step][:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint file; CheckpointError, naming it, if it is damaged or holds anything but tensors."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums it writes
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} in it does not have its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors and numbers, which facemargin never writes and does not load"
        ) from error
    except Exception as error:  # torch raises half a dozen types for damaged archives
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    if not isinstance(state, dict) or "step" not in state:
        raise CheckpointError(f"{path} is not a facemargin checkpoint")
    return state


def latest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest readable checkpoint and its state, or None where there is none; says which it had to pass over.

    Raises CheckpointError if there are some and none is readable.
    """
    problem: CheckpointError | None = None
    for path in reversed(checkpoint_steps(folder).values()):
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            logger.warning("%s; going back to the checkpoint before it", error)
            problem = problem or error
    if problem is not None:
        raise problem
    return None
