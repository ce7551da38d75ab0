"""Certified thresholds against loops over people, in float64, and their promises in simulated populations."""

import itertools
import math

import numpy as np
import pytest
from benchmarks.certified_populations import POPULATIONS, draw, lowest_fmr, tight
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import (
    CertifiedThresholds,
    Embeddings,
    certified_upper_bound,
    certify_embeddings,
    certify_gallery,
    certify_threshold,
    people_needed,
)
from facemargin.evaluation.metrics import certified_search, person_pairs


def h_of(scores, threshold, below=False):
    """The share of scores in error."""
    wrong = [score < threshold if below else score >= threshold for score in scores]
    return sum(wrong) / len(wrong)


def mean_h(groups, threshold, below=False):
    return np.mean([h_of(group, threshold, below) for group in groups.values()])


def grouped(pairs):
    """{(person, person): scores}"""
    groups = {}
    for score, a, b in pairs:
        groups.setdefault((min(a, b), max(a, b)), []).append(score)
    return groups


def wilson(rate, variance, confidence):
    if not (0 < rate < 1 and variance > 0):
        return None
    z = {0.95: 1.959963984540054, 0.975: 2.241402727604947}[round(confidence, 6)]
    n = rate * (1 - rate) / variance
    center, root = rate + z * z / 2 / n, z * math.sqrt(rate * (1 - rate) / n + z * z / 4 / n / n)
    return tuple(value / (1 + z * z / n) for value in (center - root, center + root))


def variance_of_pairs(h):
    """Σ over all pairs of pairs of people that share somebody of the product of their deviations."""
    u = sum(h.values()) / len(h)
    own = sum((value - u) ** 2 for value in h.values())
    shared = sum(
        (h[first] - u) * (h[second] - u) for first in h for second in h if first != second and set(first) & set(second)
    )
    return (own + max(0, shared)) / len(h) ** 2


def check_fmr(rate, groups, units, delta):
    """The threshold is the lowest that the bound allows among all numbers, and the figures are those there."""
    scores = sorted({score for group in groups.values() for score in group})
    candidates = [*scores, np.nextafter(scores[-1], np.inf)]
    bound_T = certified_upper_bound([mean_h(groups, t) for t in candidates], units, 1 - delta)
    allowed = [t for t, bound in zip(candidates, bound_T, strict=True) if bound <= rate.target]
    if not allowed:
        assert rate.threshold is None and rate.certified is None and rate.errors == 0
        assert certified_upper_bound(0, units, 1 - delta) > rate.target
        return
    below = [score for score in scores if score < allowed[0]]
    assert rate.threshold == (np.nextafter(below[-1], np.inf) if below else allowed[0])
    h = {people: h_of(group, rate.threshold) for people, group in groups.items()}
    assert rate.observed == pytest.approx(np.mean(list(h.values())), abs=1e-12)
    assert rate.errors == sum(score >= rate.threshold for group in groups.values() for score in group)
    assert rate.pairs == sum(map(len, groups.values()))
    assert rate.people_in_error == len({person for people, value in h.items() if value for person in people})
    assert rate.certified == rate.target and rate.refusal == ""
    expected = wilson(rate.observed, variance_of_pairs(h), 1 - delta)
    assert rate.estimated == (expected if expected is None else pytest.approx(expected, abs=1e-9))


def check_fnmr(rate, genuine, delta, accept):
    """The threshold is the highest that the bound allows among all numbers, or that of the FMR."""
    scores = sorted({score for group in genuine.values() for score in group})
    bound_T = certified_upper_bound([mean_h(genuine, t, True) for t in scores], len(genuine), 1 - delta)
    allowed = [t for t, bound in zip(scores, bound_T, strict=True) if bound <= rate.target]
    if not allowed:
        assert rate.threshold is None and rate.refusal.startswith(f"FNMR {rate.target:g} needs ")
        return
    assert rate.threshold == min(allowed[-1], math.inf if accept is None else accept)
    assert rate.observed == pytest.approx(mean_h(genuine, rate.threshold, True), abs=1e-12)
    shares = np.array([h_of(group, rate.threshold, below=True) for group in genuine.values()])
    variance = ((shares - shares.mean()) ** 2).sum() / len(shares) ** 2
    assert rate.people_in_error == np.count_nonzero(shares)
    expected = wilson(rate.observed, variance, 1 - delta)
    assert rate.estimated == (expected if expected is None else pytest.approx(expected, abs=1e-9))


