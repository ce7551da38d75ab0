"""ONNX recognisers as they are found: each form gives the features of the same small network."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import facemargin as fm
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.onnx_backbone import read_onnx
from tests.interop.foreign_files import pixels

SIZE, D = 16, 6
IMAGES = pixels(5)
RANDOM = np.random.default_rng(3)
KERNEL = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32) / 5
WEIGHT = RANDOM.normal(size=(4 * SIZE * SIZE, D)).astype(np.float32) / 30


def expected(images=IMAGES, mean=127.5, std=127.5):
    """By loops over the kernel's places, in float64."""
    values = (images.astype(np.float64).transpose(0, 3, 1, 2) - mean) / std
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    maps = np.zeros((len(images), 4, SIZE, SIZE))
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row : row + SIZE, column : column + SIZE]
            maps += np.einsum("bchw,oc->bohw", window, KERNEL[:, :, row, column])
    return maps.reshape(len(images), -1) @ WEIGHT


def graph(
    element=TensorProto.FLOAT, layout="NCHW", batch="batch", front=(), back=(), outputs=None, declared=None, more=()
):
    """The network, as helper writes it: `front` and `back` are further nodes on the float images and the features."""
    shape = [batch, 3, SIZE, SIZE] if layout == "NCHW" else [batch, SIZE, SIZE, 3]
    nodes, last = [], "data"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [last], ["first"], perm=[0, 3, 1, 2]))
        last = "first"
    if element != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [last], ["floats"], to=TensorProto.FLOAT))
        last = "floats"
    nodes += [helper.make_node(kind, [last, *rest], [out]) for kind, rest, out in front]
    last = front[-1][2] if front else last
    nodes += [
        helper.make_node("Conv", [last, "kernel"], ["map"], pads=[1] * 4),
        helper.make_node("Flatten", ["map"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
        *[helper.make_node(kind, inputs, [out], **attributes) for kind, inputs, out, attributes in back],
    ]
    outputs = outputs or [("features", [batch, D])]
    weights = [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(WEIGHT, "weight"), *more]
    made = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("data", element, declared or shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(path, model, **options):
    onnx.save(model, str(path), **options)
    return path


def features(path, images=IMAGES, **options):
    found = fm.load(path, color_order="RGB", **options).embed(images, views="one")
    return found.vectors * found.norms[:, None]


def close(found, wanted, tolerance=1e-4):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


AS_COLUMNS = [("Reshape", ["features", "shape"], "columns", {})]
SHAPE = numpy_helper.from_array(np.array([-1, D, 1, 1], np.int64), "shape")


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "NHWC"},
        {"batch": 1},
        {"batch": 4},
        {"element": TensorProto.FLOAT16},
        {"element": TensorProto.DOUBLE},
        {"layout": "NHWC", "element": TensorProto.FLOAT16, "batch": 2},
        {"declared": ["batch", "c", SIZE, SIZE]},
        {"declared": ["batch", SIZE, SIZE, "c"], "layout": "NHWC"},
        {"back": AS_COLUMNS, "outputs": [("columns", ["batch", D, 1, 1])], "more": [SHAPE]},
    ],
    ids=["nhwc", "one", "four", "fp16", "double", "nhwc, fp16, two", "colours", "nhwc, colours", "columns"],
)
def test_every_form_gives_the_features(tmp_path, changes):
    path = save(tmp_path / "x.onnx", graph(**changes))
    close(features(path, mean=127.5, std=127.5), expected(), 1e-4 if "element" not in changes else 2e-3)


def test_whole_numbers_are_read_as_they_are(tmp_path):
    path = save(tmp_path / "x.onnx", graph(element=TensorProto.UINT8, layout="NHWC"))
    close(features(path), expected(mean=0, std=1))
    assert (fm.load(path).info.mean, fm.load(path).info.std) == (0, 1)


def test_the_vector_is_found_among_the_outputs(tmp_path, caplog):
    """As of networks that return a map, (B, 1) of a norm, and the vector."""
    back = [("ReduceL2", ["features"], "norm", {"axes": [1]})]
    outputs = [("map", ["batch", 4, SIZE, SIZE]), ("norm", ["batch", 1]), ("features", ["batch", D])]
    path = save(tmp_path / "x.onnx", graph(back=back, outputs=outputs))
    close(features(path), expected())
    assert not any("several vectors" in message for message in caplog.messages)


def test_of_several_vectors_the_first_is_said_to_be_taken(tmp_path, caplog):
    back = [("Neg", ["features"], "turned", {})]
    path = save(tmp_path / "x.onnx", graph(back=back, outputs=[("features", None), ("turned", None)]))
    close(features(path), expected())
    assert any("the first, features, is taken for the features, not turned" in one for one in caplog.messages)


def test_a_graph_that_only_takes_one_image_is_given_one_at_a_time(tmp_path, caplog):
    """Exported for one image, with a shape that says any number."""
    shape = numpy_helper.from_array(np.array([1, D], np.int64), "shape")
    back = [("Reshape", ["features", "shape"], "row", {})]
    path = save(tmp_path / "x.onnx", graph(back=back, outputs=[("row", [1, D])], more=[shape]))
    close(features(path), expected())
    assert any("it takes one at a time" in message for message in caplog.messages)


