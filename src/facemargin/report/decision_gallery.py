"""Decisions of a calibrated model on pairs of pictures, and how many of each kind it took.

Shapes: E examples of two pictures each, H × W pixels, C = 3 (RGB).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from facemargin.decision.verify import Decision
from facemargin.errors import DataError
from facemargin.files.npz import load_arrays


@dataclass(frozen=True)
class Decided:
    """A decision (a text of `Decision`) on two pictures, which `caption` describes."""

    caption: str
    decision: str
    score: float
    quality_a: float
    quality_b: float


@dataclass(frozen=True)
class DecisionCounts:
    """How often each decision was taken on the pairs that `pairs` describes, which are genuine or not."""

    pairs: str
    genuine: bool
    same: int
    different: int
    too_poor: int


@dataclass(frozen=True)
class DecisionGallery:
    """`images_E2HWC` uint8 RGB, the pictures of `examples`. A pair is the same person from a score of `threshold` on,
    if both qualities reach `quality_floor`. The threshold has the false match rate `fmr` on the pairs that
    `measured_on` describes; `doubt`, if not empty, says why it may have another one on faces that were found like
    these. `counts` of larger sets of pairs. Raises DataError for parts that do not fit together."""

    images_E2HWC: NDArray[np.uint8]
    examples: list[Decided]
    counts: list[DecisionCounts]
    threshold: float
    quality_floor: float
    fmr: float
    measured_on: str
    credit: str
    doubt: str = ""

    def __post_init__(self) -> None:
        shape = self.images_E2HWC.shape
        if self.images_E2HWC.dtype != np.uint8 or len(shape) != 5 or (shape[1], shape[4]) != (2, 3) or 0 in shape[2:4]:
            raise DataError(
                f"pictures of decisions are {self.images_E2HWC.dtype} {shape}, expected uint8 (E, 2, H, W, 3)"
            )
        if len(self.examples) != shape[0]:
            raise DataError(f"{len(self.examples)} decisions have pictures of shape {shape}; expected two each")
        numbers = [self.threshold, self.quality_floor, self.fmr]
        numbers += [number for one in self.examples for number in (one.score, one.quality_a, one.quality_b)]
        if not all(type(number) is float and np.isfinite(number) for number in numbers):
            raise DataError(f"decisions have the numbers {numbers}, expected finite ones")
        unknown = [one.decision for one in self.examples if one.decision not in get_args(Decision)]
        if unknown:
            raise DataError(f"the decision is {unknown[0]!r}, expected one of {', '.join(get_args(Decision))}")
        counted = [number for row in self.counts for number in (row.same, row.different, row.too_poor)]
        if not all(type(number) is int and number >= 0 for number in counted) or not all(
            isinstance(row.genuine, bool) for row in self.counts
        ):
            raise DataError(f"decisions were counted as {counted}, expected whole numbers")
        texts = [self.measured_on, self.credit, self.doubt, *(one.caption for one in self.examples)]
        if not all(isinstance(text, str) for text in (*texts, *(row.pairs for row in self.counts))):
            raise DataError("a caption of the decisions is not a text")

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        content = {name: value for name, value in vars(self).items() if name != "images_E2HWC"}
        content["examples"], content["counts"] = (
            [asdict(row) for row in rows] for rows in (self.examples, self.counts)
        )
        with path.open("wb") as file:
            np.savez_compressed(file, images_E2HWC=self.images_E2HWC, text=np.array(json.dumps(content)))

    @classmethod
    def load(cls, path: Path) -> "DecisionGallery":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            content: dict[str, Any] = json.loads(str(arrays["text"]))
            examples = [Decided(**row) for row in content.pop("examples")]
            counts = [DecisionCounts(**row) for row in content.pop("counts")]
            return cls(arrays["images_E2HWC"], examples, counts, **content)
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a gallery of decisions: {error}") from error
