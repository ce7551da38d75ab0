import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import facemargin as fm
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.source import ArrayImages, ImageSource
from facemargin.errors import CheckpointError, ConfigError, CorruptImageError, DataError
from facemargin.models.info import file_metadata, save_model
from facemargin.models.model import Model
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


def pictures(count, height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def reference(recognizer, images, views):
    """Embeddings one image and view at a time."""
    vectors, norms = [], []
    for image in images:
        resized = resize_square(image, 16)
        versions = [resized] if views == "one" else [resized, resized[:, ::-1]]
        with torch.no_grad():
            outputs = [recognizer(normalize(to_tensor(version)[None])) for version in versions]
        features = [output.features_BD[0].double().numpy() for output in outputs]
        mean = sum(features) / len(features)
        norms.append(np.sqrt((mean**2).sum()))
        vectors.append(mean / norms[-1])
    return np.array(vectors), np.array(norms)


@pytest.mark.parametrize("views", ["one", "flip"])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_embeddings_are_unit_vectors_and_norms_of_the_views_mean(views, batch_size):
    model, images = tiny_model(), pictures(7)
    embeddings = model.embed(images, batch_size=batch_size, views=views)
    vectors, norms = reference(model.recognizer, images, views)
    np.testing.assert_allclose(embeddings.vectors, vectors, atol=1e-5)
    np.testing.assert_allclose(embeddings.norms, norms, rtol=1e-5)
    np.testing.assert_array_equal(embeddings.quality, embeddings.norms)
    np.testing.assert_allclose(np.linalg.norm(embeddings.vectors, axis=1), 1, rtol=1e-6)
    assert embeddings.vectors.shape == (7, 8) and embeddings.vectors.dtype == np.float32
    assert norms.std() > 0.01  # quality tells images apart


def test_images_of_any_size_are_resized():
    images = [pictures(1, *shape)[0] for shape in ((16, 16), (9, 30), (112, 112), (1, 1))]
    model = tiny_model()
    vectors, norms = reference(model.recognizer, images, "flip")
    embeddings = model.embed(images)
    np.testing.assert_allclose(embeddings.vectors, vectors, atol=1e-5)
    np.testing.assert_allclose(embeddings.norms, norms, rtol=1e-5)


def test_sources_and_arrays_are_the_same():
    model, images = tiny_model(), pictures(3)
    one, other = model.embed(ArrayImages(images)), model.embed(list(images))
    np.testing.assert_array_equal(one.vectors, other.vectors)


def test_no_images_give_no_embeddings():
    embeddings = tiny_model().embed([])
    assert embeddings.vectors.shape == (0, 8) and embeddings.norms.shape == (0,)


def test_flip_does_not_tell_an_image_from_its_mirror():
    model, images = tiny_model(), pictures(4)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    for views in ("flip", "multi"):
        one, other = model.embed(images, views=views), model.embed(mirrored, views=views)
        np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-4)
        np.testing.assert_allclose(one.norms, other.norms, rtol=1e-4)
    one, other = model.embed(images, views="one"), model.embed(mirrored, views="one")
    assert not np.allclose(one.vectors, other.vectors, atol=1e-2)


def test_the_models_own_views_are_the_default():
    images = pictures(3)
    for views in ("one", "flip", "multi"):
        model = tiny_model(views=views)
        np.testing.assert_array_equal(model.embed(images).vectors, model.embed(images, views=views).vectors)


def test_a_bgr_model_sees_colours_the_other_way_round():
    images = pictures(3)
    rgb, bgr = tiny_model(color_order="RGB"), tiny_model(color_order="BGR")
    np.testing.assert_allclose(bgr.embed(images[..., ::-1]).vectors, rgb.embed(images).vectors, atol=1e-6)
    assert not np.allclose(bgr.embed(images).vectors, rgb.embed(images).vectors, atol=1e-3)


