import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import embedded_verification_set
from facemargin.decision.measuring import measure_thresholds, quality_floor
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import PairScores
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, identity_multiplicities
from tests.models.tiny_models import tiny_model


def pair_scores(genuine=300, impostors=1000, seed=0, **changes):
    generator = np.random.default_rng(seed)
    same = np.arange(genuine + impostors) < genuine
    quality_a, quality_b = generator.uniform(0, 10, (2, len(same)))
    # Poor images make genuine pairs less alike.
    scores = np.where(same, 0.1 * np.minimum(quality_a, quality_b), 0) + 0.2 * generator.normal(size=len(same))
    values = {"system": "s", "dataset": "d", "scores_K": scores, "same_K": same}
    values |= {"quality_a_K": quality_a, "quality_b_K": quality_b}
    return PairScores(**{**values, **changes})


def test_thresholds_are_those_of_the_loops():
    scores = pair_scores()
    points = measure_thresholds(scores, floor_percentile=10)
    assert [point.target_fmr for point in points] == [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]
    impostors = [s for s, same in zip(scores.scores_K, scores.same_K, strict=True) if not same]
    pairs = list(zip(scores.scores_K, scores.same_K, scores.quality_a_K, scores.quality_b_K, strict=True))
    images = sorted([*scores.quality_a_K, *scores.quality_b_K])
    for point in points:
        accepted = sum(s >= point.threshold for s in impostors)
        assert point.impostors_accepted == accepted and point.fmr == accepted / 1000 <= point.target_fmr
        # The next lower score would accept one impostor too many.
        lower = max(s for s in scores.scores_K if s < point.threshold)
        assert sum(s >= lower for s in impostors) > 1000 * point.target_fmr
        # A tenth of the images is worse than the floor.
        assert sum(q < point.quality_floor for q in images) == pytest.approx(0.1 * len(images), abs=1)
        good = [s for s, same, a, b in pairs if same and min(a, b) >= point.quality_floor]
        assert point.fnmr == pytest.approx(sum(s < point.threshold for s in good) / len(good))
        poor = [min(a, b) < point.quality_floor for _, _, a, b in pairs]
        assert point.too_poor == pytest.approx(sum(poor) / len(poor))
        assert point.fmr_interval[0] < point.fmr < point.fmr_interval[1]


def test_the_floor_by_fnmr_is_that_of_the_loops():
    generator = np.random.default_rng(1)
    for max_fnmr in (0.05, 0.2, 0.5, 0.9):
        quality = generator.integers(0, 40, 200).astype(float)  # with ties
        missed = generator.uniform(0, 1, 200) < np.exp(-quality / 8)
        expected = None
        for floor in sorted(set(quality)):
            below = [m for m, q in zip(missed, quality, strict=True) if q < floor]
            if len(below) >= 20 and sum(below) / len(below) > max_fnmr:
                expected = floor
        assert quality_floor(missed, quality, max_fnmr) == (min(quality) if expected is None else expected)


def test_poorer_images_are_refused_where_more_is_asked_for():
    scores = pair_scores()
    strict, lax = (measure_thresholds(scores, max_fnmr=rate) for rate in (0.3, 0.8))
    for one, other in zip(strict, lax, strict=True):
        assert one.quality_floor >= other.quality_floor
    assert strict[-1].quality_floor > lax[-1].quality_floor
    # A stricter threshold misses more, so it takes better images.
    assert strict[-1].quality_floor > strict[0].quality_floor


def test_equal_impostor_scores_are_accepted_together():
    same = np.array([True] * 5 + [False] * 100)
    for top, threshold in ((0.5, None), (0.9, 0.9)):
        scores = pair_scores(5, 100, scores_K=np.where(same, top, 0.5), same_K=same)
        (*_, last) = measure_thresholds(scores)
        assert last.impostors_accepted == 0 and last.fnmr == (1.0 if threshold is None else 0.0)
        assert last.threshold == (np.nextafter(0.5, 1) if threshold is None else threshold)