@st.composite
def everybody(draw):
    """All pairs of the images of a few people: scores with ties, labels, people."""
    counts = draw(st.lists(st.integers(1, 3), min_size=4, max_size=12))
    person_S = np.repeat(np.arange(len(counts)), counts)
    first, second = np.triu_indices(len(person_S), 1)
    seed = draw(st.integers(0, 10**6))
    levels = draw(st.sampled_from([5, 1000]))
    same = person_S[first] == person_S[second]
    scores = np.random.default_rng(seed).integers(0, levels, len(first)) + np.where(same, levels // 3, 0.0)
    return scores, same, person_S[first], person_S[second]


@settings(max_examples=30)
@given(everybody(), st.sampled_from([0.3013, 0.5517, 0.8129]), st.sampled_from([None, 0.4071, 0.7033]))
def test_everybody_against_everybody(pairs, fmr, fnmr):
    scores, same, a, b = pairs
    found = certify_threshold(scores, same, a, b, fmr, fnmr=fnmr) if same.any() or fnmr is None else None
    if found is None:
        return
    (band,) = found.bands
    people, delta = len(np.unique([*a, *b])), 0.05 if fnmr is None else 0.025
    assert band.fmr.people == people and band.fmr.units == people // 2
    check_fmr(band.fmr, grouped(zip(scores[~same], a[~same], b[~same], strict=True)), people // 2, delta)
    if fnmr is not None:
        check_fnmr(band.fnmr, grouped(zip(scores[same], a[same], b[same], strict=True)), delta, band.fmr.threshold)


@settings(max_examples=30)
@given(everybody(), st.integers(0, 10**6), st.sampled_from([0.5017, 0.8129]))
def test_a_list_of_pairs(pairs, seed, fmr):
    kept = np.random.default_rng(seed).random(len(pairs[0])) < 0.4
    kept[np.flatnonzero(~pairs[1])[0]] = True
    scores, same, a, b = (values[kept] for values in pairs)
    groups = grouped(zip(scores[~same], a[~same], b[~same], strict=True))
    most = max(sum(person in people for people in groups) for person in range(12))
    found = certify_threshold(scores, same, a, b, fmr, design="list").bands[0].fmr
    assert found.units == len(groups) // (most + 1)
    if found.units:
        check_fmr(found, groups, found.units, 0.05)
    else:
        assert found.threshold is None and found.refusal.endswith("is worth 0; nothing can be certified")


def test_a_fixed_gallery():
    generator = np.random.default_rng(3)
    rows = [
        (generator.random(), probe, enrolled)
        for probe in range(40)
        for _ in range(1 + probe % 3)
        for enrolled in range(30, 36)
        for _ in range(1 + enrolled % 2)
    ]
    scores, a, b = (np.array(values) for values in zip(*rows, strict=True))
    found = certify_threshold(scores, a == b, a, b, 0.25, design="gallery")
    outsiders = [probe for probe in range(40) if not 30 <= probe < 36]
    impostors = [row for row in rows if row[1] in outsiders]
    assert found.left_out == len([row for row in rows if row[1] not in outsiders and row[1] != row[2]]) > 0
    rate = found.bands[0].fmr
    assert (rate.people, rate.units, rate.pairs) == (34, 34, len(impostors))

    def share(threshold):
        groups = {}
        for score, probe, enrolled in impostors:
            groups.setdefault(probe, {}).setdefault(enrolled, []).append(score)
        return np.array([np.mean([h_of(g, threshold) for g in of.values()]) for of in groups.values()])

    lower = max(score for score, *_ in impostors if score < rate.threshold)
    assert certified_upper_bound(share(rate.threshold).mean(), 34) <= 0.25
    assert certified_upper_bound(share(lower).mean(), 34) > 0.25
    assert rate.observed == pytest.approx(share(rate.threshold).mean())
    shares = share(rate.threshold)
    variance = ((shares - shares.mean()) ** 2).sum() / 34**2
    assert rate.estimated == pytest.approx(wilson(rate.observed, variance, 0.95), abs=1e-9)
    assert rate.people_needed == math.ceil(math.log(0.05) / math.log(0.75))


@pytest.mark.parametrize("bands", [1, [0.3, 0.6], 2])
def test_a_gallery_of_embeddings_is_that_of_its_scores(bands, monkeypatch):
    """People 0 to 39 are probes, 30 to 47 are enrolled, with one to three images each, in tiles of a few."""
    monkeypatch.setattr(person_pairs, "_TILE_IMAGES", 7)
    generator = np.random.default_rng(8)
    sides = []
    for people in (range(40), range(30, 48)):
        person_S = generator.permutation(np.repeat(people, 1 + np.arange(len(people)) % 3))
        vectors = generator.normal(size=(48, 8))[person_S] + generator.normal(size=(len(person_S), 8))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        quality = np.round(generator.random(len(person_S)), 3)
        sides.append((Embeddings(vectors, quality, quality), person_S))
    (probes, a_S), (gallery, b_T) = sides
    if bands == 2:  # the edge is at the median of the probes
        found = certify_gallery(probes, a_S, gallery, b_T, 0.5, fnmr=0.6, bands=2)
        assert found.bands[0].lowest_quality == np.median(probes.quality)
        return
    found = certify_gallery(probes, a_S, gallery, b_T, 0.4, fnmr=0.6, bands=bands)
    scores = (probes.vectors @ gallery.vectors.T).ravel()
    a, b = np.repeat(a_S, len(b_T)), np.tile(b_T, len(a_S))
    qualities = {}
    if bands != 1:
        qualities = {
            "quality_a": np.repeat(probes.quality, len(b_T)), "quality_b": np.tile(gallery.quality, len(a_S)),
            "bands": bands,
        }  # fmt: skip
    expected = certify_threshold(scores, a == b, a, b, 0.4, design="gallery", fnmr=0.6, **qualities)
    assert found.left_out == expected.left_out > 0 and found.quality_floor == expected.quality_floor
    assert any(band.fmr.threshold is not None for band in found.bands)
    assert found.bands[0].fmr.people <= 30 and found.design == "gallery"
    for band, other in zip(found.bands, expected.bands, strict=True):
        for rate, same in ((band.fmr, other.fmr), (band.fnmr, other.fnmr)):
            for field in ("certified", "errors", "people_in_error", "pairs", "people", "units", "refusal"):
                assert getattr(rate, field) == getattr(same, field), field
            if rate.threshold is not None:
                assert rate.threshold == pytest.approx(same.threshold, abs=1e-6)
                assert rate.observed == pytest.approx(same.observed, abs=1e-12)
            assert (rate.estimated is None) == (same.estimated is None)
            if rate.estimated is not None:
                assert rate.estimated == pytest.approx(same.estimated, abs=1e-9)
        assert band.undecided_impostor == pytest.approx(other.undecided_impostor)
        assert band.undecided_genuine == pytest.approx(other.undecided_genuine)


def test_an_unusable_gallery():
    vectors = np.eye(3, dtype=np.float32)
    three = Embeddings(vectors, np.ones(3), np.ones(3))
    narrow = Embeddings(vectors[:, :2], np.ones(3), np.ones(3))
    empty = Embeddings(vectors[:0], np.ones(0), np.ones(0))
    for arguments, message in (
        ((three, [0, 1, 1], three, [1, 0, 2]), "all 2 people of the probes are in the gallery, too; an FMR needs"),
        ((three, [1, 1, 1], three, [1, 0, 2]), "the only person of the probes is in the gallery, too"),
        ((three, [0, 1, 2], narrow, [3, 4, 5]), "the probes have 3 values, those of the gallery 2"),
        ((three, [0, 1, 2], three, [3, 4]), r"gallery_identities have shape \(2,\), expected \(3,\)"),
        ((three, [0, 1, 2], empty, []), "there are no embeddings for the gallery_identities"),
    ):
        with pytest.raises(DataError, match=message):
            certify_gallery(*arguments, 0.4)


def test_bands_of_quality():
    """Each band with the people who have an image in it; a pair belongs to the band of its poorer image."""
    scores, same, a, b, quality_a, quality_b = _of_qualities(people=60)
    edges = [1.0, 2.0]
    found = certify_threshold(scores, same, a, b, 0.5, fnmr=0.6, quality_a=quality_a, quality_b=quality_b, bands=edges)
    share, left = 0.05 / 6, np.count_nonzero(~same)
    for place, band in enumerate(found.bands):
        number = 2 - place
        assert band.lowest_quality == (edges[number - 1] if number else None)
        low, high = [-math.inf, *edges][number], [*edges, math.inf][number]
        own = [(quality >= low) & (quality < high) for quality in (quality_a, quality_b)]
        members = set(a[own[0]]) | set(b[own[1]])
        poorer = np.minimum(quality_a, quality_b)
        of_band = (poorer >= low) & (poorer < high)
        known = of_band & ~same & np.isin(a, list(members)) & np.isin(b, list(members))
        left -= np.count_nonzero(known)
        assert band.fmr.people == len(members) and band.fmr.units == len(members) // 2
        assert band.fmr.confidence == pytest.approx(1 - share)
        check_band_fmr(band.fmr, grouped(zip(scores[known], a[known], b[known], strict=True)), share)
        genuine = grouped(zip(*(values[of_band & same] for values in (scores, a, b)), strict=True))
        accept, reject = band.fmr.threshold, band.fnmr.threshold
        assert band.fnmr.people == len(genuine)
        assert certified_upper_bound(mean_h(genuine, reject, True), len(genuine), 1 - share) <= 0.6
        higher = min((score for group in genuine.values() for score in group if score > reject), default=math.inf)
        assert reject == accept or certified_upper_bound(mean_h(genuine, higher, True), len(genuine), 1 - share) > 0.6
        between = [(scores[k] >= reject) & (scores[k] < accept) for k in (known, of_band & same)]
        assert (band.undecided_impostor, band.undecided_genuine) == (between[0].mean(), between[1].mean())
    assert found.left_out == left and found.quality_floor is None


def check_band_fmr(rate, groups, delta):
    lower = max(score for group in groups.values() for score in group if score < rate.threshold)
    assert certified_upper_bound(mean_h(groups, rate.threshold), rate.units, 1 - delta) <= rate.target
    assert certified_upper_bound(mean_h(groups, lower), rate.units, 1 - delta) > rate.target
    assert rate.observed == pytest.approx(mean_h(groups, rate.threshold), abs=1e-12)


def _of_qualities(people, seed=0):
    generator = np.random.default_rng(seed)
    person_S = np.repeat(np.arange(people), generator.integers(1, 4, people))
    quality_S = generator.uniform(0, 3, len(person_S))
    first, second = np.triu_indices(len(person_S), 1)
    same = person_S[first] == person_S[second]
    scores = generator.normal(np.where(same, 1.0, 0.0), 1)
    return scores, same, person_S[first], person_S[second], quality_S[first], quality_S[second]


def test_embeddings_give_the_thresholds_of_their_scores(monkeypatch):
    """In tiles of a few people, in one tile, and from scores; with and without bands."""
    generator = np.random.default_rng(1)
    person_S = generator.permutation(np.repeat(np.arange(50), generator.integers(1, 5, 50)))
    centers = generator.normal(size=(50, 8))
    features = centers[person_S] + generator.normal(size=(len(person_S), 8))
    vectors = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    quality = generator.uniform(0, 3, len(person_S)).astype(np.float32)
    first, second = np.triu_indices(len(person_S), 1)
    scores = (vectors.astype(np.float64) @ vectors.T.astype(np.float64))[first, second]
    a, b = person_S[first], person_S[second]
    for bands in (1, [1.0, 2.0]):
        expected = certify_threshold(
            scores, a == b, a, b, 0.45, fnmr=0.5, quality_a=quality[first], quality_b=quality[second], bands=bands
        )
        for tile in (1, 20, 10**4):
            monkeypatch.setattr(person_pairs, "_TILE_IMAGES", tile)
            found = certify_embeddings(Embeddings(vectors, quality, quality), person_S, 0.45, fnmr=0.5, bands=bands)
            assert found.left_out == expected.left_out and found.quality_floor == expected.quality_floor
            for ours, theirs in zip(found.bands, expected.bands, strict=True):
                for rate, other in ((ours.fmr, theirs.fmr), (ours.fnmr, theirs.fnmr)):
                    assert (rate.threshold is None) == (other.threshold is None)
                    if rate.threshold is not None:
                        assert rate.threshold == pytest.approx(other.threshold, abs=1e-5)
                        assert rate.observed == pytest.approx(other.observed, abs=1e-9)
                        assert rate.estimated == pytest.approx(other.estimated, rel=1e-6)
                    assert (rate.errors, rate.pairs, rate.people) == (other.errors, other.pairs, other.people)
                assert ours.undecided_impostor == pytest.approx(theirs.undecided_impostor)
                assert ours.undecided_genuine == pytest.approx(theirs.undecided_genuine)


@pytest.mark.parametrize("bins", [1, 2, 7, 2**14])
def test_the_histogram_only_saves_work(monkeypatch, bins):
    scores, same, a, b, *_ = _of_qualities(people=40)
    expected = certify_threshold(scores, same, a, b, 0.3)
    monkeypatch.setattr(certified_search, "_BINS", bins)
    found = certify_threshold(scores, same, a, b, 0.3)
    assert found.threshold == expected.threshold and found.bands[0].fmr.errors == expected.bands[0].fmr.errors
    assert found.bands[0].fmr.observed == pytest.approx(expected.bands[0].fmr.observed, rel=1e-12)


def test_equal_scores_are_accepted_or_rejected_together():
    people = list(itertools.combinations(range(40), 2))
    a, b = np.array(people).T
    found = certify_threshold(np.ones(len(people)), a == b, a, b, 0.2)
    assert found.threshold == np.nextafter(1.0, 2) and found.bands[0].fmr.observed == 0
    assert found.bands[0].fmr.estimated is None and found.bands[0].fmr.errors == 0
    found = certify_threshold(np.ones(len(people), np.float32), a == b, a, b, 0.2)
    assert np.float32(1) < np.float32(found.threshold) == found.threshold


def test_refusals_are_answers():
    people = list(itertools.combinations(range(40), 2))
    a, b = np.array(people).T
    found = certify_threshold(np.arange(len(people)), a == b, a, b, 1e-3)
    rate = found.bands[0].fmr
    assert rate.refusal == (
        "FMR 0.001 needs 5,990 people with no false match, the pairs have 40; "
        "the lowest that can be certified is 13.9 %"
    )
    assert found.threshold is None and rate.lowest == pytest.approx(0.1391, abs=1e-4)
    assert found.decide(1e9) == "cannot tell" and found.quality_floor is None
    assert rate.needs(1e-3, 1e-4) == 6824 and rate.needs(0.01) == 598
    found = certify_threshold(np.arange(len(people)), a == b, a, b, 1e-3, design="list")
    assert found.bands[0].fmr.refusal == (
        "FMR 0.001 needs 5,990 people with no false match, the list, in which people are in several pairs, "
        "is worth 38; the lowest that can be certified is 14.6 %"
    )
    assert "refused" in repr(found)
    found = certify_threshold(np.arange(len(people)), a == b, a, b, 0.2, fnmr=0.1)
    assert found.bands[0].fnmr.refusal == (
        "FNMR 0.1 needs 36 people with no false non-match, the pairs have 0; nothing can be certified"
    )


def test_what_a_lower_rate_needs_is_the_same_beside_other_promises():
    """At the lowest rate that 44 people can certify at an eighth of the risk, which is a tie of rounded numbers."""
    person_S, quality_S = np.repeat(np.arange(44), 4), np.tile(np.arange(4.0), 44)
    first, second = np.triu_indices(len(person_S), 1)
    a, b = person_S[first], person_S[second]
    fmr = certified_upper_bound(0, 22, 1 - 0.05 / 8)
    quality = {"quality_a": quality_S[first], "quality_b": quality_S[second], "bands": [0.5, 1.5, 2.5]}
    found = certify_threshold(1.0 * (a == b), a == b, a, b, fmr, fnmr=fmr, **quality)
    for band in found.bands:
        lower, confidence = fmr / 2, band.fmr.confidence
        assert (band.fmr.people, band.fmr.people_per_unit) == (44, 2)
        assert band.fmr.needs(lower) == people_needed(lower, confidence=confidence)
        assert band.fnmr.needs(lower) == people_needed(lower, confidence=confidence, design="gallery")


def test_the_walk_down_ends_at_the_first_band_that_cannot_be_certified():
    scores, same, a, b, quality_a, quality_b = _of_qualities(people=80)
    few = [0.05, 1.0, 2.9]  # hardly anybody has an image in the poorest and in the best of these bands
    for edges, floor in ((few[:2], 0.05), (few, math.inf), ([1.5], None)):
        found = certify_threshold(scores, same, a, b, 0.4, quality_a=quality_a, quality_b=quality_b, bands=edges)
        assert found.quality_floor == floor
        assert (found.decide(99, 0.01) == "too poor") == (floor is not None)
    with pytest.raises(ConfigError, match="2 bands of quality have thresholds of their own"):
        _ = found.threshold
    with pytest.raises(ConfigError, match="the quality is None"):
        found.decide(0.5)


def test_answers():
    scores, same, a, b, quality_a, quality_b = _of_qualities(people=150)
    found = certify_threshold(
        scores, same, a, b, 0.15, fnmr=0.3, quality_a=quality_a, quality_b=quality_b, bands=[1.0, 2.0]
    )
    for quality, band in ((2.5, 0), (2.0, 0), (1.5, 1), (1.0, 1), (0.5, 2), (-5, 2)):
        accept, reject = found.bands[band].fmr.threshold, found.bands[band].fnmr.threshold
        assert reject < accept
        assert found.decide(accept, quality) == "same"
        assert found.decide(np.nextafter(accept, -9), quality) == found.decide(reject, quality) == "cannot tell"
        assert found.decide(np.nextafter(reject, -9), quality) == "different"
    found = certify_threshold(scores, same, a, b, 0.6, fnmr=0.6)
    assert found.threshold == found.bands[0].fnmr.threshold  # both promises hold there
    assert found.bands[0].undecided_impostor == found.bands[0].undecided_genuine == 0
    assert isinstance(found, CertifiedThresholds)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"fmr": 0}, ConfigError, "fmr is 0, expected a rate between 0 and 1"),
        ({"fnmr": 1.5}, ConfigError, "fnmr is 1.5, expected a rate"),
        ({"confidence": 95}, ConfigError, "confidence is 95"),
        ({"design": "all"}, ConfigError, "design is 'all', expected one of all-pairs, gallery, list"),
        ({"bands": 2}, ConfigError, "bands of quality need quality_a and quality_b"),
        ({"quality_a": [1, 2, 3]}, ConfigError, "bands of quality need quality_a and quality_b"),
        (
            {"bands": 0, "quality_a": [1, 2, 3], "quality_b": [1, 2, 3]},
            ConfigError,
            "bands is 0, expected a whole number",
        ),
        ({"bands": 2.0, "quality_a": [1, 2, 3], "quality_b": [1, 2, 3]}, ConfigError, "bands is 2.0, expected a whole"),
        ({"bands": 3, "quality_a": [1, 1, 1], "quality_b": [1, 1, 1]}, ConfigError, "the same quality for 3 bands"),
        ({"bands": 2, "quality_a": [1, 1, 1], "quality_b": [1, 1, 1]}, ConfigError, "the same quality for 2 bands"),
        ({"bands": 2, "quality_a": [1, 1, 1], "quality_b": [1, 3, 3]}, ConfigError, "the same quality for 2 bands"),
        ({"bands": [2, 1], "quality_a": [1, 2, 3], "quality_b": [1, 2, 3]}, ConfigError, "ascending"),
        ({"bands": [2], "quality_a": [1, 2, 3], "quality_b": [1, 2, 3], "design": "list"}, ConfigError, "not a list"),
        ({"same": [True, True, True], "b": [0, 0, 1]}, DataError, "none of the pairs is impostor"),
        ({"same": [True]}, DataError, r"same has shape \(1,\)"),
        ({"a": [0, 0, 3]}, DataError, "3 pairs of people are compared, but everybody with everybody makes 6"),
        ({"design": "gallery", "a": [0, 0, 3]}, DataError, "3 pairs of people .* with the whole gallery makes 4"),
        ({"design": "gallery", "b": [1, 0, 0], "a": [0, 1, 1]}, DataError, "all of identities_a are in identities_b"),
        ({"b": [0, 2, 2]}, DataError, "1 pair with a label that contradicts"),
    ],
)
def test_what_cannot_be_used(changed, error, message):
    given = {"a": [0, 0, 1], "b": [1, 2, 2], "same": [False] * 3, "fmr": 0.1} | changed
    with pytest.raises(error, match=message):
        certify_threshold([1, 2, 3], given.pop("same"), given.pop("a"), given.pop("b"), given.pop("fmr"), **given)


