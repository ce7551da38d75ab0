"""The released checkpoints' layouts load strictly, and their published networks' outputs are reproduced."""

import json

import numpy as np
import pytest
import torch

from facemargin.backbones import create_backbone
from tests.real.backbone_oracles import ORACLES, TOLERANCE, filled_tensor, relative_error

pytestmark = pytest.mark.skipif(not ORACLES.is_dir(), reason=f"no backbone fixtures at {ORACLES}")

CASES = {
    "adaface_ir_18": ("ir_18", {}),
    "funface_ir_18": ("ir_18", {}),
    "insightface_r18": ("iresnet18", {}),
    "insightface_mbf": ("mobilefacenet", {}),
    "magface_iresnet18": ("iresnet18", {"batch_norm_eps": 2e-5, "train_features_weight": True}),
}


def fixture_features(case: str, **overrides) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    name, options = CASES[case]
    with np.load(ORACLES / f"backbone_{case}.npz") as stored:
        oracle = dict(stored)
    state = {key: filled_tensor(key, shape) for key, shape in json.loads(str(oracle["keys"])).items()}
    backbone = create_backbone(name, **{**options, **overrides})
    backbone.load_state_dict(state, strict=True)
    images_BCHW = np.random.RandomState(7).uniform(-1, 1, (2, 3, 112, 112)).astype("f4")
    with torch.no_grad():
        features_BD = backbone.eval()(torch.from_numpy(images_BCHW))
    return features_BD.numpy().astype(np.float64), oracle


@pytest.mark.parametrize("case", [case for case in CASES if case != "adaface_ir_18"])
def test_features_reproduce_the_published_network(case):
    features_BD, oracle = fixture_features(case)
    assert relative_error(features_BD, oracle["out0"]) < TOLERANCE


def test_adaface_unit_vector_and_norm_are_reproduced():
    features_BD, oracle = fixture_features("adaface_ir_18")
    norm_B1 = np.linalg.norm(features_BD, axis=1, keepdims=True)
    assert relative_error(features_BD / norm_B1, oracle["out0"]) < TOLERANCE
    assert relative_error(norm_B1, oracle["out1"]) < TOLERANCE


@pytest.mark.parametrize(("case", "wrong_eps"), [("magface_iresnet18", 1e-5), ("insightface_r18", 2e-5)])
def test_the_fixture_tells_a_wrong_batch_norm_eps(case, wrong_eps):
    features_BD, oracle = fixture_features(case, batch_norm_eps=wrong_eps)
    assert relative_error(features_BD, oracle["out0"]) > TOLERANCE
