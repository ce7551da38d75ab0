import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import (
    Bootstrap,
    best_balanced_accuracy,
    error_versus_discard,
    identification,
    roc_curve,
    tar_at_far,
    verification_accuracy,
)
from facemargin.evaluation.metrics.bootstrap import identity_multiplicities
from tests.evaluation.pair_strategies import people_pairs

FEW = Bootstrap(resamples=12, confidence=0.8, seed=5)


def resampled_pairs(same, identities_a, identities_b, multiplicity):
    """Indices of the pairs of a population in which person i lives multiplicity[i] times."""
    people = np.unique(np.concatenate([identities_a, identities_b])).tolist()
    copies = dict(zip(people, multiplicity.tolist(), strict=True))
    drawn = []
    for k in range(len(same)):
        for _ in range(copies[identities_a[k]]):
            if same[k]:
                drawn.append(k)
            else:
                drawn += [k] * copies[identities_b[k]]
    return np.array(drawn, dtype=int)


def expected_interval(figure, same, identities_a, identities_b):
    """Percentiles of a figure computed on every resampled population that has both kinds of pairs; None for an
    interval without width, and of two people."""
    people = len(np.unique(np.concatenate([identities_a, identities_b])))
    values = []
    for multiplicity in identity_multiplicities(people, FEW):
        drawn = resampled_pairs(same, identities_a, identities_b, multiplicity)
        if same[drawn].any() and not same[drawn].all():
            values.append(figure(drawn))
    values = [value for value in values if not np.isnan(value)]
    low, high = np.quantile(values, [0.1, 0.9]) if values else (0, 0)
    return (low, high) if high - low > 1e-12 and people > 2 else None


