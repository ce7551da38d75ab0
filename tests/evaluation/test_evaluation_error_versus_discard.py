import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import ConfigError
from facemargin.evaluation import error_versus_discard
from tests.evaluation.pair_strategies import scored_pairs


@st.composite
def pairs_with_quality(draw):
    scores, same = draw(scored_pairs())
    qualities = st.lists(st.integers(0, 5), min_size=len(same), max_size=len(same))
    return scores, same, np.array(draw(qualities), dtype=float), np.array(draw(qualities), dtype=float)


def smallest_threshold(scores, same, fmr):
    for threshold in [*sorted(set(scores.tolist())), np.inf]:
        if np.mean([s >= threshold for s in scores[~same]]) <= fmr:
            return threshold
    raise AssertionError("+inf rejects every impostor")


def reference_curve(scores, same, quality, threshold):
    """Discard one quality after the other from a list of genuine pairs."""
    left = sorted(zip(quality[same].tolist(), scores[same].tolist(), strict=True))
    total, points = len(left), []
    while left:
        points.append(((total - len(left)) / total, sum(s < threshold for _, s in left) / len(left)))
        lowest = left[0][0]
        left = [pair for pair in left if pair[0] > lowest]
    return points


def step_area(points, limit):
    area = 0.0
    for (x, y), (x_next, _) in zip(points, [*points[1:], (1.0, 0.0)], strict=True):
        area += y * max(0.0, min(x_next, limit) - min(x, limit))
    return area


@given(pairs_with_quality(), st.sampled_from([0.05, 0.25, 0.5]), st.sampled_from([0.1, 0.3, 0.75]))
def test_the_curve_and_its_area_by_discarding_one_quality_after_the_other(pairs, fmr, limit):
    scores, same, quality_a, quality_b = pairs
    quality = np.array([min(a, b) for a, b in zip(quality_a, quality_b, strict=True)])
    result = error_versus_discard(scores, same, quality_a, quality_b, fmr=fmr, limits=[limit])
    threshold = smallest_threshold(scores, same, fmr)
    points = reference_curve(scores, same, quality, threshold)
    assert result.threshold == threshold
    assert result.fmr == np.mean(scores[~same] >= threshold)
    assert list(zip(result.discarded_T, result.fnmr_T, strict=True)) == [pytest.approx(point) for point in points]
    assert result.limits[0].pauc == pytest.approx(step_area(points, limit))
    assert result.limits[0].fnmr == pytest.approx([y for x, y in points if x <= limit + 1e-9][-1])


@given(pairs_with_quality(), st.sampled_from([0.05, 0.2, 0.5]))
def test_a_starting_fnmr_takes_the_largest_threshold_that_keeps_it(pairs, fnmr):
    scores, same, quality_a, quality_b = pairs
    result = error_versus_discard(scores, same, quality_a, quality_b, fnmr=fnmr)
    allowed = [t for t in scores[same] if np.mean(scores[same] < t) <= fnmr]
    assert result.threshold == max(allowed)
    assert result.fnmr_T[0] == np.mean(scores[same] < max(allowed))


@given(pairs_with_quality(), st.sampled_from([0.05, 0.25, 0.5]))
def test_refit_places_the_threshold_on_the_impostors_that_are_left(pairs, fmr):
    scores, same, quality_a, quality_b = pairs
    quality = np.minimum(quality_a, quality_b)
    result = error_versus_discard(scores, same, quality_a, quality_b, fmr=fmr, refit=True)
    levels = sorted(set(quality[same].tolist()))
    expected = []
    for place, level in enumerate(levels):
        kept = quality >= (level if place else -np.inf)
        if not (kept & ~same).any():
            break
        threshold = smallest_threshold(scores[kept], same[kept], fmr)
        expected.append((np.mean(quality[same] < level), np.mean(scores[kept & same] < threshold)))
    assert list(zip(result.discarded_T, result.fnmr_T, strict=True)) == [pytest.approx(point) for point in expected]


def test_refit_knows_nothing_of_limits_beyond_the_last_impostor():
    same = np.array([True] * 10 + [False] * 2)
    quality = np.array([*range(10), 2, 3], dtype=float)
    scores = np.where(same, 0.5, 0.4)
    curve = error_versus_discard(scores, same, quality, quality, 0.5, limits=(0.1, 0.3, 0.4, 0.6), refit=True)
    assert curve.discarded_T[-1] == 0.3  # impostors are of qualities 2 and 3
    for limit in curve.limits:
        figures = (limit.fnmr, limit.pauc)
        assert np.isnan(figures).all() if limit.limit >= 0.4 else np.isfinite(figures).all()
    fixed = error_versus_discard(scores, same, quality, quality, 0.5, limits=(0.4, 0.95))
    assert all(np.isfinite(limit.fnmr) for limit in fixed.limits)


