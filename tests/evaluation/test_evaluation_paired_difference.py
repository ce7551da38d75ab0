from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Bootstrap, holm, paired_difference, tar_at_far
from facemargin.evaluation.metrics import resampled_tar
from facemargin.evaluation.metrics.bca import bca_tails
from facemargin.evaluation.metrics.bootstrap import identity_multiplicities
from facemargin.evaluation.metrics.pair_variance import Accepted, PairGraph
from facemargin.evaluation.metrics.resampled_tar import PeoplePairs
from tests.evaluation.pair_strategies import people_pairs

FEW = Bootstrap(resamples=15, confidence=0.8, seed=3)
FARS = (0.0, 0.1, 0.4, 1.0)


def weighted_tar(scores, same, weights, far):
    """TAR at the lowest threshold with FAR ≤ far, where pair k counts weights[k] times; NaN without pairs of a kind."""
    weights = np.array(weights, dtype=np.float64)
    total, genuine = weights[~same].sum(), weights[same].sum()
    if not total or not genuine:
        return float("nan")
    best = 0.0
    for threshold in np.unique(scores)[::-1]:
        accepted = scores >= threshold
        if weights[accepted & ~same].sum() > far * total + 1e-9:
            break
        best = weights[accepted & same].sum() / genuine
    return best


def resampled_differences(scores, other, same, a, b, far, bootstrap):
    """TAR − TAR of the other, pair by pair, in each resample of people."""
    people = np.unique(np.concatenate([a, b])).tolist()
    found = []
    for drawn in identity_multiplicities(len(people), bootstrap):
        count = dict(zip(people, drawn.tolist(), strict=True))
        weights = [count[i] if s else count[i] * count[j] for i, j, s in zip(a, b, same, strict=True)]
        found.append(weighted_tar(scores, same, weights, far) - weighted_tar(other, same, weights, far))
    return np.array([value for value in found if not np.isnan(value)])