def approx(interval):
    return pytest.approx(interval, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(people_pairs(), st.sampled_from(["at_most", "nearest"]), st.sampled_from([0.0, 0.25, 0.5]))
def test_tar_interval_is_that_of_the_resampled_populations(pairs, rule, far):
    scores, same, a, b = pairs
    (point,) = tar_at_far(scores, same, [far], rule, identities_a=a, identities_b=b, bootstrap=FEW).points
    expected = expected_interval(lambda k: tar_at_far(scores[k], same[k], [far], rule).points[0].tar, same, a, b)
    assert point.interval == approx(expected)


@settings(deadline=None, max_examples=40)
@given(people_pairs())
def test_curve_and_balanced_accuracy_intervals_are_those_of_the_resampled_populations(pairs):
    scores, same, a, b = pairs
    people = {"identities_a": a, "identities_b": b, "bootstrap": FEW}
    curve = roc_curve(scores, same, **people)
    assert curve.eer_interval == approx(expected_interval(lambda k: roc_curve(scores[k], same[k]).eer, same, a, b))
    assert curve.auc_interval == approx(expected_interval(lambda k: roc_curve(scores[k], same[k]).auc, same, a, b))
    assert best_balanced_accuracy(scores, same, **people).interval == approx(
        expected_interval(lambda k: best_balanced_accuracy(scores[k], same[k]).value, same, a, b)
    )


@settings(deadline=None, max_examples=40)
@given(people_pairs(), st.integers(0, 99), st.booleans())
def test_error_versus_discard_intervals_are_those_of_the_resampled_populations(pairs, seed, refit):
    scores, same, a, b = pairs
    quality = np.random.default_rng(seed).integers(0, 3, (2, len(same)))
    (limit,) = error_versus_discard(
        scores, same, *quality, 0.25, limits=[0.3], refit=refit, identities_a=a, identities_b=b, bootstrap=FEW
    ).limits
    for name in ("fnmr", "pauc", "relative_to_start", "relative_to_ideal"):

        def figure(k, name=name):
            result = error_versus_discard(scores[k], same[k], *quality[:, k], 0.25, limits=[0.3], refit=refit)
            return getattr(result.limits[0], name)

        assert getattr(limit, f"{name}_interval") == approx(expected_interval(figure, same, a, b))


def test_accuracy_interval_is_that_of_the_resampled_populations():
    rng = np.random.default_rng(2)
    a = rng.integers(0, 12, 300)
    b = np.where(rng.random(300) < 0.5, a, rng.integers(0, 12, 300))
    same = a == b
    scores = np.clip((rng.normal(size=300) + 1.5 * same) / 8, -1, 1)
    folds = rng.integers(0, 4, 300)
    for grid in (None, "insightface"):
        result = verification_accuracy(scores, same, folds, grid, a, b, FEW)
        expected = expected_interval(
            lambda k, grid=grid: verification_accuracy(scores[k], same[k], folds[k], grid).mean, same, a, b
        )
        assert result.interval == approx(expected)
        assert result.interval[0] < result.mean < result.interval[1]


def test_folds_that_a_resample_leaves_without_pairs_are_left_out_of_its_mean():
    a = np.array([0, 0, 1, 1, 2, 2])
    b = np.array([0, 1, 1, 2, 2, 0])
    scores = [1.0, 0, 1, 0.5, 0.2, 0]
    result = verification_accuracy(scores, a == b, [0, 0, 1, 1, 2, 2], None, a, b, FEW)
    assert np.isfinite(result.interval).all()
    # every resample gives 1 where nothing is ever wrong: no width, and no certainty either
    perfect = verification_accuracy([1.0, 0, 1, 0, 1, 0], a == b, [0, 0, 1, 1, 2, 2], None, a, b, FEW)
    assert (perfect.mean, perfect.interval) == (1.0, None)


def test_two_people_give_no_interval():
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 0])
    scores = [0.9, 0.2, 0.5, 0.8, 0.3, 0.1]
    people = {"identities_a": a, "identities_b": b}
    assert roc_curve(scores, a == b, **people).auc_interval is None
    assert best_balanced_accuracy(scores, a == b, **people).interval is None
    assert tar_at_far(scores, a == b, 0.5, **people).points[0].interval is None
    assert verification_accuracy(scores, a == b, 2, **people).interval is None
    limit = error_versus_discard(scores, a == b, scores, scores, 0.5, **people).limits[0]
    assert limit.fnmr_interval is None and limit.pauc_interval is None


@pytest.mark.parametrize("bootstrap", [100, "many"])
def test_what_is_no_bootstrap_is_refused(bootstrap):
    with pytest.raises(ConfigError, match=r"expected Bootstrap\(resamples=1000\) or None"):
        roc_curve([1.0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 2], bootstrap)
    assert roc_curve([1.0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 2], None).auc_interval is None


def test_identification_intervals_resample_the_probes_people():
    rng = np.random.default_rng(1)
    gallery, probe_ids = rng.normal(size=(6, 3)), np.repeat(np.arange(9), 3)
    probe = np.concatenate([gallery, rng.normal(size=(3, 3))])[probe_ids] + rng.normal(size=(27, 3))
    result = identification(probe, gallery, probe_ids, np.arange(6), fpirs=[0.2], bootstrap=FEW)
    rank_rates, tpirs = [], []
    for multiplicity in identity_multiplicities(9, FEW):
        drawn = np.repeat(np.arange(27), multiplicity[probe_ids])
        resampled = identification(probe[drawn], gallery, probe_ids[drawn], np.arange(6), fpirs=[0.2])
        rank_rates.append(resampled.rank_rates[1])
        tpirs.append(resampled.tpir_at_fpir[0.2])
    assert result.rank_intervals[1] == approx(tuple(np.quantile(rank_rates, [0.1, 0.9])))
    assert result.tpir_intervals[0.2] == approx(tuple(np.nanquantile(tpirs, [0.1, 0.9])))
    assert result.rank_intervals[1][0] < result.rank_intervals[1][1]


