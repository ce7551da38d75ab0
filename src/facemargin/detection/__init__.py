"""Finds faces in photographs, and aligns them. Importing it registers the detectors."""

from facemargin.detection.centerface import CenterFace
from facemargin.detection.detect import align, detect
from facemargin.detection.detector import Detector, create_detector, list_detectors, register_detector
from facemargin.detection.face import Face
from facemargin.detection.yunet import YuNet

__all__ = [
    "CenterFace",
    "Detector",
    "Face",
    "YuNet",
    "align",
    "create_detector",
    "detect",
    "list_detectors",
    "register_detector",
]