def population(people, images, seed=0, decimals=2):
    """Scores of two systems for all pairs of `images` images of each of `people` people, some of whom match many."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(ids), 1)
    a, b = ids[first], ids[second]
    same = a == b
    wolf = 0.5 * rng.normal(size=people)
    common = rng.normal(size=len(a)) + wolf[a] + wolf[b]
    return *((common + rng.normal(size=len(a)) + 3 * same).round(decimals) for _ in range(2)), same, a, b


@pytest.fixture
def narrow_windows(monkeypatch):
    """Windows that miss most cuts, matrices of a few rows, and few resamples a block."""
    for name, value in {
        "_WINDOW": 0, "_LEAST_REACH": 3, "_LEAST_MARGIN": 0, "_PILOTS": 2, "_BLOCK": 4, "_MATRIX_ENTRIES": 20,
        "_PRODUCTS_A_PAIR": 10**9,
    }.items():  # fmt: skip
        monkeypatch.setattr(resampled_tar, name, value)


@settings(deadline=None, max_examples=60)
@given(people_pairs(), st.randoms(use_true_random=False))
def test_differences_are_those_of_the_resampled_populations(pairs, random):
    scores, same, a, b = pairs
    other = scores[np.array(random.sample(range(len(scores)), len(scores)))]
    if len(np.unique(np.concatenate([a, b]))) < 3:
        with pytest.raises(DataError, match="2 people, too few"):
            paired_difference(scores, other, same, a, b, FARS)
        return
    compare_with_the_loop(scores, other, same, a, b, FARS, FEW)


def compare_with_the_loop(scores, other, same, a, b, fars, bootstrap):
    found = paired_difference(scores, other, same, a, b, fars, bootstrap, rescale=False)
    assert found.people == len(np.unique(np.concatenate([a, b])))
    ones = np.ones(len(scores), dtype=int)
    for far, point in zip(fars, found.points, strict=True):
        expected = resampled_differences(scores, other, same, a, b, far, bootstrap)
        tars = [weighted_tar(values, same, ones, far) for values in (scores, other)]
        assert point.difference == pytest.approx(tars[0] - tars[1], abs=1e-12)
        assert (point.first.tar, point.second.tar) == pytest.approx(tars, abs=1e-12)
        assert point.resamples == len(expected)
        low, high = np.quantile(expected, [0.1, 0.9]) if len(expected) else (0, 0)
        assert point.interval == (pytest.approx((low, high), abs=1e-12) if high - low > 1e-12 else None)
        if len(expected) > 1:
            assert point.variance == pytest.approx(np.var(expected, ddof=1), abs=1e-12)
        none = (np.abs(expected) < 1e-12).sum() / 2
        fewer = min((expected < -1e-12).sum() + none, (expected > 1e-12).sum() + none)
        assert point.p_value == pytest.approx(min(1, (2 * fewer + 1) / (len(expected) + 1)))


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_sixty_people_in_windows_that_miss_the_cuts(narrow_windows, precision):
    scores, other, same, a, b = population(60, 2, decimals=1)
    compare_with_the_loop(scores.astype(precision), other.astype(precision), same, a, b, (1e-3, 1e-2, 0.3), FEW)


@pytest.mark.parametrize("far", [1e-3, 0.1])
@pytest.mark.parametrize("narrow", [{}, {"_WINDOW": 10, "_LEAST_REACH": 30, "_LEAST_MARGIN": 5}])
def test_resampled_tars_are_bit_for_bit_those_of_sorting_anew(monkeypatch, narrow, far):
    for name, value in narrow.items():
        monkeypatch.setattr(resampled_tar, name, value)
    scores, other, same, a, b = population(40, 3)
    nobody = np.where(same, -100.0, other)  # no genuine pair is accepted, so that the difference is the other's TAR
    (point,) = paired_difference(scores, nobody, same, a, b, far, Bootstrap(90), rescale=False).points
    (anew,) = tar_at_far(scores, same, far, identities_a=a, identities_b=b, bootstrap=Bootstrap(90)).points
    assert (point.difference, point.interval, point.first.threshold) == (anew.tar, anew.interval, anew.threshold)


def test_names_and_numbers_of_people_give_the_same():
    scores, other, same, a, b = population(12, 3)
    names = np.array([f"person {i:03d}" for i in range(12)])
    expected = paired_difference(scores, other, same, a, b, [0.01, 0.1], FEW)
    for one, two in [(names[a], names[b]), (1000 * a - 5000, 1000 * b - 5000), (a.astype(np.int8) - 6, b - 6)]:
        assert paired_difference(scores, other, same, one, two, [0.01, 0.1], FEW) == expected


def test_a_system_does_not_differ_from_itself():
    scores, _, same, a, b = population(12, 3)
    (point,) = paired_difference(scores, scores + 1, same, a, b, 0.01).points
    assert (point.difference, point.interval, point.p_value, point.variance) == (0, None, 1, 0)
    assert point.unbiased_variance == pytest.approx(0, abs=1e-15)


def test_people_behind_the_cut_are_those_in_accepted_impostor_pairs():
    scores, other, same, a, b = population(30, 2, decimals=5)
    (point,) = paired_difference(scores, other, same, a, b, 0.005, FEW).points
    for values, operating, people in zip((scores, other), (point.first, point.second), point.people, strict=True):
        accepted = (values >= operating.threshold) & ~same
        assert operating.impostors_accepted == accepted.sum() > 0
        assert people == len({*a[accepted].tolist(), *b[accepted].tolist()})


def variance_by_loops(genuine_of, pairs_of, value_of, people):
    """The formula of the module with loops over people: `value_of[i][j]` is what the pairs of i and j add."""
    impostors = sum(pairs_of[i][j] for i in range(people) for j in range(i))
    genuine = sum(genuine_of["pairs"])
    per_pair, per_person = impostors / (people * (people - 1) / 2), genuine / people
    mean = sum(value_of[i][j] for i in range(people) for j in range(i)) / impostors
    h = [[value_of[i][j] - mean * pairs_of[i][j] for j in range(people)] for i in range(people)]
    figure = sum(genuine_of["value"]) / genuine
    g = [v - figure * n for v, n in zip(genuine_of["value"], genuine_of["pairs"], strict=True)]
    everybody = range(people)
    threes = [(i, j, k) for i in everybody for j in everybody for k in everybody if len({i, j, k}) == 3]
    shared = np.mean([h[i][j] * h[i][k] for i, j, k in threes])
    disjoint = np.mean([
        h[i][j] * h[k][m] for i in everybody for j in range(i) for k in everybody for m in range(k)
        if len({i, j, k, m}) == 4
    ])  # fmt: skip
    own = np.mean([h[i][j] ** 2 for i in everybody for j in range(i)])
    of_impostors = (4 * (people - 2) * (shared - disjoint) + 2 * (own - disjoint)) / (people * (people - 1))
    with_own = np.mean([g[i] * h[i][j] for i in everybody for j in everybody if i != j])
    with_others = np.mean([
        g[k] * h[i][j] for i in everybody for j in range(i) for k in everybody if k not in (i, j)
    ])  # fmt: skip
    of_genuine = np.var(g, ddof=1) / people
    covariance = 2 / people * (with_own - with_others)
    return of_genuine / per_person**2 + of_impostors / per_pair**2 + 2 * covariance / (per_person * per_pair)


@pytest.mark.parametrize("listed", [1.0, 0.3])
def test_unbiased_variance_is_that_of_the_loops(listed):
    rng = np.random.default_rng(5)
    _, _, same, a, b = population(7, 3)
    kept = same | (rng.random(len(same)) < listed)
    same, a, b = same[kept], a[kept], b[kept]
    swapped = rng.random(len(a)) < 0.5
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    pairs_of, value_of = np.zeros((7, 7)), np.zeros((7, 7))
    accepted = []
    for slope in (-0.7, 1.3):
        taken = np.flatnonzero(~same)[rng.random((~same).sum()) < 0.3]
        accepted.append(Accepted(a[taken], b[taken], slope))
        for k in taken:
            value_of[a[k], b[k]] += slope
    for k in np.flatnonzero(~same):
        pairs_of[a[k], b[k]] += 1
    genuine = {"pairs": np.bincount(a[same], minlength=7), "value": rng.integers(-3, 4, 7).astype(float)}
    expected = variance_by_loops(genuine, pairs_of + pairs_of.T, value_of + value_of.T, 7)
    found = PairGraph(PeoplePairs(same, a, b, 7)).variance(genuine["value"], accepted)
    assert found == pytest.approx(expected, rel=1e-10)
    assert found != 0


def test_unbiased_variance_needs_four_people():
    scores, other, same, a, b = population(3, 3)
    assert np.isnan(paired_difference(scores, other, same, a, b, 0.1, FEW).points[0].unbiased_variance)


def linear_differences(scores, other, same, a, b, point, bootstrap):
    """In each resample of people, by loops over them: the difference of TAR − κ·FAR at the sample's thresholds, κ the
    slope by which the resampled TARs move with that FAR."""
    people = np.unique(a).tolist()
    drawn = [dict(zip(people, one.tolist(), strict=True)) for one in identity_multiplicities(len(people), bootstrap)]
    found = 0.0
    for sign, values, operating in ((1, scores, point.first), (-1, other, point.second)):
        fars, fixed, moved = [], [], []
        for count in drawn:
            weights = np.array(
                [count[i] if s else count[i] * count[j] for i, j, s in zip(a, b, same, strict=True)], dtype=float
            )
            accepted = weights * (values >= operating.threshold)
            fars.append(accepted[~same].sum() / weights[~same].sum())
            fixed.append(accepted[same].sum() / weights[same].sum())
            moved.append(weighted_tar(values, same, weights, point.target_far) - fixed[-1])
        slope = max(0.0, -np.polyfit(fars, moved, 1)[0])
        found = found + sign * (np.array(fixed) - slope * np.array(fars))
    return found


def test_rescaled_intervals_are_freed_of_the_bias_of_the_resamples():
    scores, other, same, a, b = population(30, 2)
    bootstrap = Bootstrap(80, confidence=0.8, seed=2)
    plain = paired_difference(scores, other, same, a, b, [0.01, 0.1], bootstrap, rescale=False)
    rescaled = paired_difference(scores, other, same, a, b, [0.01, 0.1], bootstrap)
    assert (plain.rescaled, rescaled.rescaled) == (False, True)
    for before, after in zip(plain.points, rescaled.points, strict=True):
        linear = linear_differences(scores, other, same, a, b, before, bootstrap)
        factor = np.sqrt(before.unbiased_variance / np.var(linear, ddof=1))
        assert after.scale == pytest.approx(factor, rel=1e-9) and before.scale == 1 and abs(factor - 1) > 0.01
        assert (after.variance, after.unbiased_variance) == (before.variance, before.unbiased_variance)
        drawn = resampled_differences(scores, other, same, a, b, before.target_far, bootstrap)
        moved = after.difference + factor * (drawn - after.difference)
        moved[np.abs(moved) < 0.5 / same.sum()] = 0
        assert after.interval == pytest.approx(np.quantile(moved, [0.1, 0.9]), abs=1e-9)
        none = (moved == 0).sum() / 2
        fewer = min((moved < 0).sum() + none, (moved > 0).sum() + none)
        assert after.p_value == pytest.approx((2 * fewer + 1) / 81)


def test_the_correction_is_no_larger_than_the_bias_can_be(monkeypatch):
    scores, other, same, a, b = population(30, 2)
    monkeypatch.setattr(PairGraph, "variance", lambda *_: 1e-9)  # as an uncertain estimate may be
    (point,) = paired_difference(scores, other, same, a, b, 0.1, Bootstrap(40)).points
    assert point.scale == pytest.approx(3**-0.5)
    monkeypatch.setattr(PairGraph, "variance", lambda *_: -1e-9)
    assert paired_difference(scores, other, same, a, b, 0.1, Bootstrap(40)).points[0].scale == 1


def test_resamples_without_a_difference_stay_so():
    """Most resamples have the same TAR for both systems: rescaling must not make them differences on one side."""
    scores, other, same, a, b = population(40, 2, decimals=4)
    other = scores.copy()
    other[np.flatnonzero(same)[0]] = -9.0  # one genuine pair is missed by one system only
    (point,) = paired_difference(scores, other, same, a, b, 0.1, Bootstrap(200)).points
    assert point.difference == pytest.approx(1 / 40) and point.scale != 1
    assert point.p_value > 0.3 and point.interval[0] == 0


def test_bca_interval_is_that_of_efron():
    scores, other, same, a, b = population(15, 3, decimals=1)
    bootstrap = Bootstrap(150, confidence=0.9)
    (point,) = paired_difference(scores, other, same, a, b, 0.05, bootstrap, interval="bca", rescale=False).points
    drawn = resampled_differences(scores, other, same, a, b, 0.05, bootstrap)
    left_out = []
    for person in range(15):
        without = ((a != person) & (b != person)).astype(int)
        left_out.append(weighted_tar(scores, same, without, 0.05) - weighted_tar(other, same, without, 0.05))
    offset = np.mean(left_out) - np.array(left_out)
    acceleration = (offset**3).sum() / (6 * (offset**2).sum() ** 1.5)
    lower = (drawn < point.difference - 1e-12).mean() + (np.abs(drawn - point.difference) <= 1e-12).mean() / 2
    bias, normal = NormalDist().inv_cdf(lower), NormalDist()
    tails = []
    for share in (0.05, 0.95):
        z = bias + normal.inv_cdf(share)
        tails.append(normal.cdf(bias + z / (1 - acceleration * z)))
    assert acceleration != 0
    assert point.interval == pytest.approx(np.quantile(drawn, tails), abs=1e-12)


def test_resamples_on_one_side_of_the_difference_have_no_bca_interval():
    """The bias would be infinite. Percentiles, which are another interval, do not stand in for it."""
    offset = np.array([0.0, 0.1, 0.2, 0.3])
    assert bca_tails((0.1, 0.9), offset[1:], np.zeros(4)) is None
    assert bca_tails((0.1, 0.9), -offset[1:], np.zeros(4)) is None
    low, high = bca_tails((0.1, 0.9), offset, np.zeros(4))
    assert 0 < low < high < 0.9


def test_no_far_gives_no_difference():
    scores, other, same, a, b = population(4, 3)
    assert paired_difference(scores, other, same, a, b, []).points == ()


def test_people_without_whom_there_is_no_difference():
    """Without any one of these three people there are no pairs of both kinds."""
    pairs = ([False, True, True], [0, 2, 2], [1, 2, 2])
    (point,) = paired_difference([1.0, 2, 0], [2.0, 1, 3], *pairs, 0.5, FEW, interval="bca").points
    (plain,) = paired_difference([1.0, 2, 0], [2.0, 1, 3], *pairs, 0.5, FEW).points
    assert (point.difference, point.interval, point.p_value) == (plain.difference, None, plain.p_value)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(p_values):
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected, remaining = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
        while remaining and p_values[remaining[0]] * len(remaining) <= level:
            rejected.add(remaining.pop(0))
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": "basic"}, "interval is 'basic', expected one of percentile, bca"),
        ({"fars": 2.0}, "FAR 2.0 is outside"),
        ({"bootstrap": 100}, "bootstrap is 100"),
        ({"scores": [1.0, 2]}, r"scores has shape \(2,\), expected \(66,\)"),
        ({"other_scores": [np.nan] * 66}, "66 of 66 other_scores are not finite"),
        ({"same": [True] * 66}, "none of the 66 pairs is impostor"),
        ({"identities_a": [0] * 66}, "contradicts the identities"),
        ({"identities_b": [1, 2]}, r"identities_b has shape \(2,\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    scores, other, same, a, b = population(4, 3)
    arguments = {"scores": scores, "other_scores": other, "same": same, "identities_a": a, "identities_b": b}
    with pytest.raises((ConfigError, DataError), match=message):
        paired_difference(**(arguments | {"fars": 0.1} | change))


@pytest.mark.parametrize("p_values", [[0.1, -0.1], [2.0], ["a"]])
def test_holm_refuses_what_is_no_probability(p_values):
    with pytest.raises(ConfigError, match="p_values"):
        holm(p_values)


@pytest.mark.slow
@pytest.mark.long
def test_intervals_cover_and_equal_systems_seldom_differ():
    # 120 draws: of 5 %, one in a thousand samples has 14 or more; of 95 %, one in a thousand 106 or fewer
    covered, rejected = 0, 0
    for seed in range(120):
        scores, other, same, a, b = population(50, 3, seed, decimals=6)
        (point,) = paired_difference(scores, other, same, a, b, 0.05, Bootstrap(300, seed=seed)).points
        covered += point.interval[0] <= 0 <= point.interval[1]
        rejected += point.p_value <= 0.05
    assert covered >= 107
    assert rejected <= 13
