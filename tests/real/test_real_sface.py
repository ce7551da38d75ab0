"""SFace by name on real faces: onnxruntime's features, the accuracy that is known, and what our networks can do."""

import numpy as np
import onnxruntime
import pytest
import torch

import facemargin as fm
from facemargin.interop.onnx_graph import compute_constants, read_graph, remove_false_inputs
from facemargin.interop.released import RELEASED, is_here, released_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_here(RELEASED["sface"]), reason="SFace is not here: facemargin models get sface"),
]


@pytest.fixture(scope="module")
def model():
    return fm.load("sface", "cpu")


@pytest.fixture(scope="module")
def faces(shared_data):
    images = fm.open_verification(shared_data / "data" / "lfw" / "lfw_fold1.bin").images
    return [images.read(index) for index in range(0, len(images), len(images) // 24)]


def test_features_are_those_of_onnxruntime(model, faces):
    graph = read_graph(released_file("sface"))
    for clean in (remove_false_inputs, compute_constants, remove_false_inputs):
        clean(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    raw = np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32)
    expected = np.concatenate([session.run(None, {"data": image[None]})[0] for image in raw])
    found = model.embed(faces, views="one")
    features = found.vectors * found.norms[:, None]
    assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()
    assert 8 < found.norms.mean() < 16


@pytest.mark.long
def test_it_tells_people_apart_as_it_is_known_to(model, shared_data):
    """On every third pair of a fold: at most two mistakes in 200, as .9938 of all seven folds lets expect."""
    pairs = fm.open_verification(shared_data / "data" / "lfw" / "lfw_fold1.bin")
    first_K, second_K, same_K = (values[::3] for values in (pairs.first_K, pairs.second_K, pairs.same_K))
    needed, rows = np.unique(np.concatenate([first_K, second_K]), return_inverse=True)
    vectors = model.embed([pairs.images.read(index) for index in needed.tolist()], views="one").vectors
    scores_K = (vectors[rows[: len(first_K)]] * vectors[rows[len(first_K) :]]).sum(1)
    assert len(same_K) == 200 and 80 < same_K.sum() < 120
    accuracy = max(np.mean((scores_K >= threshold) == same_K) for threshold in scores_K)
    assert accuracy >= 0.99


def test_it_is_exported_and_computes_in_bf16(model, faces, tmp_path):
    parity = fm.export_onnx(model, tmp_path / "sface.onnx", check=faces[:4])
    assert "cosine" in str(parity) or str(parity)
    rough = fm.load("sface", "cpu", precision="bf16").embed(faces, views="one").vectors
    assert ((rough * model.embed(faces, views="one").vectors).sum(1) > 0.99).all()


def test_it_can_be_fine_tuned(model, tmp_path):
    from rich.console import Console

    recipe = fm.load_recipe(
        "small_cpu",
        epochs=1,
        batch_size=10,
        data={"train": "orl:1-3"},
        backbone={"name": "mobilenet_v1", "embedding_size": 128, "input_size": 112},
        initial={"weights": "sface"},
        optimizer={"learning_rate": 1e-6},
    )
    assert fm.train(recipe, str(tmp_path / "run"), console=Console(quiet=True))
    tuned = fm.load(tmp_path / "run", "cpu")
    images = fm.open_images("orl:5")
    found, before = tuned.embed(images, views="one").vectors, model.embed(images, views="one").vectors
    assert ((found * before).sum(1) > 0.9).all()
    assert torch.isfinite(torch.from_numpy(found)).all()
