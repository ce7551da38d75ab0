"""The graph of an `.onnx` file, brought into the form that onnxruntime runs fast.

Exporters differ in what they list as a graph's inputs: old ones list the weights too, and some even the results of
nodes, which no runtime accepts. Quantised weights are turned back into floats by nodes at the front of the graph; a
runtime that leaves them there does it again at every run.
"""

from pathlib import Path
from typing import Any

from facemargin.errors import CheckpointError
from facemargin.extras import require_extra
from facemargin.interop.onnx_external import read_external_weights

# Their results depend on nothing but their inputs, and are no larger than they need to be.
_COMPUTED_ONCE = frozenset(
    {"Cast", "Constant", "DequantizeLinear", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


def read_graph(path: Path) -> Any:
    """The `onnx.ModelProto` in the file, with the weights that lie in files beside it.

    Raises CheckpointError, naming the file, where it is damaged, or one beside it is missing; ConfigError where onnx
    is not installed.
    """
    require_extra("export", "onnx", what=f"{path} is an ONNX model; reading it")
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        read_external_weights(model, path)
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's, and onnx's own of many types
        raise CheckpointError(f"{path} cannot be read as an ONNX model: {error}") from error
    return model


def remove_false_inputs(model: Any) -> bool:
    """Take away the inputs that the graph itself has values for, as weights or as results of its nodes, and those that
    no node reads. Returns whether there were any."""
    graph = model.graph
    provided = {weight.name for weight in graph.initializer}
    provided.update(output for node in graph.node for output in node.output)
    read = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.input if value.name in read and value.name not in provided]
    if len(kept) == len(graph.input):
        return False
    del graph.input[:]
    graph.input.extend(kept)
    return True


def compute_constants(model: Any) -> bool:
    """Replace the nodes that only bring weights into shape, such as those that dequantise them, by their results.
    Returns whether there were any."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    left = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type in _COMPUTED_ONCE and len(node.output) == 1 and all(name in weights for name in inputs):
            values = _run(model, node, {name: numpy_helper.to_array(weights[name]) for name in inputs})
            weights[node.output[0]] = numpy_helper.from_array(values, node.output[0])
        else:
            left.append(node)
    if len(left) == len(graph.node):
        return False
    used = {name for node in left for name in node.input} | {value.name for value in graph.output}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(left)
    graph.initializer.extend(weight for name, weight in weights.items() if name in used)
    return True


def _run(model: Any, node: Any, inputs: dict[str, Any]) -> Any:
    """The one result of a node."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    graph = helper.make_graph(
        [node],
        "constant",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape)
            for name, values in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(node.output[0])],
    )
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    results: Any = ReferenceEvaluator(single).run(None, inputs)
    return results[0]
