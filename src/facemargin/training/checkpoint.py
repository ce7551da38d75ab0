"""Checkpoints that a kill at any moment cannot damage.

One file a checkpoint, `checkpoints/step_00001234.pt`: written beside its place, flushed to the disk, then renamed. They
hold plain tensors and numbers and are read with `weights_only=True`: a checkpoint cannot run code.
"""

import contextlib
import logging
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from facemargin.errors import CheckpointError

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step_(\d+)\.pt")
_PARTIAL = ".partial"


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


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary path)`, flush, and rename to `path`: it appears whole or not at all.

    Folders are made as needed. Raises CheckpointError naming `path` if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise CheckpointError(f"cannot write {path}: {error}") from error
    finally:
        _remove(temporary)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` for text, in UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remove_partial_files(folder: Path) -> None:
    """Delete what a process that was killed while it wrote has left in `folder`."""
    for path in folder.glob(f".*{_PARTIAL}"):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written to holds nothing of ours
        path.unlink()


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