def test_mean_and_std_are_the_models_own():
    # (v − 0) / 255 of an image is (w − 127.5) / 127.5 of w = v/2 + 127.5.
    images = pictures(3)
    halved = (images // 2 * 2).astype(np.uint8)
    other = tiny_model(mean=0.0, std=255.0)
    brighter = (halved.astype(float) / 2 + 127.5).astype(np.float64)
    with torch.no_grad():
        pixels = torch.from_numpy((brighter - 127.5) / 127.5).permute(0, 3, 1, 2).float()
        features = other.recognizer(pixels).features_BD.numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(other.embed(halved, views="one").vectors, expected, atol=1e-5)


def test_progress_is_told_after_every_batch():
    told = []
    tiny_model().embed(pictures(7), batch_size=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_embedding_leaves_the_network_as_it_was():
    recognizer = tiny_recognizer()
    before = {key: value.clone() for key, value in recognizer.state_dict().items()}
    model = Model(recognizer.train(), model_info())
    model.embed(pictures(5))
    assert not recognizer.training
    for key, value in recognizer.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_what_is_not_an_image_is_named():
    with pytest.raises(DataError, match=r"image 1 is float64 of shape \(16, 16, 3\)"):
        tiny_model().embed([pictures(1)[0], pictures(1)[0] / 255.0])


class Corrupt(ImageSource):
    name = "faces"

    def __len__(self):
        return 2

    def read(self, index):
        raise CorruptImageError(f"{self.describe(index)} cannot be read")

    def describe(self, index):
        return f"faces/{index}.jpg"


def test_an_image_that_cannot_be_read_is_named():
    with pytest.raises(CorruptImageError, match=r"faces/0\.jpg"):
        tiny_model().embed(Corrupt())


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8"])
def test_batches_of_no_size_are_refused(batch_size):
    """Of a negative size there would be none, and the embeddings whatever lay in memory."""
    with pytest.raises(ConfigError, match=r"batch_size is .*, expected a whole number of at least 1"):
        tiny_model().embed(pictures(2), batch_size=batch_size)


@pytest.mark.filterwarnings("error")
def test_images_that_may_not_be_written_to_are_read_without_a_warning():
    images = pictures(2)
    images.flags.writeable = False
    tiny_model().embed(images)


def test_what_is_no_model_and_no_device_is_said(tmp_path):
    with pytest.raises(ConfigError, match="the model is a NoneType, expected the path of a model file"):
        fm.load(None)
    with pytest.raises(ConfigError, match="the model is a str, expected a Model"):
        fm.export_onnx("model.safetensors", tmp_path / "a.onnx")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(ConfigError, match=f"device is '{name}'"):
            Model(tiny_recognizer(), model_info(), name)


def test_unknown_views_are_refused():
    with pytest.raises(ConfigError, match="unknown views"):
        tiny_model().embed(pictures(1), views="two")


def test_a_saved_model_embeds_alike(tmp_path):
    model, images = tiny_model(views="multi"), pictures(3)
    save_model(tmp_path / "model.safetensors", model.recognizer.state_dict(), model.info)
    for path in (tmp_path, str(tmp_path), tmp_path / "model.safetensors"):  # the run folder, and the file
        loaded = fm.load(path)
        assert loaded.info == model.info
        np.testing.assert_array_equal(loaded.embed(images).vectors, model.embed(images).vectors)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model file .*model\.safetensors; a run folder has one after"):
        fm.load(tmp_path)
    with pytest.raises(CheckpointError, match=r"no model file .*nothing"):
        fm.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"input_size": 16, "width": 8}},
        {"options": {"input_size": 16, "widht": 4}},
        {"options": {"input_size": "large"}},
        {"options": [1, 2]},
        {"embedding_size": 16},
        {"backbone": "ir_18"},
        {"backbone": "resnet"},
        {"backbone": 5},
    ],
)
def test_weights_that_do_not_fit_their_description_are_refused(tmp_path, changes):
    path = tmp_path / "model.safetensors"
    save_file(tiny_recognizer().state_dict(), path, metadata=file_metadata(model_info(**changes)))
    with pytest.raises(CheckpointError, match=r"model\.safetensors does not fit its own description"):
        fm.load(path)


def test_images_are_taken_in_every_form(tmp_path):
    """What forms there are is given_images' test."""
    trained, images = tiny_model(), pictures(3)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[:, :, ::-1])
    expected = trained.embed(images).vectors
    of_pil = [Image.fromarray(image) for image in images]
    for given in (list(images), paths, [str(path) for path in paths], of_pil, torch.from_numpy(images)):
        np.testing.assert_array_equal(trained.embed(given).vectors, expected)
    for one in (images[0], str(paths[0]), paths[0], of_pil[0]):
        np.testing.assert_allclose(trained.embed(one).vectors, expected[:1], atol=1e-6)
    with pytest.raises(DataError, match=r"image 0 is float32 .* if they mean 0…1"):
        trained.embed([images[0] / np.float32(255)])


def test_a_model_says_what_it_is():
    trained = tiny_model()
    said = repr(trained)
    for part in (trained.info.backbone, f"{trained.info.embedding_size} values", "RGB", "views", "cpu"):
        assert part in said
