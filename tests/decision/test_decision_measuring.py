from dataclasses import replace

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import embedded_verification_set
from facemargin.decision.measuring import measure_thresholds, quality_floor
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Embeddings, PairScores, certified_upper_bound
from facemargin.evaluation.metrics.clustered_wilson import wilson_interval
from facemargin.evaluation.metrics.rates_at import fmr_at
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
        assert point.estimated is None and point.certified is None


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


def test_the_rates_of_other_people_are_those_of_loops_over_people_and_images():
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(15), generator.integers(1, 5, 15))
    vectors = generator.normal(size=(15, 4))[labels] + generator.normal(size=(len(labels), 4))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    thresholds, rungs = [-0.6, 0.1, 0.55, 0.9, 1.1], [0.5, 0.2, 0.1, 0.05]
    found = fmr_at(Embeddings(vectors, labels, labels), labels, thresholds, rungs, confidence=0.9)
    bounds = certified_upper_bound(rungs, units=7, confidence=1 - 0.1 / 4)
    for at, threshold in zip(found, thresholds, strict=True):
        h = np.zeros((15, 15))
        for i in range(15):
            for j in range(15):
                a_s, b_s = np.flatnonzero(labels == i), np.flatnonzero(labels == j)
                errors = [vectors[a] @ vectors[b] >= threshold for a in a_s for b in b_s]
                h[i, j] = 0 if i == j else np.mean(errors)
        rate = h.sum() / (15 * 14)
        d = np.where(np.eye(15, dtype=bool), 0, h - rate)
        shared = sum(d[i, j] * d[i, k] for i in range(15) for j in range(15) for k in range(15) if j != k)
        variance = ((d**2).sum() / 2 + max(0, shared)) / 105**2
        assert at.observed == pytest.approx(rate, abs=1e-12)
        enough = [bound for rung, bound in zip(rungs, bounds, strict=True) if rung >= rate]
        assert at.certified == pytest.approx(min(enough, default=1), abs=1e-11)
        if rate == 0:
            assert at.estimated is None
        else:
            assert at.estimated == pytest.approx(wilson_interval(rate, variance, 0.9), abs=1e-12)
    assert found[0].certified == 1 and found[-1].observed == 0


def test_a_rate_that_is_observed_exactly_is_certified_by_its_own_rung():
    vectors = np.float32([[1, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
    embeddings, labels = Embeddings(vectors, np.ones(5), np.ones(5)), np.arange(5)
    (at,) = fmr_at(embeddings, labels, [0.5], [0.5, 0.1])
    assert at.observed == 0.1 and at.certified == pytest.approx(certified_upper_bound(0.1, 2, 1 - 0.05 / 2), abs=1e-11)


def test_only_pairs_that_say_who_is_in_them_tell_of_other_people():
    pairs, model = embedded_verification_set(range(1, 5)), tiny_model()
    known, unknown = (fm.calibrate(model, replace(pairs, identities_N=given)) for given in (pairs.identities_N, None))
    assert all(point.certified is not None for point in known.thresholds) and known.thresholds[0].estimated is not None
    assert all(point.certified is point.estimated is None for point in unknown.thresholds)
    assert [point.threshold for point in known.thresholds] == [point.threshold for point in unknown.thresholds]


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
