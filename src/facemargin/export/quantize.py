"""Converts an ONNX graph to 8-bit integers, with ranges of activations measured on given faces.

Weights are rounded symmetrically for each output channel, activations for each tensor (ONNX's QDQ form). The
normalisation to length 1 after the last linear layer stays in float32.

Weights use 7 of the 8 bits, -64…64. A processor without VNNI sums two products of an activation 0…255 and a weight in
16 bits, and cuts off larger values: 2 · 255 · 127 = 64,770 becomes 32,767, so that the vectors differ from those on the
machine of the export. 2 · 255 · 64 = 32,640 fits.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource, ImageSubset
from facemargin.data.squareness import squashed_counted
from facemargin.export.exported_model import feed
from facemargin.export.quiet import quiet
from facemargin.extras import require_extra
from facemargin.models.info import ModelInfo
from facemargin.models.input import read_pixels
from facemargin.models.read_ahead import batches_of

CALIBRATION_IMAGES = 256
_BATCH_SIZE = 8


def quantize(graph: Any, info: ModelInfo, preprocess: bool, faces: ImageSource) -> Any:
    """The onnx.ModelProto of `graph` (see `onnx_graph`) in int8, calibrated on up to CALIBRATION_IMAGES of `faces`,
    chosen in equal steps. Raises CorruptImageError for an image that cannot be read."""
    require_extra("export", "onnx", "onnxruntime", what="quantising a model")
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with quiet(), tempfile.TemporaryDirectory() as folder:
        # The graph is passed as a file, because onnxruntime would move the weights of a ModelProto to a temporary file.
        float32, int8 = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph, float32)
        quantize_static(
            float32,
            int8,
            _Faces(graph.graph.input[0].name, info, preprocess, faces),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7 bits, for the weights only
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Gemm", "Add", "PRelu"],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(int8)


class _Faces:
    """The faces in the form that onnxruntime's calibration needs: batch by batch, None at the end."""

    def __init__(self, input_name: str, info: ModelInfo, preprocess: bool, faces: ImageSource) -> None:
        count = min(len(faces), CALIBRATION_IMAGES)
        chosen = ImageSubset(faces, np.linspace(0, len(faces) - 1, count).astype(np.int64))
        self._batches = _batches(input_name, info, preprocess, chosen)

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self._batches, None)


def _batches(
    input_name: str, info: ModelInfo, preprocess: bool, faces: ImageSource
) -> Iterator[dict[str, NDArray[np.generic]]]:
    with squashed_counted(faces) as source:
        for batch in batches_of(len(faces), _BATCH_SIZE):
            pixels_BCHW = read_pixels(source, info.input_size, batch)
            yield {input_name: feed(pixels_BCHW, info, preprocess)}
