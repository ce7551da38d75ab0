"""Checkpoints that a kill at any moment cannot damage.

One process writes one file a checkpoint, `checkpoints/step_00001234.pt`: beside its place, flushed to the disk, then
renamed. Of several processes each writes the rows of its classes (centres and their momentum) to a file of its own,
`step_00001234.rows_00000000.pt`, named after its first class; nothing is gathered. The main one writes the rest last:
a checkpoint whose main file exists is whole, and any number of processes can read it, each its own classes.

They hold plain tensors and numbers and are read by the package's own reader, which has nothing to run: torch.load with
weights_only dies of deeply nested keys, fills any memory, and does not look at the checksums that torch writes. (For
the same reason they are not those of torch.distributed.checkpoint, whose metadata is a pickle that is run when it is
read.)

Shapes: C classes of a process.
"""

import logging
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from facemargin.errors import CheckpointError
from facemargin.files.atomic import write_atomically
from facemargin.files.pickles import CodeError, Inert
from facemargin.files.stored_tensor import StoredTensor
from facemargin.files.torch_zip import read_torch_zip
from facemargin.training.processes import ONE_PROCESS, Processes

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step_(\d+)\.pt")


def checkpoint_steps(folder: Path) -> dict[int, Path]:
    """Step number → file, in order of the number (not of the text: 9 comes before 10)."""
    matches = {path: _NAME.fullmatch(path.name) for path in folder.glob("step_*.pt")}
    return dict(sorted((int(match[1]), path) for path, match in matches.items() if match))


def save_checkpoint(
    folder: Path,
    step: int,
    state: dict[str, Any],
    keep: int,
    processes: Processes = ONE_PROCESS,
    class_range: tuple[int, int] = (0, 0),
) -> Path:
    """Write the checkpoint of `step`, then delete all but the newest `keep` up to it. Several processes do it together,
    each with the "rows" of its classes [first, last) in `state`, whose rest is that of the main process.

    Later ones can only be damaged ones that the run has gone back behind: they must not push out good ones.

    Raises OutputError, everywhere and with earlier checkpoints untouched, if it cannot be written (a full disk).
    """
    path = folder / f"step_{step:08d}.pt"
    if processes.group is None:
        write_atomically(path, lambda temporary: torch.save(state, temporary))
        _delete_old(folder, step, keep)
        return path
    rows = {"step": step, "classes": list(class_range), "rows": state["rows"]}
    file = path.with_suffix(f".rows_{class_range[0]:08d}.pt")
    empty = class_range[0] == class_range[1]  # fewer classes than processes

    def write_rows() -> None:
        if not empty:
            write_atomically(file, lambda temporary: torch.save(rows, temporary))

    def write_rest() -> None:
        rest = {key: value for key, value in state.items() if key != "rows"} | {"row_files": names}
        write_atomically(path, lambda temporary: torch.save(rest, temporary))
        _delete_old(folder, step, keep)

    processes.together(write_rows)
    names = [name for name in processes.gather(None if empty else file.name) if name is not None]
    processes.on_main(write_rest)
    return path


def _delete_old(folder: Path, step: int, keep: int) -> None:
    kept = [old_step for old_step in checkpoint_steps(folder) if old_step <= step][-keep:]
    for old_step, old in checkpoint_steps(folder).items():
        if old_step <= step and old_step not in kept:
            old.unlink()
    # rows whose main file is gone, or never came because the run was killed between the two
    for rows in folder.glob("step_*.rows_*.pt"):
        match = _NAME.fullmatch(f"{rows.name.split('.')[0]}.pt")
        if match and int(match[1]) <= step and int(match[1]) not in kept:
            rows.unlink()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint file; CheckpointError, naming it, if it is damaged or holds anything but tensors."""
    state = _stored_state(path)
    _read_tensors(state)
    return state


def _stored_state(path: Path) -> dict[str, Any]:
    """As `load_checkpoint`, with its tensors still to be read."""
    try:
        state = read_torch_zip(path)
        _require_plain(state, path.stat().st_size)
    except (pickle.UnpicklingError, CodeError) as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors and numbers, which facemargin never writes and does not load"
        ) from error
    except (CheckpointError, OSError) as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    if not isinstance(state, dict) or "step" not in state:
        raise CheckpointError(f"{path} is not a facemargin checkpoint")
    return state


def _require_plain(content: object, size: int) -> None:
    """UnpicklingError unless `content` is nothing but numbers and texts, in dicts, lists and tuples, and tensors, in
    dicts and lists, which take no more bytes than the file's `size`."""
    waiting, seen, tensor_bytes = [content], set(), 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, Inert):
            raise pickle.UnpicklingError(f"it holds a {value.name}")
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += value
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
            if isinstance(value, tuple) and any(isinstance(item, StoredTensor) for item in value):
                raise pickle.UnpicklingError("it holds a tensor in a tuple")
        elif isinstance(value, StoredTensor):
            tensor_bytes += value.nbytes
    if tensor_bytes > size:
        raise pickle.UnpicklingError(f"its tensors take {tensor_bytes:,} bytes")


