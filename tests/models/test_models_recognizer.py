"""A backbone with CR-FIQA's layer: its output, what `embed` makes of it, and its file."""

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.data.images.pixels import normalize, to_tensor
from facemargin.errors import CheckpointError
from facemargin.models.info import save_model
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def test_the_prediction_is_the_layers_of_the_unnormalised_feature():
    recognizer, images_BCHW = tiny_recognizer("crfiqa"), torch.rand(5, 3, 16, 16) * 2 - 1
    output = recognizer(images_BCHW)
    torch.testing.assert_close(output.features_BD, recognizer.backbone(images_BCHW))
    layer = recognizer.quality.linear
    torch.testing.assert_close(output.quality_B, output.features_BD @ layer.weight[0] + layer.bias)
    assert tiny_recognizer()(images_BCHW).quality_B is None


def test_the_layer_is_part_of_the_weights():
    with_layer, without = tiny_recognizer("crfiqa").state_dict(), tiny_recognizer().state_dict()
    assert with_layer.keys() - without.keys() == {"quality.linear.weight", "quality.linear.bias"}
    assert all(key.startswith("backbone.") for key in without)


@pytest.mark.parametrize("views", ["one", "flip"])
def test_quality_is_the_mean_of_the_views_predictions(views):
    model, images = tiny_model(quality="crfiqa"), pictures(7)
    embeddings = model.embed(images, batch_size=3, views=views)
    expected = []
    for image in images:
        versions = [image] if views == "one" else [image, image[:, ::-1]]
        with torch.no_grad():
            outputs = [model.recognizer(normalize(to_tensor(version)[None])) for version in versions]
        expected.append(sum(output.quality_B.item() for output in outputs) / len(outputs))
    np.testing.assert_allclose(embeddings.quality, expected, atol=1e-5)
    assert embeddings.quality.dtype == np.float32 and embeddings.quality.std() > 1e-3
    assert not np.allclose(embeddings.quality, embeddings.norms)
    assert model.embed([]).quality.shape == (0,)
    model.recognizer.quality = None
    without = model.embed(images, batch_size=3, views=views)
    np.testing.assert_array_equal(without.vectors, embeddings.vectors)
    np.testing.assert_array_equal(without.quality, without.norms)


def test_a_saved_model_predicts_alike(tmp_path):
    model, images = tiny_model(quality="crfiqa"), pictures(3)
    path = tmp_path / "model.safetensors"
    save_model(path, model.recognizer.state_dict(), model.info)
    loaded = fm.load(path)
    assert loaded.info.quality == "crfiqa"
    np.testing.assert_array_equal(loaded.embed(images).quality, model.embed(images).quality)


@pytest.mark.parametrize(("held", "said"), [("norm", "crfiqa"), ("crfiqa", "norm")])
def test_a_layer_that_is_said_but_not_there_or_there_but_not_said_is_refused(tmp_path, held, said):
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_recognizer(held).state_dict(), model_info(quality=said))
    with pytest.raises(CheckpointError, match=r"(?s)model\.safetensors does not fit its own description: .*quality"):
        fm.load(path)