def test_embeddings_that_cannot_be_used():
    embeddings = Embeddings(np.eye(3, dtype=np.float32), np.ones(3, np.float32), np.ones(3, np.float32))
    with pytest.raises(DataError, match=r"identities have shape \(2,\), expected \(3,\)"):
        certify_embeddings(embeddings, [0, 1], 0.1)
    with pytest.raises(DataError, match="the 3 images show 1 person; a false match rate"):
        certify_embeddings(embeddings, [0, 0, 0], 0.1)
    embeddings.vectors[0, 0] = np.nan
    with pytest.raises(DataError, match="values that are not finite"):
        certify_embeddings(embeddings, [0, 1, 2], 0.1)


@pytest.mark.parametrize("name", [*POPULATIONS, "tight"])
def test_the_promise_is_kept(name):
    """In each population at most as many of 60 calibrations break it as chance allows of 5 % (99.9 % of the time)."""
    population = tight(100) if name == "tight" else POPULATIONS[name]
    fmr, broken = lowest_fmr(100), 0
    for seed in range(60):
        scores, a, b = draw(population, 100, seed)
        threshold = certify_threshold(scores, a == b, a, b, fmr).threshold
        assert threshold is not None
        broken += population.true_fmr(threshold) > fmr
    assert broken <= 9
    assert (broken > 0) == (name == "tight")
