"""Putting a trained model to work."""

from facemargin.inference.calibrate import calibrate
from facemargin.inference.calibration import Calibration
from facemargin.inference.detect import align, detect
from facemargin.inference.export import export_onnx
from facemargin.inference.load import load
from facemargin.inference.model import Model
from facemargin.inference.model_file import ModelInfo, save_model
from facemargin.inference.verify import Verification, verify
from facemargin.inference.views import image_views

__all__ = [
    "Calibration",
    "Model",
    "ModelInfo",
    "Verification",
    "align",
    "calibrate",
    "detect",
    "export_onnx",
    "image_views",
    "load",
    "save_model",
    "verify",
]
