"""Decides whether two faces show the same person, by thresholds that are measured on pairs."""

from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate, CertifiedFaces, CertifiedGallery
from facemargin.decision.certifying import certify
from facemargin.decision.measuring import calibrate
from facemargin.decision.shipped import shipped_calibration
from facemargin.decision.verify import Verification, verify

__all__ = [
    "Calibration",
    "Certificate",
    "CertifiedFaces",
    "CertifiedGallery",
    "Verification",
    "calibrate",
    "certify",
    "shipped_calibration",
    "verify",
]
