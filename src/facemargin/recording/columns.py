"""What a recording holds of a visit (one image at one step), and how its files are named.

`recording/visits_00000120_0001.parquet` is what process 1 recorded up to the checkpoint of step 120, from the one
before it; `recording/samples.parquet` says whose image every sample is.
"""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facemargin.data.formats.parquet import import_parquet

Precision = Literal["float16", "float32"]

SAMPLES = "samples.parquet"
#: the key of a file's own description, a JSON object, beside its columns
ABOUT = b"facemargin"
#: the hardest class where there is none: of an unlabelled image, and of a head with one class
NO_CLASS = 2**32 - 1
#: what a recording says of the negatives of binary classification, which has no log-sum-exp: "negative_lse" is NaN
BINARY = "decided on one by one"
NUMBERS = ("feature_norm", "target_cosine", "negative_lse", "hardest_negative")
COLUMNS = ("sample", "step", *NUMBERS, "hardest_class")

_NAME = re.compile(r"visits_(\d+)_(\d+)\.parquet")


def column_types(precision: Precision) -> dict[str, np.dtype[Any]]:
    """The type of every column: 20 bytes a visit in "float16", 28 in "float32"."""
    return {name: np.dtype(precision if name in NUMBERS else "uint32") for name in COLUMNS}


def visits_name(step: int, process: int) -> str:
    """The file of what a process recorded up to `step`."""
    return f"visits_{step:08d}_{process:04d}.parquet"


def visits_files(folder: Path) -> dict[tuple[int, int], Path]:
    """(last step, process) → file, ascending."""
    matches = {path: _NAME.fullmatch(path.name) for path in folder.glob("visits_*.parquet")}
    return dict(sorted(((int(match[1]), int(match[2])), path) for path, match in matches.items() if match))


def drop_visits_after(folder: Path, step: int) -> None:
    """Delete what was recorded after the checkpoint of `step`: a run that goes on from there takes these steps again.

    Files end at checkpoints, so that none holds rows of both sides."""
    for (last_step, _), path in visits_files(folder).items():
        if last_step > step:
            path.unlink()


def parquet() -> Any:
    """The pyarrow.parquet module; ConfigError, which names the extra to install, if it is missing."""
    return import_parquet()
