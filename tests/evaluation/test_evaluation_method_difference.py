import math
import statistics

import numpy as np
import pytest
from scipy import stats

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Bootstrap, method_difference, paired_difference, tar_at_far
from facemargin.evaluation.metrics.bootstrap import identity_multiplicities
from tests.evaluation.test_evaluation_paired_difference import weighted_tar

FEW = Bootstrap(resamples=40, confidence=0.9, seed=5)


def trainings(people=30, images=3, seeds=3, shifts=(3.0, 3.0), seed_sd=0.2, shared_sd=0.0, draw=0):
    """Scores of two methods on all pairs: what is hard about people is partly the same for all trainings, partly a
    method's own and partly a training's. Seeds make pairs easy for a training, and for both methods alike."""
    rng = np.random.default_rng(draw)
    ids = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(ids), 1)
    a, b = ids[first], ids[second]
    same = a == b
    hard, noise = rng.normal(size=people), rng.normal(size=len(a))
    of_seed = shared_sd * rng.normal(size=seeds)
    methods = []
    for shift in shifts:
        hard_for_method = 0.5 * hard + 0.5 * rng.normal(size=people)
        rows = []
        for seed in range(seeds):
            own = 0.7 * noise + math.sqrt(0.51) * rng.normal(size=len(a))
            easy = (
                shift + of_seed[seed] + seed_sd * rng.normal() + hard_for_method[a] + 0.5 * rng.normal(size=people)[a]
            )
            rows.append(own + np.where(same, easy, 0))
        methods.append(np.array(rows))
    return *methods, same, a, b


def resampled_means(rows, same, a, b, far):
    """The mean TAR of the rows, pair by pair, in each resample of people."""
    means = []
    for times in identity_multiplicities(len(np.unique(a)), FEW):
        weights = np.where(same, times[a], times[a] * times[b])
        means.append(np.mean([weighted_tar(row, same, weights, far) for row in rows]))
    return np.array(means)


def test_is_the_sum_of_what_people_and_seeds_make():
    ours, theirs, same, a, b = trainings(people=12, images=2, seed_sd=0.6)
    far = 0.1
    (point,) = method_difference(ours, theirs, same, a, b, far, FEW).points
    tars, others = ([tar_at_far(row, same, far).points[0].tar for row in rows] for rows in (ours, theirs))
    assert point.tars == pytest.approx(tars)
    assert point.other_tars == pytest.approx(others)
    assert point.difference == pytest.approx(statistics.fmean(tars) - statistics.fmean(others))
    drawn = [
        resampled_means([one], same, a, b, far) - resampled_means([other], same, a, b, far)
        for one, other in zip(ours, theirs, strict=True)
    ]
    plain = statistics.variance(np.mean(drawn, axis=0))
    scale = point.people_error**2 / plain
    chance = scale * (statistics.fmean(map(statistics.variance, drawn)) - plain) / 2
    of_seeds = max(0.0, statistics.variance(np.subtract(tars, others)) / 3 - chance)
    assert of_seeds > 0
    assert point.seeds_error == pytest.approx(math.sqrt(of_seeds))
    freedom = (point.people_error**2 + of_seeds) ** 2 / (point.people_error**4 / 11 + of_seeds**2 / 2)
    assert point.degrees_of_freedom == pytest.approx(freedom)
    error = math.hypot(point.people_error, point.seeds_error)
    assert point.interval == pytest.approx(stats.t.interval(0.9, freedom, point.difference, error))
    assert point.p_value == pytest.approx(2 * stats.t.sf(abs(point.difference) / error, freedom))


def test_what_a_seed_makes_easy_for_both_methods_does_not_blur_their_difference():
    ours, theirs, same, a, b = trainings(people=60, images=2, seeds=6, seed_sd=0.0, shared_sd=1.5)
    (paired,) = method_difference(ours, theirs, same, a, b, 0.1, FEW).points
    (mixed,) = method_difference(ours, np.roll(theirs, 3, axis=0), same, a, b, 0.1, FEW).points
    assert paired.difference == pytest.approx(mixed.difference)
    assert paired.seeds_error < 0.2 * mixed.seeds_error


