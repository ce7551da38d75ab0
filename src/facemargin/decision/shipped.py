"""Calibrations of released models that come with the package: thresholds and rates measured on public faces, which is
all that is in their files."""

import json
from importlib import resources

from facemargin.decision.calibration import Calibration, calibration_from_json
from facemargin.interop.released import RELEASED
from facemargin.models.model import Model

_FOLDER = resources.files("facemargin.decision") / "calibrations"


def shipped_calibration(model: Model) -> Calibration | None:
    """The calibration that comes with the package for this model; None for any other model, one that was trained on
    from a released one, or read in another way.

    Examples:
        >>> import facemargin as fm
        >>> calibration = fm.decision.shipped_calibration(fm.load("sface"))
        >>> calibration.at(fmr=1e-3).target_fmr
        0.001
    """
    name = model.info.family
    file = _FOLDER / f"{name}.json"
    if name not in RELEASED or not file.is_file():
        return None
    calibration = calibration_from_json(json.loads(file.read_text(encoding="utf-8")))
    return calibration if calibration.belongs_to(model) else None
