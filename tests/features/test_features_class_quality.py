import numpy as np
import pytest
import torch

from facemargin.data.source import ArrayImages
from facemargin.errors import CheckpointError, DataError
from facemargin.evaluation import Embeddings
from facemargin.features.class_quality import certainty_ratio_quality, load_centers
from facemargin.models.info import save_model
from tests.models.tiny_models import model_info


def embeddings(count, size=6, seed=0):
    vectors_ND = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    norms_N = np.linalg.norm(vectors_ND, axis=1)
    return Embeddings(vectors_ND / norms_N[:, None], norms_N, norms_N)


def images(count):
    return ArrayImages(np.zeros((count, 2, 2, 3), np.uint8), "faces")


def test_the_ratio_follows_a_loop():
    given, centers_CD = embeddings(40), torch.randn(5, 6, generator=torch.Generator().manual_seed(1)) * 3
    classes = np.random.default_rng(2).integers(0, 5, 40)
    result = certainty_ratio_quality(lambda source: given, centers_CD, classes)(images(40))
    centers = centers_CD.double().numpy()
    expected = []
    for vector, own in zip(given.vectors.astype(np.float64), classes, strict=True):
        cosines = [float(vector @ center) / np.sqrt(center @ center) for center in centers]
        hardest = max(cosine for label, cosine in enumerate(cosines) if label != own)
        expected.append(min(max(cosines[own], 0), 1) / (min(max(hardest, 0), 1) + 1e-5))
    np.testing.assert_allclose(result.quality, expected, rtol=1e-4)
    assert len(set(np.sign(np.array(expected)))) == 2  # own centres on both sides
    np.testing.assert_array_equal(result.vectors, given.vectors)
    np.testing.assert_array_equal(result.norms, given.norms)


def test_another_set_than_the_classes_are_of_is_refused():
    embed = certainty_ratio_quality(lambda source: embeddings(3), torch.randn(5, 6), [0, 1])
    with pytest.raises(DataError, match="2 classes given for the 3 images of faces"):
        embed(images(3))


def test_centres_are_read_from_a_runs_head(tmp_path):
    path = tmp_path / "head.safetensors"
    save_model(path, {"weight": torch.eye(3), "margin.x": torch.tensor(1.0)}, model_info())
    torch.testing.assert_close(load_centers(path), torch.eye(3))
    save_model(path, {"stem": torch.eye(3)}, model_info())
    with pytest.raises(CheckpointError, match=r"head\.safetensors holds no class centres"):
        load_centers(path)