def test_intervals_depend_on_the_seed_and_only_on_it():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 20, 400)
    b = np.where(rng.random(400) < 0.5, a, rng.integers(0, 20, 400))
    scores = rng.normal(size=400) + (a == b)

    def interval(seed, names=lambda i: i):
        settings = Bootstrap(resamples=50, seed=seed)
        return roc_curve(scores, a == b, names(a), names(b), settings).auc_interval

    assert interval(1) == interval(1) == interval(1, names=lambda i: np.array([f"person {n:02}" for n in i]))
    assert interval(1) != interval(2)


def test_multiplicities_are_draws_with_replacement_and_a_longer_run_begins_with_the_shorter():
    short = list(identity_multiplicities(50, Bootstrap(resamples=3)))
    long = list(identity_multiplicities(50, Bootstrap(resamples=200)))
    np.testing.assert_array_equal(short, long[:3])
    assert (np.sum(long, axis=1) == 50).all()
    assert np.mean(np.array(long) == 0) == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_no_identities_no_intervals():
    assert tar_at_far([1, 2], [0, 1], [0.1]).points[0].interval is None
    assert identification(np.eye(2), np.eye(2), [0, 1], [0, 1]).rank_intervals is None


@pytest.mark.parametrize(
    ("identities_a", "identities_b", "message"),
    [
        ([1, 2], None, "one side"),
        ([1, 2, 3], [1, 2, 3], "identities_a has shape"),
        ([1, 2], [1], "identities_b has shape"),
        (
            [1, 2],
            [1, 2],
            "1 pair with a label that contradicts the identities; the first is pair 1, labelled impostor, of "
            "identities 2 and",
        ),
        ([1, 2], [3, 4], "pair 0, labelled genuine, of identities 1 and 3"),
    ],
)
def test_identities_that_do_not_fit_are_refused(identities_a, identities_b, message):
    with pytest.raises(DataError, match=message):
        roc_curve([1.0, 0.0], [1, 0], identities_a, identities_b)


@pytest.mark.parametrize("options", [{"resamples": 0}, {"confidence": 1.0}])
def test_unusable_settings_are_refused(options):
    with pytest.raises(ConfigError, match="bootstrap"):
        Bootstrap(**options)


def simulated_scores(rng, people, images=4):
    """Scores of all pairs of images of people who differ in how well they are recognised and in how much they are
    mistaken for others, which makes pairs with a common person dependent."""
    easy, lookalike = rng.normal(0, 0.8, people), rng.normal(0, 0.5, people)
    owner = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(people * images, 1)
    a, b = owner[first], owner[second]
    scores = np.where(a == b, 2.5 + easy[a], lookalike[a] + lookalike[b]) + rng.normal(0, 0.5, len(a))
    return scores, a == b, a, b


@pytest.mark.slow
@pytest.mark.long
def test_intervals_by_identity_cover_the_truth_where_those_by_pair_do_not():
    truth = tar_at_far(*simulated_scores(np.random.default_rng(0), 500)[:2], [0.1]).points[0].tar
    settings = Bootstrap(resamples=150)
    covered = {"identity": 0, "pair": 0}
    runs = 60
    for run in range(runs):
        scores, same, a, b = simulated_scores(np.random.default_rng((1, run)), 40)
        (point,) = tar_at_far(scores, same, [0.1], identities_a=a, identities_b=b, bootstrap=settings).points
        covered["identity"] += point.interval[0] <= truth <= point.interval[1]
        rng = np.random.default_rng((2, run))
        tars = []
        for _ in range(settings.resamples):
            drawn = rng.integers(len(same), size=len(same))
            tars.append(tar_at_far(scores[drawn], same[drawn], [0.1]).points[0].tar)
        low, high = np.quantile(tars, [0.025, 0.975])
        covered["pair"] += low <= truth <= high
    assert covered["identity"] / runs >= 0.85
    assert covered["pair"] / runs <= 0.75
