"""`fm.load` of every family's own files reproduces what the family's own feeding gives."""

import logging
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import facemargin as fm
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop import read_checkpoint
from facemargin.models.info import save_model
from tests.interop.foreign_files import SIZE, D, adaface_checkpoint, expected_embedding, network, pixels, state

MAGFACE = {"batch_norm_eps": 2e-5}
QUALITY = {"qs.weight": torch.linspace(-1, 1, D)[None], "qs.bias": torch.tensor([0.5])}


def write_files(folder):
    """family and file → (network, BGR, mean, std)."""
    files = {
        ("adaface", "adaface.ckpt"): adaface_checkpoint(state("ir_18", "model.")),
        ("funface", "funface.pth"): state("ir_18"),
        ("insightface", "mbf.pt"): state("mobilefacenet"),
        ("magface", "magface.pth"): {
            "epoch": 25,
            "arch": "iresnet18",
            "state_dict": {**state("iresnet18", "features.module."), "parallel_fc.weight": torch.zeros(4, D)},
            "optimizer": {"state": {}, "param_groups": []},
        },
        ("crfiqa", "32572backbone.pth"): OrderedDict({**state("iresnet18"), **QUALITY}),
    }
    for (_, name), content in files.items():
        torch.save(content, folder / name)
    repository = folder / "cvlface"
    (repository / "pretrained_model").mkdir(parents=True)
    (repository / "pretrained_model" / "model.yaml").write_text("input_size: [3, 112, 112]\ncolor_space: 'BGR'\n")
    tensors = {key: value.contiguous() for key, value in state("ir_18", "model.net.").items()}
    save_file(tensors, repository / "model.safetensors")


CASES = {
    "adaface.ckpt": ("adaface", "ir_18", {}, True, 127.5, 127.5),
    "funface.pth": ("funface", "ir_18", {}, False, 127.5, 127.5),
    "mbf.pt": ("insightface", "mobilefacenet", {}, False, 127.5, 127.5),
    "magface.pth": ("magface", "iresnet18", MAGFACE, True, 0.0, 255.0),
    "32572backbone.pth": ("crfiqa", "iresnet18", {}, False, 127.5, 127.5),
    "cvlface": ("cvlface", "ir_18", {}, True, 127.5, 127.5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    write_files(folder)
    return folder


def magface_network():
    backbone = network("iresnet18", **MAGFACE)
    backbone.load_state_dict(network("iresnet18").state_dict())
    return backbone


@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_the_familys_own_code(folder, name, tmp_path):
    family, backbone_name, options, bgr, mean, std = CASES[name]
    model = fm.load(folder / name)
    info = model.info
    assert (info.family, info.backbone, info.embedding_size, info.input_size) == (family, backbone_name, D, SIZE)
    assert (info.color_order, info.mean, info.std) == ("BGR" if bgr else "RGB", mean, std)
    images = pixels()
    backbone = magface_network() if family == "magface" else network(backbone_name, **options)
    expected = expected_embedding(backbone, images, bgr, mean, std)
    found = model.embed(images, views="one")
    norms = np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(found.norms, norms, rtol=1e-4)  # AdaFace's second output
    np.testing.assert_allclose(found.vectors, expected / norms[:, None], atol=1e-4)
    if family == "crfiqa":
        quality = expected @ QUALITY["qs.weight"][0].numpy() + 0.5
        np.testing.assert_allclose(found.quality, quality, rtol=1e-3, atol=1e-3)
    else:
        np.testing.assert_array_equal(found.quality, found.norms)
    save_model(tmp_path / "own.safetensors", model.recognizer.state_dict(), info)
    again = fm.load(tmp_path / "own.safetensors")
    assert again.info == info and info.licence
    np.testing.assert_array_equal(again.embed(images, views="one").vectors, found.vectors)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("funface.pth", ["taken for FunFace's, which reads RGB"]),
        ("adaface.ckpt", []),
        ("cvlface", ["model.yaml says BGR", "note the licence: CVLface's"]),
        ("mbf.pt", ["non-commercial research only"]),
        ("32572backbone.pth", ["CC BY-NC 4.0"]),
    ],
)
def test_what_is_assumed_is_said(folder, name, expected, caplog):
    with caplog.at_level(logging.WARNING):
        fm.load(folder / name)
    assert len(caplog.messages) == len(expected)
    for message, part in zip(caplog.messages, expected, strict=True):
        assert part in message and name in message


def test_the_family_and_the_colour_order_can_be_told(folder):
    told = fm.load(folder / "funface.pth", family="adaface")
    assert told.info.color_order == "BGR" and told.info.family == "adaface"
    other = fm.load(folder / "funface.pth", color_order="BGR")
    assert other.info.color_order == "BGR" and other.info.family == "funface"
    with pytest.raises(
        CheckpointError, match=r"funface\.pth: it holds a network in the layout AdaFace's IR, which Mag"
    ):
        fm.load(folder / "funface.pth", family="magface")
    with pytest.raises(ConfigError, match="unknown family 'ada'"):
        fm.load(folder / "funface.pth", family="ada")


