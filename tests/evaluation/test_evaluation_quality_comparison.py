"""Measures of quality compared: Spearman's ρ against a loop and SciPy, curves against error_versus_discard, files."""

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.errors import DataError
from facemargin.evaluation import error_versus_discard
from facemargin.evaluation.metrics.rank_correlation import spearman_correlation
from facemargin.evaluation.quality_comparison import QualityMeasures, compare_quality


def measures(people=8, images=8, seed=0, **changes):
    """Scores that fall with the true quality; "true" knows it, "noisy" nearly, "blind" not at all."""
    rng = np.random.default_rng(seed)
    identity_N = np.repeat(np.arange(people), images)
    first_K, second_K = np.triu_indices(people * images, 1)
    same_K = identity_N[first_K] == identity_N[second_K]
    true_N = rng.uniform(0, 1, people * images)
    scores_K = 6 * same_K * np.minimum(true_N[first_K], true_N[second_K]) + rng.normal(size=len(same_K))
    quality_MN = np.stack([true_N, true_N + rng.normal(0, 0.2, len(true_N)), rng.permutation(true_N)])
    values = {
        "system": "ours", "dataset": "people", "measures": ["true", "noisy", "blind"], "scores_K": scores_K,
        "same_K": same_K, "first_K": first_K, "second_K": second_K, "quality_MN": quality_MN,
    }  # fmt: skip
    return QualityMeasures(**{**values, **changes})


def loop_spearman(a, b):
    """Pearson of ranks, each the mean place of its equals, by counting."""
    ranks = [[sum(x < v for x in values) + (sum(x == v for x in values) + 1) / 2 for v in values] for values in (a, b)]
    mean = (len(a) + 1) / 2
    products = [sum((x - mean) * (y - mean) for x, y in zip(p, q, strict=True)) for p, q in
                ((ranks[0], ranks[1]), (ranks[0], ranks[0]), (ranks[1], ranks[1]))]  # fmt: skip
    return products[0] / (products[1] * products[2]) ** 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-5, 5)), min_size=2, max_size=30))
def test_spearman_agrees_with_counting_and_with_scipy(pairs):
    a, b = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
    correlation_MM = spearman_correlation([a, b])
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert np.isnan(correlation_MM[0, 1])
        return
    assert correlation_MM[0, 1] == pytest.approx(loop_spearman(a, b), abs=1e-12)
    assert correlation_MM[0, 1] == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    assert correlation_MM[0, 1] == correlation_MM[1, 0]
    np.testing.assert_allclose(np.diag(correlation_MM), 1)


def test_spearman_refuses_what_has_no_order():
    with pytest.raises(DataError, match="measure 1 has values that are not finite"):
        spearman_correlation([[1.0, 2.0], [np.nan, 1.0]])
    with pytest.raises(DataError, match="at least two images"):
        spearman_correlation([[1.0], [2.0]])


@pytest.mark.parametrize("refit", [False, True])
def test_curves_are_those_of_error_versus_discard(refit):
    given_measures = measures(refit=refit)
    comparison = compare_quality(given_measures, fmrs=(1e-1, 1e-2), limits=(0.1, 0.4))
    assert list(comparison.curves) == [1e-1, 1e-2]
    for fmr, curves in comparison.curves.items():
        assert list(curves) == ["true", "noisy", "blind"]
        for name, quality_N in zip(given_measures.measures, given_measures.quality_MN, strict=True):
            a, b = quality_N[given_measures.first_K], quality_N[given_measures.second_K]
            expected = error_versus_discard(
                given_measures.scores_K, given_measures.same_K, a, b, fmr, limits=(0.1, 0.4), refit=refit
            )
            np.testing.assert_array_equal(curves[name].fnmr_T, expected.fnmr_T)
            assert curves[name].limits == expected.limits


def test_a_measure_that_knows_beats_one_that_does_not():
    comparison = compare_quality(measures(), fmrs=(1e-2,))
    areas = {name: curve.limits[-1].relative_to_start for name, curve in comparison.curves[1e-2].items()}
    assert areas["true"] < areas["noisy"] < areas["blind"]
    assert areas["true"] < 0.8 and 0.85 < areas["blind"] < 1.15
    assert comparison.spearman_MM[0, 1] > 0.7 and abs(comparison.spearman_MM[0, 2]) < 0.4
    assert comparison.impostors == 8 * 7 // 2 * 64


def test_defaults_are_the_small_fmrs_and_several_limits():
    comparison = compare_quality(measures())
    assert list(comparison.curves) == [1e-3, 1e-4]
    assert [one.limit for one in comparison.curves[1e-3]["true"].limits] == [0.1, 0.2, 0.3, 0.5]
    figures = json.loads(comparison.to_json())
    assert figures["curves"]["0.001"]["blind"]["limits"][0]["pauc"] >= 0


def test_images_without_pairs_do_not_count():
    full = measures()
    more_MN = np.concatenate([full.quality_MN, np.full((3, 1), np.nan)], axis=1)
    comparison = compare_quality(measures(quality_MN=more_MN), fmrs=(1e-2,))
    np.testing.assert_array_equal(comparison.spearman_MM, compare_quality(full, fmrs=(1e-2,)).spearman_MM)


def test_a_quality_that_is_not_finite_is_named():
    quality_MN = measures().quality_MN
    quality_MN[1, 3] = np.nan
    with pytest.raises(DataError, match="quality by noisy has values that are not finite on people"):
        compare_quality(measures(quality_MN=quality_MN))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": ["a", "a", "b"]}, "two measures of quality have the same name"),
        ({"measures": ["a"]}, r"quality_MN has shape \(3, 64\), expected one row for each of the 1 measures"),
        ({"same_K": np.ones(3, dtype=bool)}, r"same_K has shape \(3,\)"),
        ({"quality_MN": np.zeros((3, 10))}, "pairs have image numbers 0 to 62, expected 0 to 9"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        measures(**changes)


def test_a_file_reads_back_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "quality.npz"
    one = measures(refit=True)
    one.save(path)
    other = QualityMeasures.load(path)
    assert (other.system, other.dataset, other.measures) == (one.system, one.dataset, one.measures)
    assert other.refit
    for name in ("scores_K", "same_K", "first_K", "second_K", "quality_MN"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"quality\.npz is not a file of quality measures"):
        QualityMeasures.load(path)


def test_no_correlation_is_beyond_one_however_it_is_rounded():
    rng = np.random.default_rng(0)
    for count in range(2, 80):
        values_N = rng.normal(size=count)
        correlation_33 = spearman_correlation([values_N, values_N**3, -values_N])
        assert np.abs(correlation_33).max() <= 1
        np.testing.assert_allclose(correlation_33, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-12)
