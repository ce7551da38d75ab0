"""The scores of one system on one set of image pairs. Evaluations store them, and reports read them.

Shapes: K pairs.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_array
from facemargin.files.npz import load_arrays


@dataclass(frozen=True, repr=False)
class PairScores:
    """The similarities of K image pairs by one system, and the facts about each pair that the metrics need.

    `scores_K`: higher means more alike. `same_K`: True for genuine pairs. Qualities (higher is better), identity
    numbers of both sides and fold numbers are optional, each (K,).

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> found = fm.evaluation.PairScores("mine", "toy", np.array([0.9, 0.2]), np.array([True, False]))
        >>> fm.evaluation.summarize(found, bootstrap=None).roc.auc
        1.0
        >>> found
        PairScores('mine' on 'toy': 2 pairs, 1 of them genuine)
    """

    system: str
    dataset: str
    scores_K: NDArray[np.float64]
    same_K: NDArray[np.bool_]
    quality_a_K: NDArray[np.float64] | None = None
    quality_b_K: NDArray[np.float64] | None = None
    identities_a_K: NDArray[np.int64] | None = None
    identities_b_K: NDArray[np.int64] | None = None
    folds_K: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name.endswith("_K")):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_array(name, getattr(self, name)))
        for name in (field.name for field in fields(self) if field.name.endswith("_K")):
            values = getattr(self, name)
            if values is not None and values.shape != self.scores_K.shape:
                raise DataError(f"{name} has shape {values.shape}, expected {self.scores_K.shape} like scores_K")
        if self.same_K.dtype != np.bool_:
            raise DataError(f"same_K is {self.same_K.dtype}, expected bool: pass labels == 1")

    def __repr__(self) -> str:
        pairs = counted(len(self.same_K), "pair")
        return f"PairScores({self.system!r} on {self.dataset!r}: {pairs}, {int(self.same_K.sum()):,} of them genuine)"

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name.endswith("_K")}
        names = json.dumps({"system": self.system, "dataset": self.dataset})
        with path.open("wb") as file:
            np.savez_compressed(file, names=np.array(names), **{k: v for k, v in arrays.items() if v is not None})

    @classmethod
    def load(cls, path: Path) -> "PairScores":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            return cls(**json.loads(str(arrays.pop("names"))), **arrays)
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a file of pair scores: {error}") from error
