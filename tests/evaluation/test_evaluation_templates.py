import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import DataError
from facemargin.evaluation import pool_templates
from facemargin.evaluation.metrics import templates as module


@st.composite
def images(draw):
    count = draw(st.integers(1, 20))
    numbers = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    features = np.random.default_rng(draw(st.integers(0, 999))).normal(size=(count, 4))
    return features, np.array(draw(numbers)) + 100, np.array(draw(numbers))


def pool_by_loops(features, templates, media, weights, normalize_media):
    pooled = {}
    for template in sorted(set(templates.tolist())):
        total = np.zeros(features.shape[1])
        for medium in sorted(set(media[templates == template].tolist())):
            of_medium = [n for n in range(len(features)) if templates[n] == template and media[n] == medium]
            mean = sum(features[n] * weights[n] for n in of_medium) / len(of_medium)
            total += mean / np.linalg.norm(mean) if normalize_media else mean
        pooled[template] = total / np.linalg.norm(total)
    return pooled


@given(images(), st.booleans(), st.booleans())
def test_mean_within_a_media_sum_over_media_unit_length(images, weighted, normalize_media):
    features, templates, media = images
    weights = np.linspace(0.5, 1, len(features)) if weighted else np.ones(len(features))
    result = pool_templates(features, templates, media, weights if weighted else None, normalize_media)
    expected = pool_by_loops(features, templates, media, weights, normalize_media)
    assert result.ids.tolist() == list(expected)
    np.testing.assert_allclose(result.vectors, list(expected.values()), atol=1e-12)


@given(images())
def test_the_order_of_images_does_not_matter(images):
    order = np.random.default_rng(0).permutation(len(images[0]))
    result, shuffled = pool_templates(*images), pool_templates(*(values[order] for values in images))
    np.testing.assert_array_equal(shuffled.ids, result.ids)
    np.testing.assert_allclose(shuffled.vectors, result.vectors, atol=1e-12)


def test_a_media_number_of_another_template_is_another_media():
    result = pool_templates([[1.0, 0], [0, 1.0]], [1, 2], [7, 7])
    np.testing.assert_array_equal(result.vectors, np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2]], [1, 2], [1]), "template_ids has shape"),
        (([[1.0, 2]], [1], [1, 2]), "media_ids has shape"),
        (([[1.0, 2]], [1], [1], [1.0, 2.0]), "image_weights has shape"),
        (([1.0, 2], [1, 1], [1, 1]), "expected \\(N, D\\)"),
        (([[1.0, 2], [np.nan, 1]], [1, 1], [1, 1]), "of 1 image are not finite; the first is image 1"),
        (([[1.0, 2], [-1, -2], [1, 1]], [5, 5, 4], [1, 2, 3]), "the features of template 5 add up to zero"),
        (([[0.0, 0], [1, 1]], [5, 5], [1, 2], None, True), "the features of media 1 of template 5 add up to zero"),
        (
            ([[1.0, 0], [1, 1]], [5, 6], [1, 2], [1, np.nan]),
            r"image_weights\[1\] is nan \(image 1, template 6; 1 in all\)",
        ),
        (
            ([[1.0, 0], [1, 1]], [5, 6], [1, 2], [-0.5, -1]),
            r"image_weights\[0\] is -0.5 \(image 0, template 5; 2 in all",
        ),
        (([[1.0, 0], [1, 1]], [6, 6], [1, 2], [1, np.inf], False, [1, 0]), r"is inf \(image 0, template 6"),
        (([[1.0, 0]], [5], [1], [0.0]), "the features of template 5 add up to zero"),
        (([["a", "b"]], [5], [1]), "features holds 'a', 'b' .*expected real numbers"),
        (
            ([[1.0, 2]], [1], [1], None, False, [True]),
            "image_rows holds True .*expected row numbers, which are whole numbers",
        ),
        (([[1.0, 2]], [None], [1]), r"template_ids\[0\] is None or NaN"),
        ((np.full((2, 2), 3e38, np.float32), [4, 4], [1, 2]), "features of template 4 are too large to be summed"),
        (([[1.0, 2]], [1], [1], None, False, [1]), "image_rows must be a non-empty array"),
        (([[1.0, 2]], [], [], None, False, []), "image_rows must be a non-empty array"),
    ],
)
def test_unusable_arrays_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        pool_templates(*arguments)


@given(images(), st.booleans())
def test_images_may_be_in_several_templates_or_in_none(images, normalize_media):
    features, templates, media = images
    rows = np.random.default_rng(0).integers(0, len(features), len(features))
    result = pool_templates(features, templates, media, None, normalize_media, image_rows=rows)
    expected = pool_by_loops(features[rows], templates, media, np.ones(len(rows)), normalize_media)
    assert result.ids.tolist() == list(expected)
    np.testing.assert_allclose(result.vectors, list(expected.values()), atol=1e-12)


@pytest.mark.parametrize("normalize_media", [False, True])
def test_features_on_disk_are_pooled_in_blocks_in_their_own_precision(tmp_path, monkeypatch, normalize_media):
    rng = np.random.default_rng(0)
    features, templates, media = (
        rng.normal(size=(300, 16)).astype(np.float32),
        rng.integers(0, 40, 300),
        rng.integers(0, 9, 300),
    )
    features.tofile(tmp_path / "features")
    stored = np.memmap(tmp_path / "features", np.float32, "r", shape=features.shape)
    weights = rng.uniform(size=300)
    expected = pool_by_loops(features.astype(float), templates, media, weights, normalize_media)
    for block in (1, 20, 10**6):
        monkeypatch.setattr(module, "IMAGES_A_BLOCK", block)
        result = pool_templates(stored, templates, media, weights, normalize_media)
        assert result.vectors.dtype == np.float32
        np.testing.assert_allclose(result.vectors, list(expected.values()), atol=1e-6)
