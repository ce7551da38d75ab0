import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import facemargin as fm
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.onnx_backbone import read_onnx
from tests.interop.foreign_files import pixels

SIZE, D = 16, 4
WEIGHT = np.random.default_rng(0).normal(size=(D, 3 * SIZE * SIZE)).astype(np.float32)


def write_network(path, raw=False, batch="batch", size=SIZE, channels=3, outputs=1, width=D, element=TensorProto.FLOAT):
    """x → x·Wᵀ of the flattened picture; `raw`: after Sub and Mul, as MXNet's exports."""
    nodes, last = [], "data"
    weights = [numpy_helper.from_array(WEIGHT[:width, : channels * size * size].T.copy(), "weight")]
    if raw:
        weights += [
            numpy_helper.from_array(np.float32(value), name) for name, value in (("m", 127.5), ("s", 1 / 127.5))
        ]
        nodes = [
            helper.make_node("Sub", ["data", "m"], ["a"], name="_minusscalar0"),
            helper.make_node("Mul", ["a", "s"], ["b"], name="_mulscalar0"),
        ]
        last = "b"
    nodes += [
        helper.make_node("Flatten", [last], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("data", element, [batch, channels, size, size])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, width])][:outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def expected(images):
    return ((images.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5).reshape(len(images), -1) @ WEIGHT.T


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_features_are_the_graphs(tmp_path, raw, batch, caplog):
    model = fm.load(write_network(tmp_path / "w600k_r50.onnx", raw, batch))
    info = model.info
    assert (info.backbone, info.embedding_size, info.input_size, info.color_order) == ("onnx", D, SIZE, "RGB")
    assert (info.mean, info.std) == ((0, 1) if raw else (127.5, 127.5))
    assert (info.family, info.licence, info.loss) == ("", "", "unknown")
    (note,) = caplog.messages
    assert (
        "does not say from which project it is" in note and "--family" in note and ("raw pixels 0…255" in note) == raw
    )
    images = pixels(5)
    found = model.embed(images, views="one")
    np.testing.assert_allclose(found.vectors * found.norms[:, None], expected(images), rtol=1e-4, atol=1e-3)
    flipped = model.embed(images)
    both = (expected(images) + expected(images[:, :, ::-1])) / 2
    np.testing.assert_allclose(flipped.norms, np.linalg.norm(both, axis=1), rtol=1e-4)
    assert model.embed([]).vectors.shape == (0, D)


@pytest.mark.parametrize(
    ("family", "reads"),
    [("insightface", ("RGB", 127.5, 127.5)), ("adaface", ("BGR", 127.5, 127.5)), ("magface", ("BGR", 0, 255))],
)
def test_whose_convention_it_follows_can_be_told(tmp_path, family, reads, caplog):
    model = fm.load(write_network(tmp_path / "x.onnx"), family=family)
    info = model.info
    assert (info.family, info.color_order, info.mean, info.std) == (family, *reads)
    assert [message for message in caplog.messages if "assumed" in message] == []
    assert any("non-commercial" in message for message in caplog.messages) == (family == "insightface")
    images = pixels(3)
    wanted = (images[..., :: -1 if reads[0] == "BGR" else 1].transpose(0, 3, 1, 2) - np.float32(reads[1])) / reads[2]
    found = model.embed(images, views="one")
    features = wanted.reshape(3, -1) @ WEIGHT.T
    np.testing.assert_allclose(found.vectors * found.norms[:, None], features, rtol=1e-4, atol=1e-3)


def test_a_family_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown family 'adafcae'; did you mean 'adaface'"):
        fm.load(write_network(tmp_path / "x.onnx"), family="adafcae")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 1}, "not a recogniser that facemargin can run: it reads data"),
        ({"element": TensorProto.UINT8}, "cannot be read|no recogniser"),
    ],
)
def test_other_graphs_are_named(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=rf"x\.onnx .*({message})"):
        fm.load(write_network(tmp_path / "x.onnx", **changes))


def test_graphs_that_are_damaged_are_named(tmp_path):
    path = write_network(tmp_path / "x.onnx")
    content = path.read_bytes()
    for part in (b"", b"garbage", content[:100], content[: len(content) // 2]):
        path.write_bytes(part)
        with pytest.raises(CheckpointError, match=r"x\.onnx"):
            fm.load(path)


def test_a_graph_is_one_piece(tmp_path):
    backbone = read_onnx(write_network(tmp_path / "x.onnx")).backbone
    with pytest.raises(ConfigError, match="cannot be trained"):
        backbone.feature_map(None)
    assert not list(backbone.parameters())


def test_onnxruntime_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = write_network(tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r'pip install "facemargin\[export\]"'):
        fm.load(path)


@pytest.mark.parametrize("text", [b"_minusscalar0", b"data", b"batch", b"features"])
def test_a_name_that_is_no_text_is_damage(tmp_path, text):
    path = write_network(tmp_path / "x.onnx", raw=True)
    path.write_bytes(path.read_bytes().replace(text, b"\xff\xfe" + text[2:]))
    with pytest.raises(CheckpointError, match=r"x\.onnx cannot be read as an ONNX model"):
        read_onnx(path)