def test_a_graph_that_mixes_images_is_given_one_at_a_time(tmp_path, caplog):
    back = [
        ("ReduceMean", ["features"], "mean", {"axes": [0]}),
        ("Sub", ["features", "mean"], "apart", {}),
        ("Add", ["apart", "features"], "mixed", {}),
    ]
    path = save(tmp_path / "x.onnx", graph(back=back, outputs=[("mixed", ["batch", D])]))
    close(features(path), expected())
    assert any("other features for images together" in message for message in caplog.messages)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_order_that_is_not_declared_is_found_by_running(tmp_path, caplog, layout):
    """A graph for images of any size: the mean colour of the picture."""
    nodes = [
        helper.make_node("Transpose", ["data"], ["first"], perm=[0, 3, 1, 2] if layout == "NHWC" else [0, 1, 2, 3])
    ]
    nodes += [
        helper.make_node("Conv", ["first", "kernel"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
    ]
    made = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", "a", "b", "c"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "kernel")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = save(tmp_path / "x.onnx", model)
    images = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    close(features(path, images, mean=0, std=1), images.mean((1, 2), dtype=np.float64))
    assert any(f"it runs with {layout}, which is taken" in message for message in caplog.messages)
    caplog.clear()
    close(features(path, images, mean=0, std=1, layout=layout), images.mean((1, 2), dtype=np.float64))
    assert not caplog.messages


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.linear = nn.Linear(4 * SIZE * SIZE, D, bias=False)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.from_numpy(KERNEL))
            self.linear.weight.copy_(torch.from_numpy(WEIGHT.T))

    def forward(self, images):
        return self.linear(self.convolution(images).flatten(1))


@pytest.mark.slow
@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_what_torch_exports_is_read(tmp_path, external, dynamic):
    path = tmp_path / "x.onnx"
    batch = {"images": {0: torch.export.Dim("batch")}} if dynamic else None
    images = torch.zeros(2, 3, SIZE, SIZE)
    options = {"dynamo": True, "external_data": external, "dynamic_shapes": batch, "verbose": False}
    torch.onnx.export(Network(), (images,), str(path), input_names=["images"], **options)
    assert (tmp_path / "x.onnx.data").exists() == external
    close(features(path), expected())


def external(folder, **changes):
    """The model with its weights in `weights.bin` beside it."""
    folder.mkdir(exist_ok=True)
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    return save(folder / "x.onnx", graph(**changes), **options)


def test_weights_beside_the_file_are_read(tmp_path, monkeypatch):
    path = external(tmp_path / "model")
    close(features(path), expected())
    monkeypatch.chdir(tmp_path)
    close(features("model/x.onnx"), expected())


def test_weights_in_the_hubs_cache_are_links(tmp_path):
    external(tmp_path / "blobs")
    (tmp_path / "snapshots").mkdir()
    for name in ("x.onnx", "weights.bin"):
        (tmp_path / "snapshots" / name).symlink_to(tmp_path / "blobs" / name)
    close(features(tmp_path / "snapshots" / "x.onnx"), expected())


def change_location(path, location):
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "..\\weights.bin", ""])
def test_no_file_outside_of_the_folder_is_read(tmp_path, location):
    path = external(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "weights.bin")
    change_location(path, location)
    with pytest.raises(CheckpointError, match=r"x\.onnx has weights in .*outside of its folder, and is refused"):
        fm.load(path)


def test_no_link_to_outside_of_the_folder_is_followed(tmp_path):
    path = external(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match=r"weights\.bin, a link to outside of its folder"):
        fm.load(path)


def test_a_missing_or_short_file_of_weights_is_named(tmp_path):
    path = external(tmp_path / "model")
    weights = tmp_path / "model" / "weights.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-8])
    with pytest.raises(
        CheckpointError, match=r"weights\.bin has \d+ bytes, but x\.onnx has its weight \w+ in the bytes"
    ):
        fm.load(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"in the file weights\.bin beside it, which is missing: copy it, too"):
        fm.load(path)


def test_what_is_given_is_believed_and_only_the_rest_is_said_to_be_assumed(tmp_path, caplog):
    path = save(tmp_path / "x.onnx", graph())
    model = fm.load(path, color_order="BGR", mean=0, std=255)
    assert (model.info.color_order, model.info.mean, model.info.std) == ("BGR", 0, 255) and not caplog.messages
    close(features(path, IMAGES, mean=0, std=255), expected(mean=0, std=255))
    caplog.clear()
    fm.load(path, color_order="BGR")
    assert "(v − 127.5)/127.5 is assumed" in caplog.messages[0] and "RGB" not in caplog.messages[0]
    caplog.clear()
    fm.load(path, mean=1, std=2)
    assert ": RGB is assumed" in caplog.messages[0] and "127.5" not in caplog.messages[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": 1}, "mean is given without std"),
        ({"std": 1}, "std is given without mean"),
        ({"mean": 0, "std": 0}, "std is 0, expected a positive number"),
        ({"mean": float("nan"), "std": 1}, "mean is nan, expected a number"),
        ({"color_order": "GBR"}, "color_order is 'GBR', expected RGB or BGR"),
        ({"layout": "CHW"}, "layout is 'CHW', expected NCHW or NHWC"),
    ],
)
def test_input_that_no_network_has_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        fm.load(save(tmp_path / "x.onnx", graph()), **options)


def test_a_layout_that_is_not_the_files_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="does not read NHWC: its input is"):
        read_onnx(save(tmp_path / "x.onnx", graph()), "NHWC")


def test_two_images_in_one_graph_are_no_recogniser(tmp_path):
    model = graph()
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", D]))
    model.graph.node.append(helper.make_node("Add", ["features", "other"], ["sum"]))
    model.graph.output[0].name = "sum"
    with pytest.raises(CheckpointError, match=r"it reads data .*; other .*, expected one input of images"):
        fm.load(save(tmp_path / "x.onnx", model))
