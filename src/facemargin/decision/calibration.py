"""A model's thresholds on score and quality for the decision "same person", measured on verification pairs and stored
in a JSON file.

Shapes: K pairs, G genuine pairs, P operating points.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.decision.guarantee import rounded_up
from facemargin.detection.detector import (
    DEFAULT_DETECTOR,
    Detector,
    Setting,
    differing_settings,
    identify_detector,
)
from facemargin.errors import ConfigError, DataError
from facemargin.files.atomic import write_text_atomically
from facemargin.models.model import Model
from facemargin.models.views import Views

FORMAT = "facemargin calibration 2"

EARLIER = "facemargin calibration 1"
"""Its intervals of the FMR rest on pairs, some of them as if nobody were in two, and are not read."""

_SURE = 2
"""An FMR whose estimated interval ends above this multiple of it is doubted."""


@dataclass(frozen=True)
class Threshold:
    """If scores at or above `threshold` are accepted, the calibration pairs are falsely matched at a rate of `fmr` ≤
    `target_fmr`.

    impostors_accepted: the number of these pairs. estimated: where the FMR of other people probably is (95 %), all
    people of the pairs compared with each other and everybody counted alike; None if the pairs do not say who is in the
    images, if nobody matches another, and in files of earlier versions. certified: the FMR that other people do not
    exceed, with 95 % confidence for all thresholds of the calibration together, whatever they are like; None if it is
    not known who is in the images. For a lower one at a threshold chosen for it, see `certify`. fnmr: the rate of
    genuine pairs of sufficient quality that are falsely not matched. quality_floor: images of lower quality are too
    poor. too_poor: the share of all pairs with such an image.
    """

    target_fmr: float
    threshold: float
    fmr: float
    impostors_accepted: int
    fnmr: float
    quality_floor: float
    too_poor: float
    estimated: tuple[float, float] | None = None
    certified: float | None = None


@dataclass(frozen=True, repr=False)
class Calibration:
    """The thresholds of a model, from the highest FMR to the lowest that the pairs can measure.

    pairs, impostors, genuine: the name of the calibration pairs and their numbers. views: the views of every image.
    quality: how the model measures quality. floor_rule: how the quality floors were chosen. fingerprint: identifies the
    model. detector, detector_settings: the name and settings of the detector that found the calibration faces in
    photographs. The name is None if the images were used as they are, or if the file does not say. The settings are
    None if they are not known.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> calibration = fm.calibrate(model, fm.open_verification("orl:1-4"))
        >>> calibration.genuine, calibration.impostors
        (180, 600)
        >>> calibration.at(fmr=0.1).target_fmr
        0.1
        >>> calibration
        Calibration(180 genuine and 600 impostor pairs of 'orl:1-4', FMR 0.5 to 0.002)
    """

    pairs: str
    impostors: int
    genuine: int
    quality: str
    views: Views
    floor_rule: str
    fingerprint: list[float]
    thresholds: tuple[Threshold, ...]
    detector: str | None = None
    detector_settings: dict[str, Setting] | None = None

    def __repr__(self) -> str:
        pairs = f"{self.genuine:,} genuine and {self.impostors:,} impostor pairs of {self.pairs!r}"
        rates = " to ".join(f"{point.target_fmr:g}" for point in (self.thresholds[0], self.thresholds[-1]))
        found_by = f", faces found by {self.detector}" if self.detector else ""
        return f"Calibration({pairs}, FMR {rates}{found_by})"

    def at(self, fmr: float) -> Threshold:
        """The threshold measured for `fmr`, or for the next lower measured rate, which is stricter.

        Raises ConfigError for a rate outside (0, 1) and for a rate that is too low to be measured with the calibration
        pairs.
        """
        if not 0 < fmr < 1:
            raise ConfigError(f"the FMR is {fmr}, expected a number between 0 and 1, such as 1e-3")
        usable = [point for point in self.thresholds if point.target_fmr <= fmr * (1 + 1e-9)]
        if not usable:
            lowest = min(point.target_fmr for point in self.thresholds)
            raise ConfigError(
                f"an FMR of {fmr:g} cannot be measured with the {self.impostors:,} impostor pairs of "
                f"{self.pairs}: at least {math.ceil(1 / fmr):,} are needed. The lowest rate here is {lowest:g}; "
                "calibrate on more people, or choose a higher rate. What can be promised depends on the number of "
                "people alone: facemargin certify"
            )
        return max(usable, key=lambda point: point.target_fmr)

    def doubt(self, fmr: float) -> str:
        """A warning about the threshold for `fmr`; empty if the FMR of other people is estimated to be at most twice
        that."""
        point = self.at(fmr)
        if point.estimated is not None and point.estimated[1] <= _SURE * point.target_fmr:
            return ""
        certified = "" if point.certified is None else f"; certified is only {100 * rounded_up(point.certified):.2g} %"
        if point.estimated is not None:
            low, high = point.estimated
            known = f"of other people it is estimated to be between {_percent(low)} and {_percent(high)}"
        elif point.certified is not None:
            known = "none of the people matches another there, so that no rate of other people can be estimated"
        else:
            known = "the calibration does not say who is in its images, so that nothing is known of other people"
        return (
            f"FMR {point.target_fmr:g} is the rate of the {self.impostors:,} impostor pairs of {self.pairs}; {known}"
            f"{certified}. facemargin certify finds what can be promised, and says how many people it needs"
        )

    def doubt_detector(self, detector: Detector | str | None) -> str:
        """A warning if the faces to decide on were not, or perhaps not, found in the same way as the faces of the
        calibration: by another detector, with other settings, or without a detector (None). Empty otherwise.

        A calibration without a detector is taken to have faces that the default detector would find.
        """
        if detector is None:
            return "" if self.detector is None else _doubt_without_detector(self.detector)
        name, settings = identify_detector(detector)
        if self.detector is None:
            if name == DEFAULT_DETECTOR and settings == identify_detector(DEFAULT_DETECTOR)[1]:
                return ""
            return (
                f"the calibration does not say which detector found its faces; if it was not {name} with the same "
                "settings, the error rates may differ: calibrate with this detector"
            )
        if name != self.detector:
            return (
                f"the thresholds were measured on faces that {self.detector} found, but {name} finds these faces and "
                "crops them differently, so the error rates may differ: use the same detector, or calibrate with this "
                "one"
            )
        if self.detector_settings is None:
            return (
                f"the calibration does not say with which settings {name} found its faces; with other settings, the "
                "error rates may differ: calibrate again"
            )
        if settings is None:
            return (
                f"the detector {name} does not say with which settings it finds faces (its attribute `settings`); with "
                "other settings than those of the calibration, the error rates may differ"
            )
        if settings == self.detector_settings:
            return ""
        return (
            f"the thresholds were measured on faces that {name} found with the settings "
            f"{differing_settings(self.detector_settings, settings)}, but it finds these faces with "
            f"{differing_settings(settings, self.detector_settings)}, so the error rates may differ: use the same "
            "settings, or calibrate with these"
        )

    def belongs_to(self, model: Model) -> bool:
        """Whether the thresholds were measured with this model: by its answers, whatever file it is from."""
        return model.info.quality == self.quality and is_same_model(fingerprint(model, self.views), self.fingerprint)

    def require_model(self, model: Model) -> None:
        """Raise ConfigError if the thresholds belong to another model."""
        if not self.belongs_to(model):
            raise ConfigError(
                "this calibration belongs to another model (its answers differ), and scores and qualities of "
                "different models cannot be compared; run facemargin calibrate with the model that decides"
            )

    def save(self, path: Path | str) -> None:
        """Write to a .json file that `load` reads back. It is written completely or not at all."""
        write_text_atomically(Path(path), self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> "Calibration":
        """Read a file of `save` or `facemargin calibrate`. Raises DataError, which names the file, for any other
        file."""
        try:
            return calibration_from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise DataError(
                f"{path} cannot be read as a calibration: {error.strerror}; facemargin calibrate writes one"
            ) from error
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            problem = error if isinstance(error, ValueError) else repr(error)
            raise DataError(f"{path} cannot be read as a calibration of facemargin: {problem}") from error

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def _doubt_without_detector(detector: str) -> str:
    return (
        f"the thresholds were measured on faces that {detector} found in photographs, but these images are used as "
        f"they are; unless {detector} aligned them, the error rates may differ: use the same detector (--detect), or "
        "calibrate on images that were aligned like these"
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"


def calibration_from_json(content: dict[str, Any]) -> Calibration:
    """The calibration in the content of a file; ValueError, TypeError, LookupError or AttributeError where it is
    none."""
    format_ = content.pop("format", None)
    if format_ not in (FORMAT, EARLIER):
        raise ValueError(f"its format is not {FORMAT!r}")
    points = content.pop("thresholds")
    if format_ == EARLIER:
        points = [{name: value for name, value in point.items() if name != "fmr_interval"} for point in points]
    thresholds = tuple(Threshold(**point) for point in points)
    numbers = [
        value
        for point in thresholds
        for value in (point.target_fmr, point.threshold, point.fmr, point.fnmr, point.quality_floor)
    ]
    if not thresholds or any(type(value) not in (int, float) or not math.isfinite(value) for value in numbers):
        raise ValueError("a threshold, rate or quality floor is missing or not a finite number")
    thresholds = tuple(replace(point, estimated=_rates(point.estimated)) for point in thresholds)
    for point in thresholds:
        if point.certified is not None and not _is_rate(point.certified):
            raise ValueError(f"certified is {point.certified!r}")
    calibration = Calibration(thresholds=thresholds, **content)
    if type(calibration.impostors) is not int or calibration.impostors < 1:
        raise ValueError(f"impostors is {calibration.impostors!r}")
    if not all(type(value) in (int, float) for value in calibration.fingerprint):
        raise ValueError("the fingerprint is not a list of numbers")
    if not isinstance(calibration.detector, str | None):
        raise ValueError(f"detector is {calibration.detector!r}")
    settings = calibration.detector_settings
    if settings is not None and not (
        isinstance(settings, dict) and all(isinstance(value, Setting) for value in settings.values())
    ):
        raise ValueError(f"detector_settings are {settings!r}")
    return calibration


def _rates(interval: Any) -> tuple[float, float] | None:
    if interval is None:
        return None
    low, high = interval
    if not (_is_rate(low) and _is_rate(high)):
        raise ValueError(f"estimated is {interval!r}")
    return low, high


def _is_rate(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1
