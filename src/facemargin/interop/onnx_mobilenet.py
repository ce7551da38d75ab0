"""Graphs that compute what the backbone "mobilenet_v1" does, such as SFace's, as that backbone: it embeds in batches,
is folded, exported and trained on, and takes bf16 and a GPU.

Shapes: D embedding size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facemargin.backbones.mobilenet import BLOCKS, MobileNet
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.blank import blank_networks

#: of the backbone in `list_backbones`
NAME = "mobilenet_v1"

_LEFT_OUT = ("Dropout", "Identity")


@dataclass(frozen=True)
class MobileNetGraph:
    """The network, in evaluation mode, and the (pixel − mean)/std that the graph does itself."""

    backbone: MobileNet
    options: dict[str, Any]
    mean: float
    std: float


def as_mobilenet(model: Any) -> MobileNetGraph | None:
    """The network of an `onnx.ModelProto` that onnx_graph.py has cleaned, or None where the graph is another's.

    Raises CheckpointError where it is the network, with weights that are not finite.
    """
    from onnx import numpy_helper

    graph = model.graph
    nodes = [node for node in graph.node if node.op_type not in _LEFT_OUT]
    convolution = ["Conv", "BatchNormalization", "PRelu"]
    operations = ["Sub", "Mul", *convolution * (1 + 2 * len(BLOCKS)), "BatchNormalization", "Flatten", "Gemm"]
    if [node.op_type for node in nodes] != [*operations, "BatchNormalization"] or not _is_a_chain(graph):
        return None
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    subtract, multiply, *layers = nodes
    try:
        first, last = weights[layers[0].input[1]], weights[layers[-2].input[1]]
        mean, factor = (float(weights[node.input[1]].reshape(())) for node in (subtract, multiply))
        side = int(graph.input[0].type.tensor_type.shape.dim[2].dim_value)
        options = {"input_size": side, "batch_norm_eps": round(_attributes(layers[1])["epsilon"], 9)}
        with blank_networks():
            backbone = MobileNet(len(last), first.shape[1], **options).eval()
        state = dict(_state(backbone, layers, weights))
        backbone.load_state_dict(state, assign=True)
        std = 1 / factor
    except (ArithmeticError, ConfigError, IndexError, KeyError, RuntimeError, ValueError):
        return None  # of other sizes, or computed from other things
    damaged = [name for name, values in state.items() if not values.isfinite().all()]
    if damaged:
        raise CheckpointError(
            f"{damaged[0]} has values that are not finite: the file is damaged, or its training diverged. Use another "
            "copy"
        )
    return MobileNetGraph(backbone, options, mean, std)


def _is_a_chain(graph: Any) -> bool:
    """Whether each node reads the result of the one before it, and nothing else that is computed."""
    before = graph.input[0].name if len(graph.input) == 1 else None
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        if not node.input or node.input[0] != before:
            return False
        before = node.output[0]
    return len(graph.output) == 1 and graph.output[0].name == before


def _state(backbone: MobileNet, layers: list[Any], weights: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the network; ValueError where a node does something else than its layer."""
    modules = [(name, module) for name, module in backbone.named_modules() if not list(module.children())]
    modules = [(name, module) for name, module in modules if not isinstance(module, nn.Dropout)]
    (flatten,) = [node for node in layers if node.op_type == "Flatten"]
    if _attributes(flatten).get("axis", 1) != 1:
        raise ValueError(f"{flatten.name} is not the network's")
    nodes = [node for node in layers if node is not flatten]
    for (name, module), node in zip(modules, nodes, strict=True):
        attributes = _attributes(node)
        values = [torch.from_numpy(weights[key].copy()).float() for key in node.input[1:]]
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            keys = ["weight", "bias", "running_mean", "running_var"]
            same = abs(attributes["epsilon"] - module.eps) < 1e-9 and attributes.get("training_mode", 0) == 0
            yield f"{name}.num_batches_tracked", torch.tensor(0)
        elif isinstance(module, nn.Conv2d):
            keys = ["weight"]
            padding = [module.padding[0]] * 4
            same = attributes["strides"] == list(module.stride) and attributes.get("pads", [0] * 4) == padding
            same = same and attributes.get("group", 1) == module.groups
            same = same and set(attributes.get("dilations", [1])) == {1} and len(values) == 1
        elif isinstance(module, nn.PReLU):
            keys = ["weight"]
            same = tuple(values[0].shape) in ((len(module.weight), 1, 1), (1, len(module.weight), 1, 1))
            values = [values[0].flatten()]
        else:
            keys = ["weight", "bias"]
            same = (attributes.get("transA", 0), attributes.get("transB", 0)) == (0, 1)
            same = same and attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
        if not same:
            raise ValueError(f"{node.name} is not {name}")
        for key, tensor in zip(keys, values, strict=True):
            yield f"{name}.{key}", tensor


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