def _read_tensors(content: object) -> None:
    """Put the values in the place of every stored tensor in `content`, however deep in dicts and lists."""
    waiting, values = [content], {}
    seen: set[int] = set()
    while waiting:
        container = waiting.pop()
        if id(container) in seen or not isinstance(container, dict | list):
            continue
        seen.add(id(container))
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(value, StoredTensor):
                if id(value) not in values:
                    values[id(value)] = value.read()
                container[key] = values[id(value)]
            else:
                waiting.append(value)


def _load_rows(path: Path, state: dict[str, Any], class_range: tuple[int, int] | None) -> dict[str, torch.Tensor]:
    """The rows of the classes [first, last), all for None, of the checkpoint `path` whose stored state is `state`; only
    the files that hold some are read. CheckpointError, naming the file, if one is damaged or missing."""
    first, last = class_range or (0, state.get("num_classes", 0))
    if "row_files" not in state:
        return {key: stored_CD.rows(first, last) for key, stored_CD in state.get("rows", {}).items()}
    files = [path.with_name(Path(name).name) for name in state["row_files"]]
    starts = [int(file.stem.rpartition("_")[2]) for file in files]
    ends = [*starts[1:], state.get("num_classes", 0)]
    # a process without classes still learns from the last file which rows there are
    needed = [n for n, start in enumerate(starts) if start < last and ends[n] > first] or [len(files) - 1]
    parts: dict[str, list[torch.Tensor]] = {}
    for n in needed:
        part = _stored_state(files[n])
        if part["classes"] != [starts[n], ends[n]]:
            raise CheckpointError(f"{files[n]} holds classes {part['classes']}, expected {[starts[n], ends[n]]}")
        for key, stored_CD in part["rows"].items():
            rows_CD = stored_CD.rows(max(first - starts[n], 0), max(last - starts[n], 0))
            parts.setdefault(key, []).append(rows_CD)
    return {key: torch.cat(of_files) if len(of_files) > 1 else of_files[0] for key, of_files in parts.items()}


def latest_checkpoint(
    folder: Path, processes: Processes = ONE_PROCESS, class_range_of: Callable[[int], tuple[int, int]] | None = None
) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that all processes can read, and its state, or None where there is none; says which it had
    to pass over. "rows" are those of `class_range_of(number of classes)`, by default all.

    Raises CheckpointError if there are some and none is readable.
    """
    problem: CheckpointError | None = None
    for path in reversed(checkpoint_steps(folder).values()):
        try:
            return path, processes.together(partial(_load, path, class_range_of))
        except CheckpointError as error:
            if processes.is_main:
                logger.warning("%s; going back to the checkpoint before it", error)
            problem = problem or error
    if problem is not None:
        raise problem
    return None


def _load(path: Path, class_range_of: Callable[[int], tuple[int, int]] | None) -> dict[str, Any]:
    state = _stored_state(path)
    try:
        class_range = None if class_range_of is None else class_range_of(state.get("num_classes", 0))
        state["rows"] = _load_rows(path, state, class_range)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not say which rows of centres there are: {error!r}") from error
    _read_tensors(state)
    return state
