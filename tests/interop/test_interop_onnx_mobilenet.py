import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import facemargin as fm
from facemargin.cli import main
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.onnx_backbone import OnnxBackbone, read_onnx
from tests.interop.foreign_files import pixels
from tests.interop.mobilenet_graph import SIZE, build, write

IMAGES = pixels(5)


@pytest.fixture(scope="module")
def expected():
    """What onnxruntime makes of the graph in its plain form, image by image."""
    session = onnxruntime.InferenceSession(build().SerializeToString(), providers=["CPUExecutionProvider"])
    raw = IMAGES.transpose(0, 3, 1, 2).astype(np.float32)
    return np.concatenate([session.run(None, {"data": image[None]})[0] for image in raw])


def features(model):
    found = model.embed(IMAGES, views="one")
    return found.vectors * found.norms[:, None]


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("false_inputs", [False, True])
def test_the_graph_becomes_our_network(tmp_path, expected, quantised, false_inputs):
    model = fm.load(write(tmp_path / "x.onnx", build(quantised, false_inputs)))
    info = model.info
    assert (info.backbone, info.embedding_size, info.input_size) == ("mobilenet_v1", 8, SIZE)
    assert (info.mean, info.std, info.options["batch_norm_eps"]) == (127.5, 128, 1e-3)
    np.testing.assert_allclose(features(model), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_it_saves_folds_and_computes_in_bf16_as_our_networks_do(tmp_path, expected, capsys):
    file = write(tmp_path / "x.onnx", build(quantised=True, false_inputs=True))
    assert main(["convert-weights", str(file), str(tmp_path / "own.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "mobilenet_v1, 8 features of 16 × 16 px" in out and "(pixel − 127.5) / 128" in out
    own = fm.load(tmp_path / "own.safetensors")
    np.testing.assert_array_equal(features(own), features(fm.load(file)))
    rough = features(fm.load(file, precision="bf16"))
    assert not np.array_equal(rough, expected)
    np.testing.assert_allclose(rough, expected, atol=0.1 * np.abs(expected).max())


def test_it_needs_no_onnxruntime(tmp_path, monkeypatch):
    file = write(tmp_path / "x.onnx", build())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert fm.load(file).info.backbone == "mobilenet_v1"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r'reading it needs onnx: pip install "facemargin\[export\]"'):
        fm.load(file)


def _swap_strides(model):
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    for node, stride in ((layers[-4], 1), (layers[-2], 2)):
        (strides,) = [one for one in node.attribute if one.name == "strides"]
        strides.ints[:] = [stride, stride]


def _other_epsilon(model):
    node = [node for node in model.graph.node if node.op_type == "BatchNormalization"][3]
    node.attribute[0].f = 0.05


def _add(model):
    """A shortcut: the last convolution but one takes the sum of two maps."""
    nodes = list(model.graph.node)
    place = [number for number, node in enumerate(nodes) if node.op_type == "PRelu"][-1]
    before = nodes[place]
    (reader,) = [node for node in nodes if before.output[0] in node.input]
    nodes.insert(place + 1, onnx.helper.make_node("Add", [before.output[0], before.output[0]], ["sum"]))
    reader.input[0] = "sum"
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _not_a_chain(model):
    """The last batch norm but two reads what an earlier one has read, too."""
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    norms[-3].input[0] = norms[-4].input[0]


def _half_the_products(model):
    (node,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    node.attribute.append(onnx.helper.make_attribute("alpha", 0.5))


def _colour_means(model):
    (weight,) = [one for one in model.graph.initializer if one.name == "scalar_1"]
    weight.CopyFrom(numpy_helper.from_array(np.array([120, 127, 130], np.float32).reshape(1, 3, 1, 1), weight.name))


@pytest.mark.parametrize("change", [_swap_strides, _other_epsilon, _add, _half_the_products, _colour_means])
def test_a_graph_that_computes_something_else_is_not_taken_for_it(tmp_path, expected, change):
    model = build(quantised=True, false_inputs=True)
    change(model)
    plain = build()
    change(plain)
    session = onnxruntime.InferenceSession(plain.SerializeToString(), providers=["CPUExecutionProvider"])
    raw = IMAGES.transpose(0, 3, 1, 2).astype(np.float32)
    wanted = np.concatenate([session.run(None, {"data": image[None]})[0] for image in raw])
    assert np.abs(wanted - expected).max() > 1e-3 * np.abs(expected).max()
    read = read_onnx(write(tmp_path / "x.onnx", model))
    assert isinstance(read.backbone, OnnxBackbone) and (read.mean, read.std) == (0, 1)
    found = read.backbone(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_a_graph_that_is_no_chain_is_not_taken_for_it(tmp_path):
    model = build()
    _not_a_chain(model)
    assert isinstance(read_onnx(write(tmp_path / "x.onnx", model)).backbone, OnnxBackbone)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_an_error(tmp_path, value):
    model = build()
    (weight,) = [one for one in model.graph.initializer if one.name == "linear.bias"]
    values = numpy_helper.to_array(weight).copy()
    values[3] = value
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(CheckpointError, match=r"x\.onnx: linear\.bias has values that are not finite"):
        fm.load(write(tmp_path / "x.onnx", model))
