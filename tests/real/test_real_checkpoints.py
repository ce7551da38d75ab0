"""Every backbone fixture through its family's own files, by `fm.load`, to the published network's outputs."""

import argparse
import json
import pathlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import facemargin as fm
from facemargin.models.info import save_model
from tests.real.backbone_oracles import ORACLES, TOLERANCE, filled_tensor, relative_error

pytestmark = pytest.mark.skipif(not ORACLES.is_dir(), reason=f"no backbone fixtures at {ORACLES}")


class ModelCheckpoint:
    """Lightning's callback, by whose class older versions name its state."""


def state(case, prefix=""):
    with np.load(ORACLES / f"backbone_{case}.npz") as stored:
        keys = json.loads(str(stored["keys"]))
    return OrderedDict((prefix + key, filled_tensor(key, shape)) for key, shape in keys.items())


def write_adaface(path):
    head = {"head.kernel": torch.randn(512, 10), "head.t": torch.zeros(1)}
    head |= {"head.batch_mean": torch.ones(1) * 20, "head.batch_std": torch.ones(1) * 100}
    content = {
        "epoch": 25,
        "pytorch-lightning_version": "1.4.4",
        "state_dict": OrderedDict({**state("adaface_ir_18", "model."), **head}),
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.9), "dirpath": pathlib.Path("x")}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": argparse.Namespace(arch="ir_18", lr=np.float64(0.1), head="adaface"),
    }
    torch.save(content, path / "adaface_ir18_webface4m.ckpt")
    return path / "adaface_ir18_webface4m.ckpt"


def write_funface(path):
    torch.save(state("funface_ir_18"), path / "funface.pth")
    return path / "funface.pth"


def write_cvlface(path):
    (path / "pretrained_model").mkdir()
    (path / "pretrained_model" / "model.yaml").write_text("input_size: [3, 112, 112]\ncolor_space: 'RGB'\n")
    save_file(state("funface_ir_18", "model.net."), path / "model.safetensors")
    return path


def write_cvlface_pt(path):
    (path / "pretrained_model").mkdir()
    (path / "pretrained_model" / "model.yaml").write_text("color_space: BGR")
    torch.save(state("funface_ir_18", "net."), path / "pretrained_model" / "model.pt")
    return path


def write_insightface(path):
    torch.save(state("insightface_r18"), path / "backbone.pth", _use_new_zipfile_serialization=False)
    return path / "backbone.pth"


def write_training(path):
    content = {"epoch": 3, "state_dict_backbone": state("insightface_r18"), "state_optimizer": {"state": {}}}
    torch.save({**content, "state_dict_softmax_fc": {"weight": torch.ones(3, 512)}}, path / "checkpoint_gpu_0.pt")
    return path / "checkpoint_gpu_0.pt"


def write_mobilefacenet(path):
    torch.save(state("insightface_mbf"), path / "model.pt")
    return path / "model.pt"


def write_magface(path):
    content = {**state("magface_iresnet18", "features.module."), "parallel_fc.weight": torch.ones(4, 512)}
    torch.save({"epoch": 25, "arch": "iresnet18", "state_dict": content}, path / "magface_epoch_00025.pth")
    return path / "magface_epoch_00025.pth"


def write_magface_single(path):
    content = {**state("magface_iresnet18", "module.features."), "module.fc.weight": torch.ones(512, 4)}
    torch.save({"state_dict": content}, path / "magface.pth")
    return path / "magface.pth"


def write_crfiqa(path):
    content = {**state("insightface_r18"), "qs.weight": torch.ones(1, 512), "qs.bias": torch.zeros(1)}
    torch.save(content, path / "32572backbone.pth")
    return path / "32572backbone.pth"


# file → fixture, family, colour order, mean, std
CASES = {
    write_adaface: ("adaface_ir_18", "adaface", "BGR", 127.5, 127.5),
    write_funface: ("funface_ir_18", "funface", "RGB", 127.5, 127.5),
    write_cvlface: ("funface_ir_18", "cvlface", "RGB", 127.5, 127.5),
    write_cvlface_pt: ("funface_ir_18", "cvlface", "BGR", 127.5, 127.5),
    write_insightface: ("insightface_r18", "insightface", "RGB", 127.5, 127.5),
    write_training: ("insightface_r18", "insightface", "RGB", 127.5, 127.5),
    write_mobilefacenet: ("insightface_mbf", "insightface", "RGB", 127.5, 127.5),
    write_magface: ("magface_iresnet18", "magface", "BGR", 0.0, 255.0),
    write_magface_single: ("magface_iresnet18", "magface", "BGR", 0.0, 255.0),
    write_crfiqa: ("insightface_r18", "crfiqa", "RGB", 127.5, 127.5),
}


@pytest.mark.parametrize("write", CASES, ids=lambda write: write.__name__.removeprefix("write_"))
def test_the_familys_file_gives_the_published_networks_outputs(write, tmp_path):
    case, family, order, mean, std = CASES[write]
    model = fm.load(write(tmp_path))
    info = model.info
    assert (info.family, info.color_order, info.mean, info.std) == (family, order, mean, std)
    assert (info.embedding_size, info.input_size) == (512, 112)
    images_BCHW = torch.from_numpy(np.random.RandomState(7).uniform(-1, 1, (2, 3, 112, 112)).astype("f4"))
    with torch.no_grad():
        output = model.recognizer(images_BCHW)
    features_BD = output.features_BD.numpy().astype(np.float64)
    with np.load(ORACLES / f"backbone_{case}.npz") as stored:
        oracle = dict(stored)
    if case == "adaface_ir_18":  # which returns the unit vector and the norm
        norm_B1 = np.linalg.norm(features_BD, axis=1, keepdims=True)
        assert relative_error(features_BD / norm_B1, oracle["out0"]) < TOLERANCE
        assert relative_error(norm_B1, oracle["out1"]) < TOLERANCE
    else:
        assert relative_error(features_BD, oracle["out0"]) < TOLERANCE
    if family == "crfiqa":
        assert relative_error(output.quality_B.numpy(), oracle["out0"].sum(1)) < 1e-4
    else:
        assert output.quality_B is None


def test_a_converted_file_gives_them_too(tmp_path):
    model = fm.load(write_magface(tmp_path))
    save_model(tmp_path / "own.safetensors", model.recognizer.state_dict(), model.info)
    own = fm.load(tmp_path / "own.safetensors")
    images_BCHW = torch.from_numpy(np.random.RandomState(7).uniform(-1, 1, (2, 3, 112, 112)).astype("f4"))
    with torch.no_grad(), np.load(ORACLES / "backbone_magface_iresnet18.npz") as stored:
        assert relative_error(own.recognizer(images_BCHW).features_BD.numpy(), stored["out0"]) < TOLERANCE
