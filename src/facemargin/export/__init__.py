"""Models as ONNX files, and running those."""

from facemargin.export.export import export_onnx

__all__ = ["export_onnx"]
