"""How a set was learned, against loops over its visits."""

import numpy as np
import pytest

import facemargin as fm
from facemargin.recording.columns import NO_CLASS
from facemargin.recording.learning import learning

NAMES = ["Ann", "Bob", "Cy", "Di"]


def recording(steps=8, batch=12, samples=16, seed=0):
    draws = np.random.default_rng(seed)
    visits = steps * batch
    columns = {
        "sample": draws.integers(0, samples - 1, visits).astype(np.uint32),  # the last has no visit
        "step": np.repeat(np.arange(3, steps + 3), batch).astype(np.uint32),
        "feature_norm": draws.uniform(1, 30, visits).astype(np.float16),
        "target_cosine": draws.uniform(-1, 1, visits).astype(np.float16),
        "hardest_negative": draws.uniform(-1, 1, visits).astype(np.float16),
    }
    labels_N = np.arange(samples) % 4
    other = draws.integers(1, 4, visits)
    columns["hardest_class"] = ((labels_N[columns["sample"]] + other) % 4).astype(np.uint32)
    return fm.Recording(columns, labels_N, NAMES, {}, [])


def test_the_means_of_samples_bands_and_intervals_are_those_of_loops():
    log = recording()
    found = learning(log, bands=3, intervals=4)
    late = [v for v in range(len(log)) if log["step"][v] >= 7]
    mean = {}
    for name, got_N in (("feature_norm", found.norm_N), ("target_cosine", found.cosine_N)):
        for sample in range(16):
            values = [float(log[name][v]) for v in late if log["sample"][v] == sample]
            mean[name, sample] = np.mean(values) if values else np.nan
        np.testing.assert_allclose(got_N, [mean[name, sample] for sample in range(16)], rtol=1e-12)
    gaps = [float(log["target_cosine"][v]) - float(log["hardest_negative"][v]) for v in late if log["sample"][v] == 2]
    assert found.gap_N[2] == pytest.approx(np.mean(gaps)) and np.isnan(found.gap_N[15])
    ranked = sorted((s for s in range(16) if np.isfinite(found.norm_N[s])), key=lambda s: found.norm_N[s])
    band = {sample: rank * 3 // len(ranked) for rank, sample in enumerate(ranked)}
    assert found.step_S.tolist() == [3.5, 5.5, 7.5, 9.5]
    for q in range(3):
        for s, (first, last) in enumerate([(3, 4), (5, 6), (7, 8), (9, 10)]):
            cosines = [
                float(log["target_cosine"][v])
                for v in range(len(log))
                if first <= log["step"][v] <= last and band.get(int(log["sample"][v])) == q
            ]
            assert found.cosine_QS[q, s] == pytest.approx(np.mean(cosines))


def test_the_most_entangled_people_are_near_each_other_both_ways():
    log = recording(steps=20, seed=1)
    found = learning(log, pairs=100)
    late = [v for v in range(len(log)) if log["step"][v] >= (3 + 22 + 1) // 2]

    def share(a, b):
        of_a = [v for v in late if log.labels[log["sample"][v]] == a]
        return sum(int(log["hardest_class"][v]) == b for v in of_a) / len(of_a)

    mutual = {(a, b): min(share(a, b), share(b, a)) for a in range(4) for b in range(a + 1, 4)}
    pairs = [(NAMES.index(pair.person), NAMES.index(pair.other)) for pair in found.entangled]
    assert sorted(pairs) == sorted(pair for pair, value in mutual.items() if value > 0)
    assert [mutual[pair] for pair in pairs] == sorted((mutual[pair] for pair in pairs), reverse=True)
    first = found.entangled[0]
    assert (first.share, first.back) == pytest.approx((share(*pairs[0]), share(*pairs[0][::-1])))
    both = [
        v for v in late
        if (log.labels[log["sample"][v]], int(log["hardest_class"][v])) in (pairs[0], pairs[0][::-1])
    ]  # fmt: skip
    nearer = [log["hardest_negative"][v] > log["target_cosine"][v] for v in both]
    assert first.nearer == pytest.approx(np.mean(nearer))


def test_visits_without_numbers_are_left_out_and_counted():
    log = recording()
    log["target_cosine"][:5] = np.nan
    log["feature_norm"][5] = np.inf
    log["hardest_negative"][:] = -np.inf
    log["hardest_class"][:] = NO_CLASS
    found = learning(log)
    assert found.not_finite == 6 and found.entangled == [] and np.isnan(found.gap_N).all()
    assert np.isfinite(found.cosine_QS).any()
