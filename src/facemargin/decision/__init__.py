"""Whether two faces are one person's: thresholds measured on pairs, and the decisions made by them."""

from facemargin.decision.calibration import Calibration
from facemargin.decision.measuring import calibrate
from facemargin.decision.verify import Verification, verify

__all__ = ["Calibration", "Verification", "calibrate", "verify"]