def test_people_are_resampled_for_all_trainings_at_once():
    ours, theirs, same, a, b = trainings(people=12, images=2)
    far = 0.2
    (point,) = method_difference(ours, theirs, same, a, b, far, FEW).points
    plain = np.std(resampled_means(ours, same, a, b, far) - resampled_means(theirs, same, a, b, far), ddof=1)
    assert plain / math.sqrt(3) - 1e-12 <= point.people_error <= 3 * plain
    assert point.resamples == FEW.resamples


def test_trainings_that_are_one_network_are_that_network():
    ours, theirs, same, a, b = trainings()
    copies = [np.stack([rows[0] * factor for factor in (1, 2, 4)]) for rows in (ours, theirs)]
    found = method_difference(*copies, same, a, b, [0.01, 0.1], FEW).points
    single = paired_difference(ours[0], theirs[0], same, a, b, [0.01, 0.1], FEW).points
    for point, one in zip(found, single, strict=True):
        assert point.difference == pytest.approx(one.difference)
        assert point.seeds_error == 0
        assert point.people_error == pytest.approx(math.sqrt(one.variance) * one.scale)


def test_nothing_that_varies_is_no_certainty():
    same = np.array([True, True, True, False, False, False])
    a, b = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
    right, wrong = np.outer([1, 2], same * 1.0), np.outer([1, 2], 1.0 - same)
    (point,) = method_difference(right, wrong, same, a, b, 0.0, FEW).points
    assert (point.difference, point.interval, point.p_value) == (1.0, None, 1.0)
    assert math.isinf(point.degrees_of_freedom)


def test_bad_input_is_named():
    ours, theirs, same, a, b = trainings(people=5, images=2)
    with pytest.raises(DataError, match=r"scores has the shape \(45,\), expected \(trainings, pairs\)"):
        method_difference(ours[0], theirs, same, a, b, 0.1)
    with pytest.raises(DataError, match=r"other_scores has the shape .* at least 2 trainings"):
        method_difference(ours, theirs[:1], same, a, b, 0.1)
    with pytest.raises(DataError, match="there are 3 trainings of one method and 2 of the other"):
        method_difference(ours, theirs[:2], same, a, b, 0.1)
    with pytest.raises(DataError, match="scores"):
        method_difference(ours[:, :-1], theirs, same, a, b, 0.1)
    with pytest.raises(DataError, match=r"scores\[0\] and scores\[2\] are the same scores"):
        method_difference(ours[[0, 1, 0]], theirs, same, a, b, 0.1)
    with pytest.raises(DataError, match="scores"):
        method_difference(np.ma.masked_less(ours, 0), theirs, same, a, b, 0.1)
    theirs[1, 7] = np.nan
    with pytest.raises(DataError, match=r"other_scores\[1\]"):
        method_difference(ours, theirs, same, a, b, 0.1)
    with pytest.raises(ConfigError, match=r"FAR 1\.5"):
        method_difference(ours, ours, same, a, b, 1.5)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed_sd", "shared_sd"), [(5, 0.2, 0.0), (3, 0.4, 0.8)])
def test_intervals_hold_for_other_people_and_other_seeds(seeds, seed_sd, shared_sd):
    """Equal methods: 95 % intervals leave out 0 in about 5 % of samples, and no more than that by much."""
    draws = 120
    points = []
    for draw in range(draws):
        given = trainings(40, 3, seeds, seed_sd=seed_sd, shared_sd=shared_sd, draw=draw)
        points += method_difference(*given, 0.1, Bootstrap(150, seed=draw)).points
    left_out = np.mean([not point.interval[0] <= 0 <= point.interval[1] for point in points])
    assert left_out <= 0.11
    stated = np.mean([point.people_error**2 + point.seeds_error**2 for point in points])
    assert 0.7 <= stated / np.var([point.difference for point in points]) <= 1.5
