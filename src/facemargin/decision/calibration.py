"""Where a model's scores mean "same", and from which quality on: measured on verification pairs, kept in a JSON file.

Shapes: K pairs, G genuine pairs, P operating points.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.errors import ConfigError, DataError
from facemargin.files.atomic import write_text_atomically
from facemargin.models.model import Model
from facemargin.models.views import Views

FORMAT = "facemargin calibration 1"
ENOUGH = 10
"""Impostor pairs that should be accepted at a threshold for its FMR to be known: with fewer, it is a guess."""


@dataclass(frozen=True)
class Threshold:
    """Accept at or above `threshold`, and the calibration pairs are falsely matched at a rate of `fmr` ≤ `target_fmr`.

    impostors_accepted: how many of them. fmr_interval: 95 %, by resampling people where the pairs name them, else
    Wilson's, as if pairs were independent. fnmr: genuine pairs of sufficient quality that are falsely not matched.
    quality_floor: images below it are too poor; too_poor: the share of all pairs with such an image.
    """

    target_fmr: float
    threshold: float
    fmr: float
    fmr_interval: tuple[float, float]
    impostors_accepted: int
    fnmr: float
    quality_floor: float
    too_poor: float


@dataclass(frozen=True)
class Calibration:
    """A model's thresholds, from the highest FMR to the lowest that the pairs can tell.

    pairs, impostors, genuine: what they were measured on. views: of every image. quality: what the model takes for it.
    floor_rule: how the quality floors came about. fingerprint: whose thresholds they are.
    """

    pairs: str
    impostors: int
    genuine: int
    quality: str
    views: Views
    floor_rule: str
    fingerprint: list[float]
    thresholds: tuple[Threshold, ...]

    def at(self, fmr: float) -> Threshold:
        """The threshold measured for `fmr`, or for the next lower rate that was measured, which is the stricter.

        Raises ConfigError for a rate outside (0, 1) and for one lower than the calibration pairs can tell.
        """
        if not 0 < fmr < 1:
            raise ConfigError(f"the FMR is {fmr}, expected a number between 0 and 1, such as 1e-3")
        usable = [point for point in self.thresholds if point.target_fmr <= fmr * (1 + 1e-9)]
        if not usable:
            lowest = min(point.target_fmr for point in self.thresholds)
            raise ConfigError(
                f"an FMR of {fmr:g} cannot be told from the {self.impostors:,} impostor pairs of {self.pairs}: it "
                f"takes {math.ceil(1 / fmr):,} at the least, and {math.ceil(ENOUGH / fmr):,} to be sure. The lowest "
                f"here is {lowest:g}; calibrate on more pairs, or ask for a higher rate"
            )
        return max(usable, key=lambda point: point.target_fmr)

    def doubt(self, fmr: float) -> str:
        """What there is to say against the threshold for `fmr`; empty where enough impostors stand behind it."""
        point = self.at(fmr)
        if self.impostors * point.target_fmr >= ENOUGH * (1 - 1e-9):
            return ""
        low, high = point.fmr_interval
        return (
            f"FMR {point.target_fmr:g} rests on {self.impostors:,} impostor pairs, of which {point.impostors_accepted} "
            f"are accepted; {math.ceil(ENOUGH / point.target_fmr):,} should stand behind it. The true rate may well "
            f"lie between {low:.2g} and {high:.2g}"
        )

    def require_model(self, model: Model) -> None:
        """Raises ConfigError where the thresholds are another model's."""
        if model.info.quality != self.quality or not is_same_model(fingerprint(model, self.views), self.fingerprint):
            raise ConfigError(
                "this calibration is of another model (it answers otherwise): scores and qualities of different models "
                "do not compare; run facemargin calibrate with the model that is to decide"
            )

    def save(self, path: Path | str) -> None:
        """Write to a .json file that `load` reads back, whole or not at all."""
        write_text_atomically(Path(path), self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> "Calibration":
        """A file that `save` or `facemargin calibrate` wrote; DataError, naming it, for anything else."""
        try:
            return _from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise DataError(
                f"{path} cannot be read as a calibration: {error.strerror}; facemargin calibrate writes one"
            ) from error
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            problem = error if isinstance(error, ValueError) else repr(error)
            raise DataError(f"{path} cannot be read as a calibration of facemargin: {problem}") from error

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def _from_json(content: dict[str, Any]) -> Calibration:
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"it does not say {FORMAT!r}")
    thresholds = tuple(Threshold(**point) for point in content.pop("thresholds"))
    numbers = [
        value
        for point in thresholds
        for value in (point.target_fmr, point.threshold, point.fmr, point.fnmr, point.quality_floor)
    ]
    if not thresholds or any(type(value) not in (int, float) or not math.isfinite(value) for value in numbers):
        raise ValueError("a threshold, rate or quality floor is missing or not a finite number")
    thresholds = tuple(
        replace(point, fmr_interval=(point.fmr_interval[0], point.fmr_interval[1])) for point in thresholds
    )
    calibration = Calibration(thresholds=thresholds, **content)
    if type(calibration.impostors) is not int or calibration.impostors < 1:
        raise ValueError(f"impostors is {calibration.impostors!r}")
    if not all(type(value) in (int, float) for value in calibration.fingerprint):
        raise ValueError("the fingerprint is not a list of numbers")
    return calibration
