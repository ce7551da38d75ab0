"""What comes with the package for released models, measured on public faces: calibrations, whose files have thresholds
and rates only, and checks of quality."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Any, Protocol, TypeVar

from facemargin.decision.calibration import Calibration, calibration_from_json
from facemargin.interop.released import RELEASED
from facemargin.models.model import Model

FOLDER = resources.files("facemargin.decision")


class OfAModel(Protocol):
    """What was measured with one model."""

    def belongs_to(self, model: Model) -> bool: ...


Shipped = TypeVar("Shipped", bound=OfAModel)


def shipped(kind: str, model: Model, from_json: Callable[[dict[str, Any]], Shipped]) -> Shipped | None:
    """What the folder `kind` has for this model; None for any other model, one that was trained on from a released one,
    or read in another way."""
    name = model.info.family
    file = FOLDER / kind / f"{name}.json"
    if name not in RELEASED or not file.is_file():
        return None
    found = from_json(json.loads(file.read_text(encoding="utf-8")))
    return found if found.belongs_to(model) else None


def shipped_calibration(model: Model) -> Calibration | None:
    """The calibration that comes with the package for this model; None for any other model, one that was trained on
    from a released one, or read in another way.

    Examples:
        >>> import facemargin as fm
        >>> calibration = fm.decision.shipped_calibration(fm.load("sface"))
        >>> calibration.at(fmr=1e-3).target_fmr
        0.001
    """
    return shipped("calibrations", model, calibration_from_json)


def measured_elsewhere(calibration: Calibration) -> str:
    """On whom the thresholds that come with the package were measured, and what that means."""
    return (
        f"the thresholds were measured on {calibration.pairs}: {calibration.genuine:,} genuine and "
        f"{calibration.impostors:,} impostor pairs. On your cameras and people the error rates may be others: measure "
        "them with facemargin calibrate, and give --calibration"
    )