def test_dropout_and_trained_weights_are_the_familys(folder):
    magface = fm.load(folder / "magface.pth").recognizer.backbone
    assert isinstance(magface.dropout, torch.nn.Dropout2d) and magface.dropout.p == 0.4
    assert magface.features.weight.requires_grad and magface.bn1.eps == 2e-5
    crfiqa = fm.load(folder / "32572backbone.pth").recognizer.backbone
    assert type(crfiqa.dropout) is torch.nn.Dropout and crfiqa.dropout.p == 0.4
    assert not crfiqa.features.weight.requires_grad
    assert all(not tensor.is_meta for tensor in crfiqa.state_dict().values())


def test_a_bare_network_whose_last_norm_is_trained_could_be_magfaces(tmp_path, caplog):
    torch.save(state("iresnet18"), tmp_path / "x.pth")  # its features.weight is random
    assert fm.load(tmp_path / "x.pth").info.family == "insightface"
    assert any("could be MagFace's" in message and "--family magface" in message for message in caplog.messages)
    frozen = state("iresnet18") | {"features.weight": torch.ones(D)}
    torch.save(frozen, tmp_path / "x.pth")
    caplog.clear()
    fm.load(tmp_path / "x.pth")
    assert not any("MagFace" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.pop("features.layers.3.bias"), r"mobilefacenet .*fit: features\.layers\.3\.bias missing"),
        (lambda one: one.update({"arcface.s": torch.ones(1)}), r"do not fit: arcface\.s unexpected"),
        (
            lambda one: one.update({"layers.0.layers.1.weight": torch.ones(64)}),
            r"layers\.0\.layers\.1\.weight has shape \(64,\), mobilefacenet expects \(128,\)",
        ),
        (
            lambda one: one.update({"layers.0.layers.1.bias": torch.full((128,), float("nan"))}),
            r"layers\.0\.layers\.1\.bias has values that are not finite",
        ),
        (
            lambda one: one.update({"layers.0.layers.0.weight": torch.ones(128, 1, 3, 3)}),
            "reads 1 channels, expected the 3 of a colour image",
        ),
    ],
)
def test_networks_that_are_not_quite_one_are_explained(tmp_path, change, message):
    content = state("mobilefacenet")
    change(content)
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        fm.load(tmp_path / "x.pth")


def test_counters_of_batches_may_be_missing(tmp_path):
    content = {key: value for key, value in state("mobilefacenet").items() if "num_batches" not in key}
    torch.save(content, tmp_path / "x.pth")
    assert len(read_checkpoint(tmp_path / "x.pth").state) == len(state("mobilefacenet"))


def test_quality_layers_of_another_size_are_explained(tmp_path):
    torch.save({**state("iresnet18"), "qs.weight": torch.ones(1, 7), "qs.bias": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"qs\.weight has shape \(1, 7\), expected \(1, 8\)"):
        fm.load(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("config", "message"),
    [("color_space: HSV", "color_space is 'HSV'"), ("a: [", "cannot be read"), ("- 1", "color_space is None")],
)
def test_a_model_yaml_that_says_something_else_is_named(tmp_path, config, message):
    from facemargin.interop.model_yaml import declared_order

    (tmp_path / "model.yaml").write_text(config)
    with pytest.raises(CheckpointError, match=rf"model\.yaml.*{message}"):
        declared_order(tmp_path / "model.pt")


def test_without_model_yaml_rgb_is_assumed_and_said(tmp_path):
    from facemargin.interop.model_yaml import declared_order

    order, note = declared_order(tmp_path / "model.pt")
    assert order == "RGB" and "no model.yaml with the colour order next to" in note
    (tmp_path / "model.yaml").write_text("color_space: BGR")
    assert declared_order(tmp_path / "model.pt") == ("BGR", "model.yaml says BGR")


def test_a_model_yaml_is_never_run(tmp_path):
    from facemargin.interop.model_yaml import declared_order

    (tmp_path / "model.yaml").write_text(f"color_space: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(CheckpointError, match="cannot be read"):
        declared_order(tmp_path / "model.pt")
    assert not (tmp_path / "made").exists()


def test_folders_with_several_files_ask_which(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"several files that could be the weights: give one of .*adaface\.ckpt"):
        fm.load(folder)
    (tmp_path / "recipe.yaml").write_text("")  # a run that has not ended
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints" / "step_00000001.pt")
    with pytest.raises(CheckpointError, match="after the training has ended"):
        fm.load(tmp_path)


def test_facemargins_own_files_need_no_family(tmp_path, folder):
    model = fm.load(folder / "mbf.pt")
    save_model(tmp_path / "m.safetensors", model.recognizer.state_dict(), model.info)
    with pytest.raises(ConfigError, match="facemargin's own file"):
        fm.load(tmp_path / "m.safetensors", family="insightface")
    assert fm.load(tmp_path / "m.safetensors", color_order="BGR").info.color_order == "BGR"
