"""SFace's graph around small random weights, in the forms in which its file is found."""

import functools

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from facemargin.backbones.mobilenet import MobileNet

SIZE = 16
BLOCK = 8  # values of a matrix's row that share a scale


@functools.cache
def backbone() -> MobileNet:
    """Its matrices in 8 bits with a scale for every `BLOCK` values, as they are in a quantised file."""
    torch.manual_seed(0)
    found = MobileNet(8, input_size=SIZE).eval()
    with torch.no_grad():
        for key, value in found.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(std=0.1)
            elif value.ndim == 1 and "norm.bias" not in key:
                slopes = key.startswith(("stem.2", "blocks")) and key.endswith("2.weight")
                value.uniform_(0.2, 0.3) if slopes else value.uniform_(0.9, 1.1)
            elif value.ndim > 1:
                value.normal_(std=(2 / value[0].numel()) ** 0.5)
        for value in found.state_dict().values():
            if value.ndim > 1:
                quantised, scales = quantise(value.numpy())
                rows = quantised.astype(np.float32) * np.repeat(scales, block_of(quantised), axis=1)
                value.copy_(torch.from_numpy(rows.reshape(value.shape)))
    return found


def block_of(matrix) -> int:
    return BLOCK if matrix.shape[1] % BLOCK == 0 else matrix.shape[1]


def quantise(values):
    """int8 of (rows, the rest), and the scales of the blocks of each row."""
    matrix = values.reshape(len(values), -1)
    block = block_of(matrix)
    blocks = matrix.reshape(len(matrix), -1, block)
    scales = np.abs(blocks).max(-1) / 127 + np.float32(1e-9)
    quantised = np.round(blocks / scales[..., None]).astype(np.int8)
    return quantised.reshape(matrix.shape), scales.astype(np.float32)


class GraphWriter:
    """Collects nodes and weights; a matrix is stored `quantised` where that is said."""

    def __init__(self, quantised: bool) -> None:
        self.quantised = quantised
        self.front, self.nodes, self.weights, self.last = [], [], [], "data"

    def weight(self, name, tensor):
        values = tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor, np.float32)
        if not self.quantised or values.ndim < 2 or name.endswith("slope"):
            self.weights.append(numpy_helper.from_array(values.copy(), name))
            return name
        quantised, scales = quantise(values)
        self.weights += [
            numpy_helper.from_array(quantised, f"{name}_quantized"),
            numpy_helper.from_array(scales, f"{name}_scales"),
            numpy_helper.from_array(np.zeros_like(scales, np.int8), f"{name}_zero_point"),
        ]
        parts = [f"{name}_{part}" for part in ("quantized", "scales", "zero_point")]
        node = helper.make_node("DequantizeLinear", parts, [f"{name}_flat"], axis=1, block_size=block_of(quantised))
        self.front.append(node)
        if values.ndim == 2:
            return f"{name}_flat"
        self.weights.append(numpy_helper.from_array(np.array(values.shape, np.int64), f"{name}_shape"))
        self.front.append(helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [f"{name}_back"]))
        return f"{name}_back"

    def add(self, operation, *inputs, **attributes):
        output = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, [self.last, *inputs], [output], name=output, **attributes))
        self.last = output

    def layer(self, name, module):
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            state = (module.weight, module.bias, module.running_mean, module.running_var)
            inputs = [self.weight(f"{name}.{number}", value) for number, value in enumerate(state)]
            self.add("BatchNormalization", *inputs, epsilon=module.eps)
        elif isinstance(module, nn.Conv2d):
            sizes = {"kernel_shape": module.kernel_size, "strides": module.stride, "group": module.groups}
            self.add("Conv", self.weight(name, module.weight), pads=[module.padding[0]] * 4, **sizes)
        elif isinstance(module, nn.PReLU):
            self.add("PRelu", self.weight(f"{name}.slope", module.weight[:, None, None]))
        elif isinstance(module, nn.Linear):
            self.add("Flatten", axis=1)
            self.add("Gemm", self.weight(name, module.weight), self.weight(f"{name}.bias", module.bias), transB=1)
        elif isinstance(module, nn.Dropout):
            self.add("Dropout")


def build(quantised=False, false_inputs=False, module=None, batch=1):
    """The `onnx.ModelProto` of `module`, by default `backbone()`, behind (pixel − 127.5)/128."""
    module = backbone() if module is None else module
    graph = GraphWriter(quantised)
    graph.add("Sub", graph.weight("scalar_1", [127.5]))
    graph.add("Mul", graph.weight("scalar_2", [1 / 128]))
    for name, layer in module.named_modules():
        graph.layer(name, layer)
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])]
    if false_inputs:
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in graph.weights]
        for node in graph.front:
            inputs.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
    output = helper.make_tensor_value_info(graph.last, TensorProto.FLOAT, [batch, module.embedding_size])
    made = helper.make_graph([*graph.front, *graph.nodes], "sface", inputs, [output], graph.weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def write(path, model):
    onnx.save(model, str(path))
    return path
