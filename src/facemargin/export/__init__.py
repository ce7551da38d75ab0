"""Exporting models to ONNX files, and running these files."""

from facemargin.export.export import export_onnx

__all__ = ["export_onnx"]
