from itertools import combinations

import cv2
import numpy as np
import pytest

from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages
from facemargin.errors import ConfigError, CorruptImageError, DataError
from facemargin.evaluation import Embeddings, evaluate_verification, fit_pca_embed, fit_pixel_embed
from facemargin.evaluation.protocols import verification as module


def random_images(count, seed=0, size=20):
    return ArrayImages(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def all_pairs(images, identities=None, folds=None):
    first, second = np.triu_indices(len(images), 1)
    same = identities[first] == identities[second] if identities is not None else first % 2 == 0
    return VerificationSet("toy", images, first, second, same, folds, identities)


class FixedEmbed:
    """Embeds image i as row i of an array, and counts the calls."""

    def __init__(self, vectors, quality):
        self.vectors = np.asarray(vectors, dtype=np.float32)
        self.quality = np.asarray(quality, dtype=np.float32)
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return Embeddings(self.vectors, np.linalg.norm(self.vectors, axis=1), self.quality)


@pytest.mark.parametrize("pairs_a_block", [1, 4, 1000])
def test_each_pair_is_scored_by_the_cosine_of_its_images(monkeypatch, pairs_a_block):
    monkeypatch.setattr(module, "PAIRS_A_BLOCK", pairs_a_block)
    vectors = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embed = FixedEmbed(vectors, np.arange(6) + 0.5)
    identities = np.array([4, 4, 2, 2, 2, 9])
    pairs = all_pairs(random_images(6), identities, folds=np.arange(15) % 3)
    result = evaluate_verification(embed, pairs, "mine")
    assert embed.calls == 1
    assert (result.system, result.dataset) == ("mine", "toy")
    for k, (i, j) in enumerate(combinations(range(6), 2)):
        assert result.scores_K[k] == pytest.approx(
            sum(float(x) * float(y) for x, y in zip(vectors[i], vectors[j], strict=True)), abs=1e-12
        )
        assert (result.quality_a_K[k], result.quality_b_K[k]) == (i + 0.5, j + 0.5)
        assert (result.identities_a_K[k], result.identities_b_K[k]) == (identities[i], identities[j])
        assert result.same_K[k] == (identities[i] == identities[j])
    np.testing.assert_array_equal(result.folds_K, np.arange(15) % 3)


def test_what_the_set_does_not_say_stays_unsaid():
    result = evaluate_verification(FixedEmbed(np.eye(3), np.ones(3)), all_pairs(random_images(3)), "mine")
    assert result.identities_a_K is None and result.identities_b_K is None and result.folds_K is None


def test_an_image_that_cannot_be_read_ends_the_evaluation_with_its_name(tmp_path):
    for name in ("a.png", "b.png", "broken.png"):
        cv2.imwrite(str(tmp_path / name), random_images(1).read(0))
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    pairs = all_pairs(ImageFiles(tmp_path, ["a.png", "b.png", "broken.png"]))
    embed = fit_pixel_embed(ImageFiles(tmp_path, ["a.png"]))
    with pytest.raises(CorruptImageError, match=r"broken\.png"):
        evaluate_verification(embed, pairs, "pixels")


def test_embeddings_that_do_not_fit_are_refused():
    pairs = all_pairs(random_images(3))
    with pytest.raises(DataError, match="2 embeddings for the 3 images"):
        evaluate_verification(FixedEmbed(np.eye(2), np.ones(2)), pairs, "mine")
    with pytest.raises(DataError, match=r"mine returned a vector that is not finite for arrays: image 1"):
        evaluate_verification(FixedEmbed([[1, 0], [np.nan, 0], [0, 1]], np.ones(3)), pairs, "mine")
    with pytest.raises(DataError, match=r"a quality that is not finite for arrays: image 2"):
        evaluate_verification(FixedEmbed(np.eye(3), [1, 1, np.inf]), pairs, "mine")


def gray_rows(images, size):
    rows = []
    for index in range(len(images)):
        gray = cv2.cvtColor(images.read(index), cv2.COLOR_RGB2GRAY)
        rows.append(cv2.resize(gray, (size, size)).astype(np.float64).ravel())
    return np.array(rows)


def test_pixels_are_compared_after_the_mean_training_image_is_taken_off():
    train, test = random_images(5, seed=1), random_images(3, seed=2)
    result = fit_pixel_embed(train, size=8)(test)
    centered = gray_rows(test, 8) - gray_rows(train, 8).mean(axis=0)
    for row, vector, norm in zip(centered, result.vectors, result.norms, strict=True):
        assert norm == pytest.approx(np.sqrt(sum(row**2)), rel=1e-6)
        np.testing.assert_allclose(vector, row / np.sqrt(sum(row**2)), atol=1e-6)
    np.testing.assert_array_equal(result.quality, result.norms)


def test_whitened_components_have_unit_covariance_on_the_training_images():
    train = random_images(40, seed=3)
    embeddings = fit_pca_embed(train, components=6, size=8)(train)
    whitened = embeddings.vectors.astype(np.float64) * embeddings.norms[:, None]
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(whitened.T @ whitened / 39, np.eye(6), atol=1e-5)


def test_whitening_keeps_the_directions_of_largest_variance():
    train = random_images(40, seed=3)
    pixels = gray_rows(train, 8) - gray_rows(train, 8).mean(axis=0)
    variances, directions = np.linalg.eigh(pixels.T @ pixels / 39)
    expected = pixels @ directions[:, -2:] / np.sqrt(variances[-2:])
    embeddings = fit_pca_embed(train, components=2, size=8)(train)
    scores = (embeddings.vectors @ embeddings.vectors.T).astype(np.float64)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(scores, unit @ unit.T, atol=1e-5)


def test_an_image_equal_to_the_mean_scores_zero():
    gray = np.full((2, 9, 9, 3), 77, dtype=np.uint8)
    result = fit_pixel_embed(ArrayImages(gray))(ArrayImages(gray[:1]))
    np.testing.assert_array_equal(result.vectors, 0)


def test_images_of_any_size_are_brought_to_one():
    images = ArrayImages([random_images(1, size=30).read(0), random_images(1, size=50).read(0)])
    assert fit_pixel_embed(images, size=16)(images).vectors.shape == (2, 256)


@pytest.mark.parametrize("components", [0, 5])
def test_more_components_than_the_training_images_span_are_refused(components):
    with pytest.raises(ConfigError, match="expected 1 to 4"):
        fit_pca_embed(random_images(5), components)


def test_training_images_that_do_not_vary_are_refused():
    images = ArrayImages(np.zeros((5, 9, 9, 3), dtype=np.uint8))
    with pytest.raises(ConfigError, match="do not vary"):
        fit_pca_embed(images, 2)


def test_no_training_images_are_refused():
    with pytest.raises(DataError, match="holds no images"):
        fit_pixel_embed(ArrayImages([]))
