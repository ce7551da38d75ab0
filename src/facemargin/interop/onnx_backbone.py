"""`.onnx` recognisers: rebuilt as one of facemargin's networks where it has the graph's, else run by onnxruntime.

InsightFace's (w600k_r50 and others) read RGB, (v − 127.5)/127.5; a graph with Sub and Mul among its first eight nodes,
an export of MXNet, does that itself and reads raw 0…255. They return the unnormalised vector. Nothing in a file says
whose it is.

Shapes: B images, C colours, H × W pixels, D embedding size.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemargin.backbones import Backbone
from facemargin.errors import CheckpointError, ConfigError
from facemargin.extras import require_extra
from facemargin.interop.onnx_graph import compute_constants, read_graph, remove_false_inputs
from facemargin.interop.onnx_mobilenet import NAME, as_mobilenet
from facemargin.interop.onnx_session import open_session
from facemargin.interop.onnx_signature import Layout, Signature, read_signature

_NODES_LOOKED_AT = 8


@dataclass(frozen=True)
class OnnxNetwork:
    """The network: ours, with the `name` and `options` it was created with, where the graph is one that we have, else
    one that onnxruntime runs, "onnx". mean, std: the network reads (pixel − mean)/std because of what the graph itself
    does with raw pixels, None where the graph does nothing. notes: what was found out by running it, for people."""

    backbone: Backbone
    name: str = "onnx"
    options: dict[str, Any] = field(default_factory=dict)
    mean: float | None = None
    std: float | None = None
    notes: tuple[str, ...] = ()


class OnnxBackbone(Backbone):
    """A recogniser that onnxruntime runs on the CPU, wherever the images are. It has no weights to train or to save."""

    def __init__(self, session: Any, signature: Signature) -> None:
        super().__init__(signature.embedding_size, signature.size)
        self._session, self._signature = session, signature

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Features (B, D) in float32; raises ConfigError if the images do not fit the network, and CheckpointError
        where it does not run."""
        self._check(images_BCHW)
        images = images_BCHW.detach().float().cpu().numpy()
        size = self._signature.batch or max(len(images), 1)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        features = [self._signature.run(self._session, part) for part in parts]
        features_BD = np.concatenate(features) if features else np.empty((0, self.embedding_size), np.float32)
        return torch.from_numpy(features_BD).to(images_BCHW.device)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """Raises ConfigError: the graph is one piece."""
        raise ConfigError("an ONNX model only returns features, not the feature map; it cannot be trained")

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """Raises ConfigError: the graph is one piece."""
        return self.feature_map(map_BCHW)


def read_onnx(path: Path, layout: Layout | None = None) -> OnnxNetwork:
    """The recogniser in an `.onnx` file, whose images are in the order `layout`, where its input does not say it.

    Raises CheckpointError, naming the file, if it is damaged or no recogniser, ConfigError where onnx is not installed,
    or onnxruntime for a network that facemargin does not have.
    """
    model = read_graph(path)
    if any(entry.key == "format" and entry.value == "facemargin" for entry in model.metadata_props):
        raise CheckpointError(
            f"{path} was written by facemargin export: load the model it was made from, or run the file with "
            "facemargin.export.exported_model.ExportedModel"
        )
    try:
        remove_false_inputs(model)
        compute_constants(model)
        remove_false_inputs(model)
        known = as_mobilenet(model)
        normalizes = _normalizes_itself(model)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # onnx has many types of errors, and a damaged name is bytes
        raise CheckpointError(f"{path} cannot be read as an ONNX model: {error}") from error
    if known is not None and layout in (None, "NCHW"):
        return OnnxNetwork(known.backbone, NAME, known.options, known.mean, known.std)
    require_extra("export", "onnxruntime", what=f"{path} is an ONNX model; running it")
    session = open_session(_source(path, model), str(path))
    signature = read_signature(path, session, layout, normalizes)
    backbone = OnnxBackbone(session, signature)
    if normalizes or signature.type is np.uint8:
        return OnnxNetwork(backbone, mean=0.0, std=1.0, notes=signature.notes)
    return OnnxNetwork(backbone, notes=signature.notes)


def _source(path: Path, model: Any) -> str | bytes:
    """The model's content, or its file where it is beyond 2 GB, of which protobuf makes no message."""
    try:
        content: bytes = model.SerializeToString()
    except ValueError:
        return str(path)
    return content


def _normalizes_itself(model: Any) -> bool:
    """Whether Sub and Mul are among the first nodes: InsightFace's own rule, by their names or operations."""
    nodes = model.graph.node[:_NODES_LOOKED_AT]
    subtracts = any(node.name.startswith(("Sub", "_minus")) or node.op_type == "Sub" for node in nodes)
    multiplies = any(node.name.startswith(("Mul", "_mul")) or node.op_type == "Mul" for node in nodes)
    return subtracts and multiplies
