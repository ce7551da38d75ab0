"""A recogniser as an ONNX graph: from pixels or normalised images to unit vectors, norms and qualities.

Shapes: B images, H × W pixels, C colours, D embedding size.
"""

import copy
import json
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from facemargin.data.images.normalization import number_text
from facemargin.errors import ConfigError
from facemargin.export.quiet import quiet
from facemargin.models.fast import folded_recognizer
from facemargin.models.info import ModelInfo
from facemargin.models.input import network_input
from facemargin.models.recognizer import NoBackbone, Recognizer
from facemargin.models.views import image_views
from facemargin.version import __version__

ExportedViews = Literal["one", "flip"]

OUTPUTS = ("embedding", "norm", "quality")

# The opset that the exporter writes without conversion, which every onnxruntime of the last years can read.
_OPSET = 18

# Protobuf's limit for one file, minus the size of the graph itself.
_LARGEST_WEIGHTS = 2**31 - 2**24


class ExportedRecognizer(nn.Module):
    """Aligned faces → (embedding (B, D) of length 1, norm (B,), quality (B,)), as `Model.embed` computes them.

    With `preprocess` it reads uint8 RGB pixels (B, H, W, C), otherwise the input of the network: (B, C, H, W), (pixel −
    mean)/std in its colour order.
    """

    def __init__(self, recognizer: Recognizer, info: ModelInfo, preprocess: bool, views: ExportedViews) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.info = info
        self.preprocess = preprocess
        self.views: ExportedViews = views

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.preprocess:
            images = network_input(images.permute(0, 3, 1, 2), self.info)
        views = image_views(images, self.views)
        output = self.recognizer(torch.cat(views))
        features_BD = output.features_BD.unflatten(0, (len(views), -1)).mean(0)
        norm_B = torch.linalg.vector_norm(features_BD, dim=1)
        embedding_BD = features_BD / torch.where(norm_B > 0, norm_B, 1.0)[:, None]
        if output.quality_B is None:
            return embedding_BD, norm_B, norm_B.clone()
        return embedding_BD, norm_B, output.quality_B.unflatten(0, (len(views), -1)).mean(0)


def input_name(preprocess: bool) -> str:
    return "pixels" if preprocess else "images"


def onnx_graph(recognizer: Recognizer, info: ModelInfo, preprocess: bool, views: ExportedViews) -> Any:
    """The onnx.ModelProto for any batch size, with metadata that describe its input.

    Raises ConfigError for a model that cannot be exported: one with a reconstruction only, an ONNX model, or more than
    2 GiB of weights.
    """
    _require_exportable(recognizer, info)
    folded = folded_recognizer(copy.deepcopy(recognizer).cpu())
    network = ExportedRecognizer(folded, info, preprocess, views).eval()
    # Two images, because a size of 1 in the example would be fixed to 1.
    size = info.input_size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8) if preprocess else torch.zeros(2, 3, size, size)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=[input_name(preprocess)],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=_OPSET,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(f"the network {info.backbone} cannot be written as an ONNX graph: {error}") from error
    if program is None:
        raise ConfigError(f"torch.onnx.export returned no graph for the network {info.backbone}")
    graph = program.model_proto
    for key, value in _metadata(info, preprocess, views).items():
        graph.metadata_props.add(key=key, value=value)
    return graph


def _require_exportable(recognizer: Recognizer, info: ModelInfo) -> None:
    if isinstance(recognizer.backbone, NoBackbone):
        raise ConfigError("this model only has a face reconstruction; only recognisers can be exported")
    weights = sum(tensor.numel() * tensor.element_size() for tensor in recognizer.state_dict().values())
    if not weights:
        raise ConfigError("this model is an ONNX model already: copy its file instead")
    if weights > _LARGEST_WEIGHTS:
        raise ConfigError(
            f"the weights of {info.backbone} take {weights:,} bytes, but an ONNX file can have at most 2 GiB"
        )


def _metadata(info: ModelInfo, preprocess: bool, views: ExportedViews) -> dict[str, str]:
    size = info.input_size
    if preprocess:
        feed = f"pixels: uint8 (batch, {size}, {size}, 3), RGB, aligned faces as they are"
    else:
        feed = (
            f"images: float32 (batch, 3, {size}, {size}), {info.color_order}, aligned faces, "
            f"(pixel - {number_text(info.mean)}) / {number_text(info.std)} of 0...255"
        )
    seen = "averaged over the image and its mirror" if views == "flip" else "of the image alone"
    return {
        "format": "facemargin",
        "facemargin_version": __version__,
        "input": feed,
        "outputs": f"embedding (batch, {info.embedding_size}) of length 1, norm (batch), quality (batch), {seen}",
        "quality": "predicted certainty ratio" if info.quality == "crfiqa" else "norm",
        "views": views,
        "model": json.dumps(asdict(info)),
    }
