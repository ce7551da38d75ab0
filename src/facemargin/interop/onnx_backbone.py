"""`.onnx` recognisers, InsightFace's (w600k_r50 and others) and those that follow its convention, run by onnxruntime as
they are.

InsightFace's read RGB, (v − 127.5)/127.5; a graph with Sub and Mul among its first eight nodes, an export of MXNet,
does that itself and reads raw 0…255. They return the unnormalised vector. Nothing in a file says whose it is.

Shapes: B images, C colours, H × W pixels, D embedding size.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemargin.backbones import Backbone
from facemargin.backbones.base import IMAGE_CHANNELS, TOTAL_STRIDE
from facemargin.errors import CheckpointError, ConfigError
from facemargin.extras import require_extra

_NODES_LOOKED_AT = 8
_USUAL_SIZE = 112


@dataclass(frozen=True)
class OnnxModel:
    """The network, and whether it `normalizes` raw 0…255 itself."""

    backbone: "OnnxBackbone"
    normalizes: bool


class OnnxBackbone(Backbone):
    """A recogniser that onnxruntime runs on the CPU, wherever the images are. It has no weights to train or to save."""

    def __init__(self, session: Any, embedding_size: int, input_size: int) -> None:
        super().__init__(embedding_size, input_size)
        self._session = session
        self._input = session.get_inputs()[0].name
        # what the graph was exported with, one image at a time where that is 1
        batch = session.get_inputs()[0].shape[0]
        self._batch_size = batch if isinstance(batch, int) else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Features (B, D) in float32; raises ConfigError if the images do not fit the network."""
        self._check(images_BCHW)
        images = np.ascontiguousarray(images_BCHW.detach().float().cpu().numpy())
        size = self._batch_size or max(len(images), 1)
        features = [self._run(images[start : start + size], size) for start in range(0, len(images), size)]
        features_BD = np.concatenate(features) if features else np.empty((0, self.embedding_size), np.float32)
        return torch.from_numpy(features_BD).to(images_BCHW.device)

    def _run(self, images: Any, size: int) -> Any:
        full = images
        if self._batch_size is not None and len(images) < size:
            full = np.concatenate([images, np.zeros((size - len(images), *images.shape[1:]), np.float32)])
        features = self._session.run(None, {self._input: full})[0]
        return features[: len(images)].astype(np.float32, copy=False)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """Raises ConfigError: the graph is one piece."""
        raise ConfigError("an ONNX model only returns features, not the feature map; it cannot be trained")

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """Raises ConfigError: the graph is one piece."""
        return self.feature_map(map_BCHW)


def read_onnx(path: Path) -> OnnxModel:
    """The recogniser in an `.onnx` file; CheckpointError, naming it, if it is damaged or no recogniser, ConfigError
    where onnxruntime is not installed."""
    require_extra("export", "onnxruntime", what=f"{path} is an ONNX model; running it")
    import onnxruntime  # slow to import

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        inputs, outputs = session.get_inputs(), session.get_outputs()
        repr([(port.name, port.type, port.shape) for port in (*inputs, *outputs)])  # what is no text in it fails here
    except Exception as error:  # onnxruntime has many types of errors
        raise CheckpointError(f"{path} cannot be read as an ONNX model: {error}") from error
    if metadata.get("format") == "facemargin":
        raise CheckpointError(
            f"{path} was written by facemargin export: load the model it was made from, or run the file with "
            "facemargin.export.exported_model.ExportedModel"
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = list(inputs[0].shape) if inputs else []
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != IMAGE_CHANNELS or inputs[0].type != "tensor(float)":
        read_by_it = "; ".join(f"{port.name} {port.type} {port.shape}" for port in inputs)
        raise CheckpointError(
            f"{path} is not a recogniser that facemargin can run: it reads {read_by_it}, expected one input of images "
            "(B, 3, H, W) as float32"
        )
    height, width = (size if isinstance(size, int) else _USUAL_SIZE for size in shape[2:])
    if height != width or height < TOTAL_STRIDE:
        raise CheckpointError(f"{path} reads images of {height} × {width} pixels, expected square images")
    normalizes = _normalizes_itself(path)
    embedding_size = _embedding_size(path, session, outputs, height)
    return OnnxModel(OnnxBackbone(session, embedding_size, height), normalizes)


def _embedding_size(path: Path, session: Any, outputs: Any, size: int) -> int:
    shape = outputs[0].shape if outputs else []
    if len(shape) == 2 and isinstance(shape[1], int):
        return shape[1]
    try:
        blank = np.zeros((1, IMAGE_CHANNELS, size, size), np.float32)
        output_shape = session.run(None, {session.get_inputs()[0].name: blank})[0].shape
    except Exception as error:
        raise CheckpointError(f"{path} does not run: {error}") from error
    if len(output_shape) != 2:
        raise CheckpointError(
            f"{path} is not a recogniser that facemargin can run: it returns an array of shape {tuple(output_shape)} "
            "for one image, expected features (B, D)"
        )
    return int(output_shape[1])


def _normalizes_itself(path: Path) -> bool:
    """Whether Sub and Mul are among the first nodes: InsightFace's own rule, by their names or operations."""
    require_extra("export", "onnx", what=f"{path}: reading how an ONNX model wants its pixels")
    import onnx

    try:
        nodes = onnx.load(str(path), load_external_data=False).graph.node[:_NODES_LOOKED_AT]
        subtracts = any(node.name.startswith(("Sub", "_minus")) or node.op_type == "Sub" for node in nodes)
        multiplies = any(node.name.startswith(("Mul", "_mul")) or node.op_type == "Mul" for node in nodes)
    except Exception as error:  # protobuf's, and a damaged name is bytes
        raise CheckpointError(f"{path} cannot be read as an ONNX model: {error}") from error
    return subtracts and multiplies