def test_refit_follows_large_sets_in_steps_of_a_hundredth():
    rng = np.random.default_rng(1)
    same = np.arange(3000) < 1000
    quality = rng.permutation(3000).astype(float)
    scores = rng.normal(size=3000) + 2 * same
    refit = error_versus_discard(scores, same, quality, quality, fmr=0.05, refit=True)
    fixed = error_versus_discard(scores, same, quality, quality, fmr=0.05)
    assert len(fixed.discarded_T) == 1000
    np.testing.assert_allclose(refit.discarded_T, np.arange(100) / 100, atol=1e-12)
    assert refit.fnmr_T[0] == pytest.approx(fixed.fnmr_T[0])


@given(scored_pairs())
def test_perfect_quality_never_raises_the_error(pairs):
    scores, same = pairs
    result = error_versus_discard(scores, same, scores, scores, fmr=0.25, limits=(0.3, 0.6))
    assert (np.diff(result.fnmr_T) <= 1e-12).all()
    for limit in result.limits:
        assert limit.fnmr <= result.fnmr_T[0] + 1e-12
        assert np.isnan(limit.relative_to_start) or limit.relative_to_start <= 1 + 1e-12


def test_perfect_quality_of_many_pairs_reaches_the_ideal_and_constant_quality_gains_nothing():
    rng = np.random.default_rng(0)
    same = np.arange(40_000) < 20_000
    scores = rng.normal(size=40_000) + 2 * same
    perfect = error_versus_discard(scores, same, scores, scores)
    constant = error_versus_discard(scores, same, np.ones(40_000), np.ones(40_000))
    reversed_ = error_versus_discard(scores, same, -scores, -scores)
    for best, flat, worst in zip(perfect.limits, constant.limits, reversed_.limits, strict=True):
        assert best.relative_to_ideal == pytest.approx(0, abs=1e-3)
        assert flat.relative_to_start == pytest.approx(1)
        assert flat.relative_to_ideal == pytest.approx(1)
        assert worst.relative_to_start > 1
        assert flat.fnmr == flat.pauc / flat.limit == pytest.approx(constant.fnmr_T[0])
    assert len(constant.fnmr_T) == 1


def test_the_ideal_area_is_that_of_discarding_the_errors_one_by_one():
    genuine, wrong, limit = 5000, 600, 0.2
    scores = np.where(np.arange(genuine) < wrong, 0.0, 2.0)
    ideal = sum(max(0, wrong - k) / (genuine - k) / genuine for k in range(int(limit * genuine)))
    quality = np.random.default_rng(0).permutation(genuine).astype(float)
    (figures,) = error_versus_discard(
        np.append(scores, 1.0),
        np.append(np.ones(genuine, bool), False),
        np.append(quality, 0),
        np.append(quality, 0),
        limits=[limit],
    ).limits
    flat = limit * wrong / genuine
    assert figures.relative_to_ideal == pytest.approx((figures.pauc - ideal) / (flat - ideal), abs=1e-3)


@given(pairs_with_quality())
def test_only_orders_matter_and_not_how_often_all_pairs_are_repeated(pairs):
    scores, same, quality_a, quality_b = pairs
    result = error_versus_discard(scores, same, quality_a, quality_b, fmr=0.25)
    for other in (
        error_versus_discard(np.exp(scores), same, quality_a**3, quality_b**3, fmr=0.25),
        error_versus_discard(*(np.tile(values, 2) for values in pairs), fmr=0.25),
    ):
        np.testing.assert_allclose(other.discarded_T, result.discarded_T)
        np.testing.assert_allclose(other.fnmr_T, result.fnmr_T)
        assert other.fmr == result.fmr
        for mine, theirs in zip(result.limits, other.limits, strict=True):
            assert theirs.pauc == pytest.approx(mine.pauc)
            assert theirs.relative_to_ideal == pytest.approx(mine.relative_to_ideal, nan_ok=True)


@given(pairs_with_quality())
def test_without_errors_at_the_start_the_ratios_are_unknown(pairs):
    scores, same, quality_a, quality_b = pairs
    for limit in error_versus_discard(scores + 20 * same, same, quality_a, quality_b).limits:
        assert (limit.fnmr, limit.pauc) == (0, 0)
        assert np.isnan(limit.relative_to_start) and np.isnan(limit.relative_to_ideal)


def test_a_limit_that_is_attained_is_discarded_in_full():
    scores = np.append(np.arange(10) >= 4, 0.5)  # errors are the four of lowest quality
    quality = np.arange(11.0)
    for tenths in range(1, 10):
        (limit,) = error_versus_discard(scores, np.arange(11) < 10, quality, quality, limits=[tenths / 10]).limits
        assert limit.fnmr == pytest.approx(max(0, 4 - tenths) / (10 - tenths))


@pytest.mark.parametrize("options", [{"fmr": 0}, {"fnmr": 1.0}, {"limits": [0.2, 1.0]}, {"fnmr": 0.1, "refit": True}])
def test_unusable_settings_are_refused(options):
    with pytest.raises(ConfigError, match="error versus discard"):
        error_versus_discard([1, 2], [0, 1], [1, 1], [1, 1], **options)
