"""Reads a recording: what the head found of every image at every step. Shapes: V visits, N samples."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.recording.columns import ABOUT, COLUMNS, NUMBERS, SAMPLES, parquet, visits_files
from facemargin.registry import unknown_name

logger = logging.getLogger(__name__)

# The labels of a sorted set compress well, numbers of samples less so.
_MOST_SAMPLES_PER_BYTE = 64


@dataclass(frozen=True)
class Recording:
    """The visits of a training, in the order of their steps.

    `columns` are arrays (V,) by name, also given by `recording["target_cosine"]`: "sample" (the number of the image in
    the training set), "step" (from 1 on), "feature_norm", "target_cosine", "negative_lse" (log Σ_{j≠y} exp(s·c_j)),
    "hardest_negative" and "hardest_class" (4294967295 where there is none). Cosines are those before any margin.

    `labels` (N,) int64 is the class of every sample, and `identity_names[class]` the person. `about` is what the files
    say of the training: "margin", "scale" (s, a number, or "feature_norm"), "hardest_among", "negatives" and others.
    `missing_steps` are ranges (first, last) of steps up to the last checkpoint that were not recorded.

    Examples:
        >>> import facemargin as fm, numpy as np
        >>> columns = {"target_cosine": np.array([0.7, 0.1]), "hardest_negative": np.array([0.3, 0.4])}
        >>> recording = fm.Recording(columns, np.array([0, 1]), ["Ann", "Bob"], about={}, missing_steps=[])
        >>> len(recording), recording["target_cosine"] < recording["hardest_negative"]
        (2, array([False,  True]))
    """

    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    identity_names: list[str]
    about: dict[str, Any]
    missing_steps: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise ConfigError(unknown_name("column", name, self.columns))
        return self.columns[name]


def load_recording(run: Path | str, columns: Sequence[str] = COLUMNS) -> Recording:
    """What the run in the folder `run`, trained with `recorder: true`, recorded; only some `columns`, to save memory.

    A warning names steps that are missing. Raises DataError, which names the file, if there is no recording or if a
    file of it is damaged or missing, and ConfigError for an unknown column or without pyarrow.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> from rich.console import Console
        >>> run = tempfile.mkdtemp() + "/run"
        >>> recipe = fm.load_recipe("small_cpu", epochs=2, batch_size=10, data={"train": "orl:1-3"}, recorder=True)
        >>> fm.train(recipe, run, console=Console(quiet=True))
        True
        >>> recording = fm.load_recording(run)
        >>> len(recording), recording.labels.shape
        (60, (30,))
    """
    if not columns:
        raise ConfigError(f"columns is empty, expected some of {', '.join(COLUMNS)}")
    for name in columns:
        if name not in COLUMNS:
            raise ConfigError(unknown_name("column", name, COLUMNS))
    folder = Path(run) / "recording"
    files = visits_files(folder)
    if not files:
        raise DataError(f"{run} holds no recording: train with --recorder True to have one")
    parts: list[dict[str, NDArray[Any]]] = []
    abouts: list[dict[str, Any]] = []
    for last_step, of_interval in groupby(files.items(), key=lambda item: item[0][0]):
        read = [_read(path, columns) for _, path in of_interval]
        about = read[0][1]
        if [one["process"] for _, one in read] != [*range(about["processes"])]:
            raise DataError(
                f"{folder} is incomplete: the steps up to {last_step} were recorded by "
                f"{counted(about['processes'], 'process', 'processes')}, expected a file of each, found {len(read)}"
            )
        parts.append(_in_order([part for part, _ in read], columns))
        abouts.append(about)
    labels_N, names = _samples(folder / SAMPLES)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    missing = _missing(folder, abouts)
    if (trained := _trained_steps(Path(run))) > abouts[-1]["last_step"]:
        missing.append((abouts[-1]["last_step"] + 1, trained))
    for first, last in missing:
        logger.warning("the recording of %s lacks steps %d to %d", run, first, last)
    return Recording(joined, labels_N, names, {**abouts[-1], "first_step": abouts[0]["first_step"]}, missing)


def _in_order(parts: list[dict[str, NDArray[Any]]], columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The rows of all processes, in the order of the steps and of the ranks."""
    if len(parts) == 1:
        return parts[0]
    order_V = np.argsort(np.concatenate([part["step"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order_V] for name in columns}


def _missing(folder: Path, abouts: list[dict[str, Any]]) -> list[tuple[int, int]]:
    missing, done = [], 0
    for about in abouts:
        first, last = about["first_step"], about["last_step"]
        if first <= done:
            raise DataError(f"{folder}: steps {first} to {done} are in two files, of which one belongs to another run")
        if first > done + 1:
            missing.append((done + 1, first - 1))
        done = last
    return missing


def _trained_steps(run: Path) -> int:
    """The step of the run's last checkpoint, 0 without one."""
    names = [re.fullmatch(r"step_(\d+)\.pt", path.name) for path in (run / "checkpoints").glob("step_*.pt")]
    return max((int(name[1]) for name in names if name), default=0)


def _read(path: Path, columns: Sequence[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The columns of a file, "step" among them, and its description."""
    import pyarrow

    pq = parquet()
    try:
        with pq.ParquetFile(path) as file:
            about = _description(path, file.metadata.metadata or {})
            # A damaged file of a few bytes can claim any number of equal rows.
            if file.metadata.num_rows > path.stat().st_size:
                raise DataError(f"{path}: the file is too small for {file.metadata.num_rows:,} visits")
            table = file.read(list(dict.fromkeys((*columns, "step"))))
        found = {name: table.column(name).to_numpy() for name in table.column_names}
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    for name in (*columns, "step"):
        kinds = ("float16", "float32") if name in NUMBERS else ("uint32",)
        if name not in found or found[name].dtype.name not in kinds:
            raise DataError(f"{path} has no column {name} of type {' or '.join(kinds)}")
    return found, about


def _description(path: Path, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        about = json.loads(metadata.get(ABOUT, b""))
        numbers = {name: about[name] for name in ("format", "first_step", "last_step", "process", "processes")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} does not say what it is: no facemargin run has written it") from error
    if not all(type(number) is int and number >= 0 for number in numbers.values()):
        raise DataError(f"{path} does not say what it is: {numbers}")
    if numbers["format"] != 1:
        raise DataError(f"{path} has format {numbers['format']}, expected 1: it needs a later facemargin")
    return dict(about)


def _samples(path: Path) -> tuple[NDArray[np.int64], list[str]]:
    import pyarrow

    pq = parquet()
    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            # a small file may claim more rows than memory holds
            if rows > _MOST_SAMPLES_PER_BYTE * path.stat().st_size:
                raise ValueError(f"it is too small for {rows:,} samples")
            table = file.read(["label", "person"])
        label_N, person_N = table.column("label").to_numpy(), table.column("person")
        classes, first_of_class = np.unique(label_N, return_index=True)
        names = [str(name) for name in person_N.take(first_of_class).to_pylist()]
    except (OSError, KeyError, ValueError, TypeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is damaged or missing: {error}") from error
    if label_N.dtype != np.uint32 or not np.array_equal(classes, np.arange(len(classes))):
        raise DataError(f"{path} is damaged: its labels are not whole numbers from 0 on without gaps")
    return label_N.astype(np.int64), names
