import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import facemargin as fm
from facemargin.backbones import create_backbone, list_backbones
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import ArrayImages
from facemargin.errors import CheckpointError, ConfigError, OutputError
from facemargin.export import export, onnx_graph
from facemargin.export.exported_model import ExportedModel
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer, create_recognizer
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


@pytest.fixture(scope="module")
def faces():
    source = EmbeddedFaces([3])
    images = [resize_square(source.read(index), 16) for index in range(7)]
    for channel, image in enumerate(images):  # ORL is grey: without a colour the order of colours would not matter
        image[:, :, channel % 3] //= 2
    return ArrayImages(images)


def pixels_of(faces):
    return np.stack([faces.read(index) for index in range(len(faces))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def bgr_crfiqa():
    """A model that differs from the usual in all that has to be handed on."""
    return tiny_model(quality="crfiqa", color_order="BGR", mean=100.0, std=200.0)


@pytest.fixture(scope="module")
def with_pixels(bgr_crfiqa, faces, folder):
    """(file, what was measured) of that model with preprocessing and both views inside."""
    path = folder / "new" / "pixels.onnx"
    return path, fm.export_onnx(bgr_crfiqa, path, preprocess=True, check=faces)


@pytest.fixture(scope="module")
def with_images(bgr_crfiqa, faces, folder):
    path = folder / "images.onnx"
    return path, fm.export_onnx(bgr_crfiqa, str(path), views="one", check=faces)


def run(path, feed):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (only,) = session.get_inputs()
    return session, dict(
        zip((one.name for one in session.get_outputs()), session.run(None, {only.name: feed}), strict=True)
    )


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_pixels_go_in_and_what_the_model_says_comes_out(with_pixels, bgr_crfiqa, faces, batch):
    path, _ = with_pixels
    session, found = run(path, pixels_of(faces)[:batch])
    (only,) = session.get_inputs()
    assert (only.name, only.type, only.shape[1:]) == ("pixels", "tensor(uint8)", [16, 16, 3])
    expected = bgr_crfiqa.embed(pixels_of(faces)[:batch], views="flip")
    assert found.keys() == {"embedding", "norm", "quality"}
    np.testing.assert_allclose(found["embedding"], expected.vectors, atol=1e-5)
    np.testing.assert_allclose(found["norm"], expected.norms, rtol=1e-5)
    np.testing.assert_allclose(found["quality"], expected.quality, atol=1e-5)
    assert not np.allclose(found["quality"], found["norm"], rtol=0.1)
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1, rtol=1e-5)


def test_normalised_images_go_in(with_images, bgr_crfiqa, faces):
    path, _ = with_images
    images_BCHW = ((pixels_of(faces).astype(np.float32) - 100) / 200)[..., ::-1].transpose(0, 3, 1, 2)
    session, found = run(path, np.ascontiguousarray(images_BCHW))
    (only,) = session.get_inputs()
    assert (only.name, only.type, only.shape[1:]) == ("images", "tensor(float)", [3, 16, 16])
    expected = bgr_crfiqa.embed(faces, views="one")
    np.testing.assert_allclose(found["embedding"], expected.vectors, atol=1e-5)
    np.testing.assert_allclose(found["quality"], expected.quality, atol=1e-5)
    assert not np.allclose(found["embedding"], bgr_crfiqa.embed(faces, views="flip").vectors, atol=1e-3)


def test_the_file_says_how_to_feed_it(with_pixels, with_images, bgr_crfiqa):
    metadata = [
        {one.key: one.value for one in onnx.load(path).metadata_props} for path, _ in (with_pixels, with_images)
    ]
    assert metadata[0]["input"] == "pixels: uint8 (batch, 16, 16, 3), RGB, aligned faces as they are"
    assert metadata[1]["input"] == (
        "images: float32 (batch, 3, 16, 16), BGR, aligned faces, (pixel - 100) / 200 of 0...255"
    )
    assert metadata[0]["outputs"].endswith("averaged over the image and its mirror")
    assert metadata[1]["outputs"].endswith("of the image alone")
    for one in metadata:
        assert one["format"] == "facemargin" and one["quality"] == "predicted certainty ratio"
        assert json.loads(one["model"])["backbone"] == bgr_crfiqa.info.backbone
    for path, _ in (with_pixels, with_images):
        onnx.checker.check_model(onnx.load(path), full_check=True)
    assert not any(node.op_type == "BatchNormalization" for node in onnx.load(with_pixels[0]).graph.node)


def test_what_was_measured_is_what_is_there(with_pixels, bgr_crfiqa, faces):
    path, parity = with_pixels
    assert parity.images == 7 and parity.largest < 1e-5 and parity.cosine > 0.99999
    expected = bgr_crfiqa.embed(faces)
    found = [ExportedModel(path).embed(faces, batch) for batch in (1, 8)]
    largest = max(np.abs(one.vectors - expected.vectors).max() for one in found)
    assert parity.embedding == pytest.approx(largest, abs=1e-9)
    largest = max(np.abs(one.quality - expected.quality).max() for one in found)
    assert parity.quality == pytest.approx(largest / np.abs(expected.quality).max(), abs=1e-9)


def test_an_exported_model_embeds_images_of_any_size(with_pixels, with_images, bgr_crfiqa):
    for (path, _), views in ((with_pixels, "flip"), (with_images, "one")):
        exported = ExportedModel(path)
        assert exported.info == bgr_crfiqa.info
        found, expected = exported.embed(EmbeddedFaces([5]), 4), bgr_crfiqa.embed(EmbeddedFaces([5]), views=views)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
        np.testing.assert_allclose(found.quality, expected.quality, atol=1e-5)
        assert exported.embed([]).vectors.shape == (0, 8)


def test_load_does_not_take_the_file_for_another_projects(with_pixels, with_images):
    for path, _ in (with_pixels, with_images):
        with pytest.raises(CheckpointError, match=r"written by facemargin export: load the model it was made from"):
            fm.load(path)


@pytest.fixture(scope="module")
def int8(faces, folder):
    """(file, what was measured) of the tiny model in 8-bit integers."""
    path = folder / "int8.onnx"
    return path, fm.export_onnx(tiny_model(), path, preprocess=True, int8_calibration=EmbeddedFaces([1]), check=faces)


def test_quality_is_the_norm_elsewhere_and_int8_is_near(int8, faces):
    path, parity = int8
    graph = onnx.load(path)
    kinds = {one.name: one.data_type for one in graph.graph.initializer}
    weights = [one for node in graph.graph.node if node.op_type == "DequantizeLinear" for one in node.input[:1]]
    assert sum(kinds.get(name) == onnx.TensorProto.INT8 for name in weights) == 13  # 12 convolutions, a linear layer
    assert "facemargin" in {one.value for one in graph.metadata_props}
    expected, found = tiny_model().embed(faces), ExportedModel(path).embed(faces)
    np.testing.assert_array_equal(found.quality, found.norms)
    cosines = (expected.vectors * found.vectors).sum(axis=1)
    assert np.abs(expected.vectors - found.vectors).max() > 1e-4 and cosines.min() > 0.98
    assert parity.cosine == pytest.approx(cosines.min(), abs=0.01) and parity.embedding > 1e-4


def saturating(activations_K, weights_K):
    """The sum of u8 × s8 as AVX2 computes it without VNNI (vpmaddubsw): two by two, each pair cut to 16 bits."""
    total = 0
    for first in range(0, len(weights_K), 2):
        pair = sum(int(a) * int(w) for a, w in zip(activations_K[first:][:2], weights_K[first:][:2], strict=True))
        total += min(max(pair, -(2**15)), 2**15 - 1)
    return total


def test_no_int8_product_can_saturate_where_the_processor_has_no_vnni(int8):
    graph = onnx.load(int8[0]).graph
    tensors = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = [tensors[source[node.input[1]]] for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(weights) == 13 and {one.dtype for one in weights} == {np.dtype(np.int8)}
    rng = np.random.default_rng(0)
    for weight in weights:
        # Whichever two meet: the largest of either sign, with the activations that are worst for them.
        for pair in (np.sort(weight, axis=None)[:2], np.sort(weight, axis=None)[-2:]):
            assert saturating([255, 255], pair) == 255 * pair.sum(dtype=int)
        row = weight.reshape(len(weight), -1)[0]
        activations = rng.integers(0, 256, len(row))
        assert saturating(activations, row) == activations @ row.astype(int)
        assert np.abs(weight.astype(int)).max() == 64  # and 7 bits are used
    assert saturating([255, 255], [127, 127]) == 32767 < 255 * 254


def test_an_int8_file_that_is_far_from_the_model_is_refused(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(export, "INT8_COSINE", 0.9999)
    match = r"int8\.onnx was not written: in int8 the smallest cosine .* is 0\.98\d, but at least 0\.9999 is required"
    refused(
        CheckpointError, match, tiny_model(), tmp_path / "int8.onnx", int8_calibration=EmbeddedFaces([1]), check=faces
    )
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_was_measured(with_pixels, int8):
    for path, parity in (with_pixels, int8):
        (said,) = [one.value for one in onnx.load(path).metadata_props if one.key == "parity"]
        assert said.startswith("checked on 7 faces in batches of 1 and 8, largest differences from the model: ")
        assert f"smallest cosine {parity.cosine:.6f}; onnxruntime {onnxruntime.__version__}, " in said


# One of every layout; the others differ in depth alone.
LAYOUTS = ["ir_se_18", "iresnet18", "mobilefacenet", "mobilenet_v1"]


def test_the_layouts_are_all_there_are():
    with torch.device("meta"):
        classes = [
            {type(create_backbone(name, 4, input_size=16)).__name__ for name in names}
            for names in (list_backbones(), LAYOUTS)
        ]
    assert classes[0] - classes[1] == {"SmallResNet"}  # of the other tests


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_exported(name, faces, folder):
    torch.manual_seed(0)
    info = model_info(backbone=name, options={"input_size": 16})
    parity = fm.export_onnx(Model(create_recognizer(info), info), folder / f"{name}.onnx", check=faces)
    assert parity.largest < 1e-4


@pytest.mark.slow
@pytest.mark.long
def test_a_model_with_a_reconstructor_is_exported(faces, folder):
    info = model_info(reconstruction={"width": 4, "latent_size": 8})
    torch.manual_seed(0)
    model = Model(create_recognizer(info), info)
    assert fm.export_onnx(model, folder / "joint.onnx", views="one", check=faces).largest < 1e-4


def refused(error, match, model, path, **options):
    with pytest.raises(error, match=match):
        fm.export_onnx(model, path, **options)


def test_what_cannot_be_exported_is_refused_before_the_work(tmp_path, faces, monkeypatch):
    path = tmp_path / "model.onnx"
    refused(ConfigError, r"model\.pt, expected a name that ends in \.onnx", tiny_model(), tmp_path / "model.pt")
    refused(ConfigError, "views is 'multi', expected one or flip", tiny_model(), path, views="multi")
    refused(ConfigError, "averages 14 views.*choose views one or flip", tiny_model(views="multi"), path)
    refused(ConfigError, "no images to check", tiny_model(), path, check=[])
    refused(ConfigError, "int8 needs faces for the calibration", tiny_model(), path, check=faces, int8_calibration=[])
    alone = model_info(backbone=None, embedding_size=0, reconstruction={"width": 4, "latent_size": 8})
    refused(ConfigError, "only has a face reconstruction", Model(create_recognizer(alone), alone), path, check=faces)
    weightless = Recognizer(torch.nn.Identity())
    refused(ConfigError, "is an ONNX model already", Model(weightless, model_info()), path, check=faces)
    monkeypatch.setattr(onnx_graph, "_LARGEST_WEIGHTS", 1000)
    refused(ConfigError, r"the weights of small_resnet take [\d,]+ bytes, but an ONNX file", tiny_model(), path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r'pip install "facemargin\[export\]"'):
        if package == "onnxruntime":
            ExportedModel(b"")
        else:
            fm.export_onnx(tiny_model(), tmp_path / "model.onnx")


def test_a_network_that_torch_cannot_export_is_refused(tmp_path, faces, monkeypatch):
    def fail(*args, **options):
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    refused(
        ConfigError,
        "small_resnet cannot be written as an ONNX graph: no such",
        tiny_model(),
        tmp_path / "m.onnx",
        check=faces,
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_or_cannot_be_written_leaves_the_earlier_one(tmp_path, faces, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_text("earlier")
    graph = onnx_graph.onnx_graph(tiny_recognizer(), model_info(), False, "flip")
    monkeypatch.setattr(export, "onnx_graph", lambda *args: graph)
    other = tiny_model()
    torch.nn.init.ones_(other.recognizer.backbone.stem[0].weight)
    refused(
        CheckpointError, r"was not written: onnxruntime's results differ.*more than 0\.0001", other, path, check=faces
    )
    refused(OutputError, "cannot write", tiny_model(), path / "below.onnx", check=faces)
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]
    fm.export_onnx(tiny_model(), path, check=faces)
    assert ExportedModel(path).info == model_info()


def test_other_files_are_not_taken_for_exported_models(tmp_path, with_images):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08nothing")
    with pytest.raises(CheckpointError, match=r"model\.onnx cannot be read as an ONNX model"):
        ExportedModel(path)
    graph = onnx.load(with_images[0])
    metadata = {one.key: one.value for one in graph.metadata_props}
    for changed, message in (
        ({}, "was not written by facemargin export"),
        ({"model": "{"}, "has no valid description of its model"),
    ):
        onnx.helper.set_model_props(graph, {**metadata, **changed} if changed else {})
        onnx.save(graph, path)
        with pytest.raises(CheckpointError, match=message):
            ExportedModel(path)


def test_a_description_that_does_not_fit_the_graph_is_named(with_images, faces, tmp_path):
    graph = onnx.load(str(with_images[0]))
    entry = next(one for one in graph.metadata_props if one.key == "model")
    entry.value = json.dumps(json.loads(entry.value) | {"input_size": 12})
    onnx.save(graph, str(tmp_path / "x.onnx"))
    with pytest.raises(CheckpointError, match=r"x\.onnx does not run: .*Got: 12 Expected: 16"):
        ExportedModel(tmp_path / "x.onnx").embed(faces)


def test_metadata_that_are_no_text_are_damage(with_images, tmp_path):
    content = with_images[0].read_bytes()
    assert content.count(b'"backbone"') == 1
    (tmp_path / "x.onnx").write_bytes(content.replace(b'"backbone"', b'"back\xff\xfene"'))
    with pytest.raises(CheckpointError, match=r"x\.onnx is damaged: its metadata are not text"):
        ExportedModel(tmp_path / "x.onnx")
