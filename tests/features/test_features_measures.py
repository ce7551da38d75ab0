"""Measures of quality by name, with settings, and what is refused."""

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.data.source import ArrayImages
from facemargin.errors import ConfigError, CorruptImageError, DataError
from facemargin.features.measures import MEASURES, make_measure
from facemargin.models.recognizer import NoBackbone, Recognizer
from tests.models.tiny_models import tiny_model


def faces(count=5):
    return list(np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def test_every_measure_has_words():
    assert set(fm.list_measures()) >= {"norm", "crfiqa", "certainty-ratio", "serfiq", "grafiqs", "image-statistics"}
    assert all(MEASURES.description(name) for name in fm.list_measures())


def test_those_of_embeddings_are_theirs():
    model, images = tiny_model(quality="crfiqa"), faces()
    embeddings = model.embed(images)
    np.testing.assert_array_equal(fm.measure_quality(model, images), embeddings.norms)
    np.testing.assert_array_equal(fm.measure_quality(model, images, "crfiqa"), embeddings.quality)
    assert not np.allclose(embeddings.norms, embeddings.quality)


def test_embeddings_that_are_there_are_not_computed_again():
    model, images = tiny_model(), ArrayImages(np.stack(faces()), "them")
    embeddings = model.embed(images)
    model.embed = None
    np.testing.assert_array_equal(make_measure("norm", model)(images, lambda _: embeddings), embeddings.norms)
    make_measure("grafiqs", model)(images, None)


def test_progress_is_told_and_files_are_read(tmp_path):
    import cv2

    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, faces(), strict=False):
        cv2.imwrite(str(path), image[:, :, ::-1])
    told = []
    found = fm.measure_quality(tiny_model(), paths, "grafiqs", lambda *counts: told.append(counts))
    np.testing.assert_array_equal(found, fm.measure_quality(tiny_model(), faces(3), "grafiqs"))
    assert told == [(1, 3), (2, 3), (3, 3)]
    paths[1].write_bytes(b"garbage")
    with pytest.raises(CorruptImageError, match=r"1\.png"):
        fm.measure_quality(tiny_model(), paths, "grafiqs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nrm", "unknown measure of quality 'nrm'; did you mean 'norm'"),
        ("crfiqa", "no layer that predicts quality: train with"),
        ("certainty-ratio", "facemargin evaluate RUN --quality certainty-ratio"),
        ("norm:a=1", "'norm:a=1': it has no settings"),
        ("serfiq:drop=1", "unknown setting of the measure serfiq 'drop'; did you mean 'dropout'"),
        ("serfiq:passes", "'passes' is not a setting, expected name=value"),
        ("serfiq:passes=ten", "passes is 'ten', expected a whole number"),
        ("serfiq:dropout=much", "dropout is 'much', expected a number"),
        ("serfiq:seed=1:seed=2", "seed is given twice"),
    ],
)
def test_unknown_names_and_settings_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        fm.measure_quality(tiny_model(), faces(1), text)


@pytest.mark.parametrize("name", ["serfiq", "grafiqs"])
def test_a_model_without_a_torch_network_is_refused(name):
    model = tiny_model()
    model.recognizer = Recognizer(NoBackbone(16))
    with pytest.raises(ConfigError, match=f"{name} needs a network with weights"):
        make_measure(name, model)


def test_a_quality_that_is_not_finite_is_named():
    model = tiny_model()
    with torch.no_grad():
        next(module for module in model.backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)).bias.fill_(
            torch.nan
        )
    with pytest.raises(DataError, match=r"grafiqs is not finite .* for the given images: image 0"):
        fm.measure_quality(model, faces(2), "grafiqs")


def test_image_statistics_are_the_smallest_margins_of_the_gate():
    images = [*faces(2), fm.open_images("orl").read(0)]
    expected = [fm.image_statistics(image).quality() for image in images]
    np.testing.assert_allclose(fm.measure_quality(tiny_model(), images, "image-statistics"), expected, rtol=1e-6)
    assert max(expected[:2]) < 0 < expected[2]  # noise, and a face
