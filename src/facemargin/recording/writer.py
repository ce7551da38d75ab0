"""Writes one process's visits to parquet files, in a thread beside the training."""

import contextlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import OutputError
from facemargin.files.atomic import PARTIAL, publish, write_atomically
from facemargin.recording.columns import ABOUT, NUMBERS, SAMPLES, Precision, column_types, parquet, visits_name

# A group of rows is compressed at a time: 2.6 MB before that in half precision.
GROUP_ROWS = 2**17
_FORMAT = 1


class RecordingWriter:
    """The files of one `process` in `folder`, the first of which begins after `step`.

    `add` only copies into memory; a thread compresses and writes. Rows are in a file of their name once `close_file`
    has returned, completely or not at all. What goes wrong is kept in `problem` and raises nothing while the training
    goes on. The constructor raises OutputError if the folder cannot be written to.
    """

    def __init__(
        self, folder: Path, step: int, precision: Precision, about: Mapping[str, Any] | None = None, process: int = 0
    ) -> None:
        self.problem: OutputError | None = None
        self._folder, self._process, self._about = folder, process, dict(about or {})
        self._parquet = parquet()
        self._types = column_types(precision)
        #: the first step of the next file
        self.first_step = step + 1
        self._partial = folder / f".visits_{process:04d}.{os.getpid()}{PARTIAL}"
        self._thread = ThreadPoolExecutor(1, "recorder")
        self._writing: Future[None] | None = None
        self._group, self._rows, self._any_rows = self._new_group(), 0, False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: Any = self._opened()
        except OSError as error:
            raise self._explained(error) from error

    def add(self, step: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add the visits of a step: all columns but "step", (B,), in any type."""
        if self.problem is not None:
            return
        size, done = len(columns["sample"]), 0
        while done < size:
            taken = min(size - done, GROUP_ROWS - self._rows)
            rows = slice(self._rows, self._rows + taken)
            with np.errstate(over="ignore"):  # beyond half precision is infinite
                for name, values in columns.items():
                    self._group[name][rows] = values[done : done + taken]
            self._group["step"][rows] = step
            self._rows, done, self._any_rows = self._rows + taken, done + taken, True
            if self._rows == GROUP_ROWS:
                self._hand_over()

    def close_file(self, step: int) -> OutputError | None:
        """Give the file of all rows since the last one, if only of none, its name, which ends at `step`. Returns
        `problem`."""
        if self.problem is None:
            self._hand_over()
            self._settle()
        if self.problem is None:
            try:
                self._publish(step)
                self.first_step, self._any_rows = step + 1, False
            except (OSError, self._arrow_error) as error:
                self.problem = self._explained(error)
        return self.problem

    def discard(self, step: int) -> None:
        """Delete the file that ends at `step`, if there is one."""
        with contextlib.suppress(OSError):
            (self._folder / visits_name(step, self._process)).unlink(missing_ok=True)

    def finish(self, step: int, keep: bool) -> None:
        """End: the rows that are in no file yet get one that ends at `step` if they are to be kept, else go."""
        if keep and self._any_rows:
            self.close_file(step)
        self._settle()
        self._thread.shutdown()
        with contextlib.suppress(OSError, self._arrow_error):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    @property
    def _arrow_error(self) -> type[Exception]:
        import pyarrow

        error: type[Exception] = pyarrow.ArrowException
        return error

    def _new_group(self) -> dict[str, NDArray[Any]]:
        return {name: np.empty(GROUP_ROWS, dtype) for name, dtype in self._types.items()}

    def _opened(self) -> Any:
        import pyarrow

        whole = [name for name in self._types if name not in NUMBERS]
        encodings = dict.fromkeys(whole, "DELTA_BINARY_PACKED")
        if self._types[NUMBERS[0]] == np.float32:
            encodings |= dict.fromkeys(NUMBERS, "BYTE_STREAM_SPLIT")
        schema = pyarrow.schema([(name, pyarrow.from_numpy_dtype(dtype)) for name, dtype in self._types.items()])
        return self._parquet.ParquetWriter(
            self._partial, schema, compression="zstd", use_dictionary=False, column_encoding=encodings
        )

    def _hand_over(self) -> None:
        """Let the thread write the rows so far. It has one group at a time: a disk that is slower than the training
        holds it up instead of filling the memory."""
        self._settle()
        if self._rows and self.problem is None:
            self._writing = self._thread.submit(self._write, self._group, self._rows)
            self._group, self._rows = self._new_group(), 0

    def _settle(self) -> None:
        """Wait until the thread has written what it was given."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, group: dict[str, NDArray[Any]], rows: int) -> None:
        import pyarrow

        try:
            self._file = self._file or self._opened()
            self._file.write_table(pyarrow.table({name: values[:rows] for name, values in group.items()}))
        except (OSError, self._arrow_error) as error:
            self.problem = self._explained(error)

    def _publish(self, step: int) -> None:
        about = {
            **self._about,
            "format": _FORMAT,
            "first_step": self.first_step,
            "last_step": step,
            "process": self._process,
        }
        self._file = self._file or self._opened()
        self._file.add_key_value_metadata({ABOUT: json.dumps(about).encode()})
        self._file.close()
        self._file = None
        publish(self._partial, self._folder / visits_name(step, self._process))

    def _explained(self, error: Exception) -> OutputError:
        return OutputError(f"cannot write the recording in {self._folder}: {error}")


def write_samples(folder: Path, labels_N: NDArray[np.int64], identity_names: list[str]) -> None:
    """Write whose image every sample is: columns sample, label and person. Raises OutputError."""
    import pyarrow

    pq = parquet()
    columns = {
        "sample": np.arange(len(labels_N), dtype=np.uint32),
        "label": labels_N.astype(np.uint32),
        "person": pyarrow.array(identity_names, pyarrow.string()).take(pyarrow.array(labels_N)),
    }
    write_atomically(
        folder / SAMPLES,
        lambda path: pq.write_table(pyarrow.table(columns), path, compression="zstd", use_dictionary=["person"]),
    )
