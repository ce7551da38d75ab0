"""Checkpoints that a kill at any moment cannot damage.

One file a checkpoint, `checkpoints/step_00001234.pt`: written beside its place, flushed to the disk, then renamed. They
hold plain tensors and numbers and are read with `weights_only=True`: a checkpoint cannot run code.
"""

import os
import re
from pathlib import Path
from typing import Any

import torch

from facemargin.errors import CheckpointError

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
    """Write the checkpoint of `step`, then delete all but the newest `keep`.

    Raises CheckpointError, with earlier checkpoints untouched, if it cannot be written (a full disk).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:08d}.pt"
    write_atomically(path, lambda temporary: torch.save(state, temporary))
    for old in list(checkpoint_steps(folder).values())[:-keep]:
        old.unlink()
    return path


def write_atomically(path: Path, write: Any) -> None:
    """Call `write(temporary path)`, flush, and rename to `path`: it appears whole or not at all.

    Raises CheckpointError naming `path` if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}") from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint file; CheckpointError, naming it, if it is damaged or holds anything but tensors."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for damaged archives
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    if not isinstance(state, dict) or "step" not in state:
        raise CheckpointError(f"{path} is not a facemargin checkpoint")
    return state


def latest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest readable checkpoint and its state, or None where there is none.

    Raises CheckpointError if there are some and none is readable.
    """
    problem: CheckpointError | None = None
    for path in reversed(checkpoint_steps(folder).values()):
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    return None