def test_intervals_resample_people_where_they_are_known():
    generator = np.random.default_rng(0)
    people = generator.integers(0, 15, (2, 1300))
    people[1, :300] = people[0, :300]
    people[1, 300:] = (people[0, 300:] + generator.integers(1, 15, 1000)) % 15
    effect = generator.normal(size=15)  # some people are taken for others more often
    scores = pair_scores()
    scores_K = scores.scores_K + np.where(scores.same_K, 0, 0.3 * (effect[people[0]] + effect[people[1]]))
    by_people = measure_thresholds(pair_scores(scores_K=scores_K, identities_a_K=people[0], identities_b_K=people[1]))
    by_pairs = measure_thresholds(pair_scores(scores_K=scores_K))
    wider = [
        (one.fmr_interval[1] - one.fmr_interval[0]) / (other.fmr_interval[1] - other.fmr_interval[0])
        for one, other in zip(by_people, by_pairs, strict=True)
    ]
    assert np.median(wider) > 1.5


def test_intervals_are_those_of_a_loop_over_resamples_and_pairs():
    generator = np.random.default_rng(1)
    people = generator.integers(0, 12, (2, 120))
    same_K = people[0] == people[1]
    scores_K = generator.normal(size=120) + same_K
    found = measure_thresholds(pair_scores(
        scores_K=scores_K, same_K=same_K, identities_a_K=people[0], identities_b_K=people[1],
        quality_a_K=np.ones(120), quality_b_K=np.ones(120),
    ))  # fmt: skip
    compared = 0
    for point in found:
        rates = []
        for times_I in identity_multiplicities(12, DEFAULT_BOOTSTRAP):
            accepted = total = 0
            for k in np.flatnonzero(~same_K):
                weight = int(times_I[people[0, k]] * times_I[people[1, k]])
                total += weight
                accepted += weight * (scores_K[k] >= point.threshold)
            if total:
                rates.append(accepted / total)
        expected = tuple(np.percentile(rates, [2.5, 97.5]))
        if expected[0] < expected[1]:  # else it is Wilson's
            assert point.fmr_interval == pytest.approx(expected, abs=1e-12)
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize(
    ("arguments", "changes", "error", "message"),
    [
        ({"floor_percentile": -1}, {}, ConfigError, "percentile is -1"),
        ({"floor_percentile": 100}, {}, ConfigError, "percentile is 100"),
        ({"max_fnmr": 0}, {}, ConfigError, "largest FNMR is 0"),
        ({}, {"quality_a_K": None}, DataError, "no qualities"),
        ({}, {"same_K": np.ones(1300, bool)}, DataError, "none of the 1,300 pairs is impostor"),
    ],
)
def test_mistakes(arguments, changes, error, message):
    with pytest.raises(error, match=message):
        measure_thresholds(pair_scores(**changes), **arguments)


def test_one_impostor_is_too_few():
    same = np.array([True, False])
    scores = PairScores("s", "d", np.array([0.9, 0.1]), same, np.ones(2), np.ones(2))
    with pytest.raises(DataError, match="1 impostor pair is too few"):
        measure_thresholds(scores)


def test_a_model_is_calibrated_on_faces():
    pairs = embedded_verification_set(range(1, 5))
    model = tiny_model()
    seen = []
    calibration = fm.calibrate(model, pairs, views="one", progress=lambda done, total: seen.append((done, total)))
    assert (calibration.impostors, calibration.genuine, calibration.pairs) == (600, 180, "orl:1-4")
    assert calibration.views == "one" and calibration.quality == "norm" and calibration.floor_rule == "percentile 1"
    assert seen[-1] == (40, 40)
    embeddings = model.embed(pairs.images, views="one")
    cosine = np.einsum("kd,kd->k", embeddings.vectors[pairs.first_K], embeddings.vectors[pairs.second_K])
    for point in calibration.thresholds:
        assert np.mean(cosine[~pairs.same_K] >= point.threshold - 1e-6) <= point.target_fmr + 2 / 600
    calibration.require_model(model)


def test_the_detector_of_the_pairs_is_stored():
    model, pairs = tiny_model(), embedded_verification_set(range(1, 3))
    sure = fm.detection.create_detector("centerface", min_score=0.9)
    for detector, name, settings in (
        (None, None, None),
        ("centerface", "centerface", {"min_score": 0.5, "longest_side": 1280}),
        (sure, "centerface", {"min_score": 0.9, "longest_side": 1280}),
    ):
        calibration = fm.calibrate(model, pairs, detector=detector)
        assert (calibration.detector, calibration.detector_settings) == (name, settings)
    with pytest.raises(ConfigError, match="unknown detector 'centreface'; did you mean 'centerface'"):
        fm.calibrate(model, pairs, detector="centreface")
