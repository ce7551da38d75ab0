"""A model with a reconstructor: what it embeds and reconstructs, its file, and what it says when it has none."""

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.source import ArrayImages
from facemargin.errors import CheckpointError, ConfigError, DataError
from facemargin.models.info import save_model
from facemargin.models.model import Model
from facemargin.models.recognizer import create_recognizer
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer

SETTINGS = {"width": 4, "latent_size": 8}
ALONE = {"backbone": None, "options": {}, "embedding_size": 0, "loss": "reconstruction", "reconstruction": SETTINGS}


def pictures(count, side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def model_of(**changes) -> Model:
    info = model_info(**changes)
    torch.manual_seed(0)
    recognizer = create_recognizer(info)
    with torch.no_grad():
        for parameter in recognizer.reconstructor.parameters():  # far from the mean head that the networks start from
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Model(recognizer, info)


def assert_alike(one, other, **tolerance):
    for name, value in vars(one).items():
        torch.testing.assert_close(getattr(other, name), value, **tolerance)


def test_every_view_is_reconstructed_and_embedded():
    model, images = model_of(reconstruction=SETTINGS), pictures(3)
    expected = []
    for image in images:
        with torch.no_grad():
            views = [normalize(to_tensor(np.ascontiguousarray(view))[None]) for view in (image, image[:, ::-1])]
            features = [model.recognizer(view).features_BD[0].numpy() for view in views]
        expected.append(sum(features) / 2)
    embeddings = model.embed(images, batch_size=2, views="flip")
    np.testing.assert_allclose(embeddings.vectors * embeddings.norms[:, None], expected, atol=1e-4)
    backbone = model.recognizer.backbone
    assert backbone.in_channels == 7 and backbone.stem[0].weight.shape[1] == 7


def test_the_reconstruction_is_the_reconstructors_of_the_resized_images():
    for changes in ({"reconstruction": SETTINGS}, ALONE):
        model, images = model_of(**changes), pictures(3, side=20)
        inputs_BCHW = normalize(torch.stack([to_tensor(resize_square(image, 16)) for image in images]))
        with torch.no_grad():
            expected = model.recognizer.reconstructor(inputs_BCHW)
        assert_alike(expected, model.reconstruct(images), rtol=1e-5, atol=1e-6)
        assert_alike(expected, model.reconstruct(ArrayImages(images)), rtol=1e-5, atol=1e-6)
        assert expected.canonical_depth_BHW.std(0).max() > 1e-4  # images differ


def test_a_bgr_model_reconstructs_in_its_own_order():
    rgb, bgr = (model_of(color_order=order, **ALONE) for order in ("RGB", "BGR"))
    assert_alike(rgb.reconstruct(pictures(2)), bgr.reconstruct(pictures(2)[..., ::-1]))


@pytest.mark.parametrize("changes", [{"reconstruction": SETTINGS}, {"reconstruction": SETTINGS, "quality": "crfiqa"}])
def test_a_saved_joint_model_does_alike(tmp_path, changes):
    model, images = model_of(**changes), pictures(3)
    save_model(tmp_path / "model.safetensors", model.recognizer.state_dict(), model.info)
    loaded = fm.load(tmp_path)
    assert loaded.info == model.info
    np.testing.assert_array_equal(loaded.embed(images).vectors, model.embed(images).vectors)
    np.testing.assert_array_equal(loaded.embed(images).quality, model.embed(images).quality)
    assert_alike(model.reconstruct(images), loaded.reconstruct(images), rtol=0, atol=0)


def test_a_saved_reconstruction_does_alike_and_embeds_nobody(tmp_path):
    model, images = model_of(**ALONE), pictures(3)
    assert all(key.startswith("reconstructor.") for key in model.recognizer.state_dict())
    save_model(tmp_path / "model.safetensors", model.recognizer.state_dict(), model.info)
    loaded = fm.load(tmp_path)
    assert loaded.info == model.info
    assert_alike(model.reconstruct(images), loaded.reconstruct(images), rtol=0, atol=0)
    with pytest.raises(ConfigError, match="only has a face reconstruction and cannot recognise people"):
        loaded.embed(images)


def test_a_model_without_one_says_what_to_train():
    with pytest.raises(ConfigError, match=r"\(small_resnet, funface\) has no face reconstruction: train one with"):
        tiny_model().reconstruct(pictures(1))


def test_no_images_are_refused():
    with pytest.raises(DataError, match="no images"):
        model_of(**ALONE).reconstruct([])


@pytest.mark.parametrize(
    "changes",
    [
        {"reconstruction": SETTINGS},  # said, but not held
        {"reconstruction": {"widht": 4}},
        {"reconstruction": {"width": 3}},
        {"reconstruction": [1]},
        ALONE,
    ],
)
def test_weights_that_do_not_fit_their_description_are_refused(tmp_path, changes):
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_recognizer().state_dict(), model_info(**changes))
    with pytest.raises(CheckpointError, match=r"model\.safetensors does not fit its own description"):
        fm.load(path)
