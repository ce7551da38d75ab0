"""The whole check, with measures whose quality is known."""

import json
import re

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.source import ArrayImages, ImageSubset, WithLabels, labeled_subset
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Bootstrap, check_measures, check_quality, choose_faces
from facemargin.evaluation.check_pictures import STRENGTHS, CheckPictures, choose_stepped
from facemargin.evaluation.checked_quality import QualityCheck, check_from_json
from facemargin.quality.degradation_kinds import KINDS, DegradedByKinds
from facemargin.quality.not_faces import NOT_FACES, not_a_face
from tests.evaluation.test_evaluation_discard_gain import reference_relative

FEW = Bootstrap(resamples=100)


@pytest.fixture(scope="module")
def faces():
    embedded = fm.open_images("orl:1-12")
    images = [embedded.read(index)[::3, ::3].copy() for index in range(120)]
    return WithLabels(ArrayImages(images, "small faces"), embedded.labels, embedded.identity_names)


def strength_of(text: str) -> tuple[str, float]:
    """Of the description of a picture: "small faces: image 3 (blur 0.25)"."""
    found = re.fullmatch(r".*\((\w+) ([\d.]+)\)", text)
    return (found[1], float(found[2])) if found else ("", 0.0 if "image" in text else 1.0)


@pytest.fixture(scope="module")
def embed(faces):
    """A recogniser that errs the more, the stronger a face is degraded. Its own quality is of no use."""

    def embed(images):
        vectors = np.random.default_rng(0).normal(size=(len(images), 24)).astype(np.float32)
        for index, vector in enumerate(vectors):
            number = re.search(r"image (\d+)", images.describe(index))
            strength = strength_of(images.describe(index))[1]
            vector *= 0.2 + 0.4 * strength
            if number:
                vector[faces.labels[int(number[1])]] += 1
            vector /= np.linalg.norm(vector)
        return fm.evaluation.Embeddings(vectors, vectors.max(1), vectors.min(1))

    return embed


def knows(blind_to=(), likes=(), seed=0):
    """A measure that reads strengths out of the pictures' names, except those of some kinds, which get any quality."""

    def measure(pictures):
        random_P = np.random.default_rng(seed).random(len(pictures))
        names = [pictures.describe(index) for index in range(len(pictures))]
        of_P = [strength_of(name) for name in names]
        quality_P = np.array(
            [
                10.0 if any(liked in name for liked in likes) else random if kind in blind_to else -strength
                for name, (kind, strength), random in zip(names, of_P, random_P, strict=True)
            ]
        )
        return quality_P + 1e-3 * random_P

    return measure


def by_chance(pictures):
    return np.random.default_rng(1).random(len(pictures))


def test_verdicts_of_measures_that_know_more_or_less(embed, faces):
    measures = {
        "all": knows(),
        "not noise": knows(blind_to=["noise"]),
        "not noise, and flat colors are best": knows(blind_to=["noise"], likes=["flat color"]),
        "little": knows(blind_to=list(KINDS)[:4]),
        "nothing": by_chance,
        "the opposite": lambda pictures: -knows()(pictures),
    }
    found = check_measures(embed, faces, measures, stepped=24, bootstrap=FEW)
    assert {name: check.words for name, check in found.items()} == {
        "all": "helps",
        "not noise": "helps except for noise",
        "not noise, and flat colors are best": "helps except for noise and pictures without a face (flat color)",
        "little": "not shown to help",
        "nothing": "not shown to help",
        "the opposite": "not shown to help",
    }
    assert [check.helps for check in found.values()] == [True, True, True, False, False, False]
    whole = found["all"]
    assert (whole.images, whole.people, whole.stepped, whole.resampled) == (120, 12, 24, "people")
    assert [kind.kind for kind in whole.kinds] == list(KINDS)
    assert all(kind.correlation == pytest.approx(-1) for kind in whole.kinds)
    assert [item.above for item in whole.not_faces] == [0] * len(NOT_FACES)
    assert [item.above for item in found["not noise, and flat colors are best"].not_faces] == [0, 0, 50, 0, 0]
    assert 0 < 2 * whole.discards[1].missed < whole.discards[0].missed
    shares = [item.above / item.count for item in found["nothing"].not_faces]
    assert 0.8 < np.mean(shares) < 0.97
    assert found["the opposite"].discards[0].difference > 0 > whole.discards[0].difference


def test_figures_of_a_check_by_loops(embed, faces):
    (check,) = check_measures(embed, faces, {"x": by_chance}, stepped=24, bootstrap=FEW).values()
    first, second = np.triu_indices(120, 1)
    same = faces.labels[first] == faces.labels[second]
    pictures = CheckPictures(faces, choose_stepped(faces, 24), STRENGTHS, 50, 0)
    clean, mixed = np.split(embed(ImageSubset(pictures, range(240))).vectors, 2)
    impostor = np.sort([float(clean[i] @ clean[j]) for i, j in zip(first[~same], second[~same], strict=True)])
    assert (check.fmr, check.impostors) == (1e-2, 6600)  # 6.6 may be accepted at 1e-3, which is not enough
    rejected = impostor[-67]  # 66 may be accepted
    quality = by_chance(pictures)
    own = {"clean": quality[:120], "degraded": quality[120:240]}
    assert [result.faces for result in check.discards] == ["degraded", "clean"]
    for result, vectors in zip(check.discards, (mixed, clean), strict=True):
        scores = [float(vectors[i] @ vectors[j]) for i, j in zip(first[same], second[same], strict=True)]
        missed = np.array([score <= rejected for score in scores])
        assert (result.genuine, result.missed) == (540, missed.sum())
        lower = [
            min(own[result.faces][i], own[result.faces][j]) for i, j in zip(first[same], second[same], strict=True)
        ]
        assert result.relative == pytest.approx(reference_relative(missed.tolist(), lower, 0.3))
        assert result.difference == result.relative - 1


def test_its_own_quality_is_that_of_any_measure(embed, faces):
    own = check_quality(embed, faces, "sum", stepped=10, bootstrap=FEW)
    (given,) = check_measures(
        embed, faces, {"sum": lambda pictures: embed(pictures).quality}, stepped=10, bootstrap=FEW
    ).values()
    assert own == given and own == check_quality(embed, faces, "sum", stepped=10, bootstrap=FEW)


def test_json_holds_all_of_it(embed, faces):
    for measure in (knows(blind_to=["blur"]), by_chance):
        (check,) = check_measures(embed, faces, {"x": measure}, stepped=10, bootstrap=FEW).values()
        assert check_from_json(json.loads(check.to_json())) == check


def test_without_people_the_errors_are_not_known(embed, faces):
    unlabeled = ImageSubset(faces, np.arange(0, 120, 3))
    (check,) = check_measures(embed, unlabeled, {"x": knows()}, stepped=20, bootstrap=FEW).values()
    assert (check.people, check.resampled, check.discards, check.fmr) == (None, "faces", (), None)
    assert check.verdict == "not shown to help" and "nobody says who is on which face" in check.reasons[0]
    assert all(kind.correlation == pytest.approx(-1) for kind in check.kinds)
    one_each = labeled_subset(faces, np.arange(0, 120, 10))
    (check,) = check_measures(embed, one_each, {"x": knows()}, stepped=5, bootstrap=FEW).values()
    assert check.people == 12 and "0 genuine and 66 impostor pairs" in check.reasons[0]


def test_the_threshold_of_a_weak_model_is_lower(faces, embed):
    def weak(images):
        found = embed(images)
        blurred = found.vectors + np.random.default_rng(1).normal(size=found.vectors.shape) * 0.3
        return fm.evaluation.Embeddings(blurred.astype(np.float32), found.norms, found.quality)

    strong, weaker = (check_quality(model, faces, stepped=5, bootstrap=FEW) for model in (embed, weak))
    assert (strong.fmr, weaker.fmr) == (1e-2, 1e-1)
    assert strong.discards[1].missed <= 270


def test_faces_that_are_never_missed_show_nothing(faces):
    def embed(images):
        numbers = [int(re.search(r"image (\d+)", images.describe(index))[1]) for index in range(len(images))]
        vectors = np.eye(12, dtype=np.float32)[faces.labels[numbers]]
        return fm.evaluation.Embeddings(vectors, vectors.sum(1), vectors.sum(1))

    (check,) = check_measures(embed, faces, {"x": knows()}, stepped=5, bootstrap=FEW).values()
    assert check.verdict == "not shown to help"
    assert "none of 540 genuine pairs is missed" in check.reasons[0] and check.discards[0].interval is None


def nan_at(row):
    def measure(pictures):
        quality = by_chance(pictures)
        quality[row] = np.nan
        return quality

    return measure


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (nan_at(3), r"the quality by x is not finite for 1 picture of .*small faces: image 3"),
        (nan_at([-1, -2]), "not finite for 2 pictures of .*shuffled face 48"),
        (lambda pictures: np.ones(len(pictures)), "is 1 for all .* pictures, so it measures nothing"),
        (lambda pictures: np.ones(7), "returned 7 values for .* pictures; expected one per picture"),
        (lambda pictures: np.ones((len(pictures), 1)), r"shape \(.*, 1\), expected one number per picture"),
    ],
)
def test_qualities_that_say_nothing_are_refused(embed, faces, measure, message):
    with pytest.raises(DataError, match=message):
        check_measures(embed, faces, {"x": measure}, stepped=5, bootstrap=FEW)


def test_few_people_and_few_faces_are_refused(embed, faces):
    few = labeled_subset(faces, np.arange(40))
    with pytest.raises(DataError, match="4 people have several images; expected at least 5"):
        check_quality(embed, few, bootstrap=FEW)
    with pytest.raises(DataError, match="has 1 image; checking quality needs at least 2"):
        check_quality(embed, ImageSubset(faces, [0]), bootstrap=FEW)
    with pytest.raises(ConfigError, match="at least three that ascend from 0 to 1"):
        check_quality(embed, faces, strengths=[0.5, 1])
    with pytest.raises(ConfigError, match="degrade step by step is 1"):
        check_quality(embed, faces, stepped=1)


def test_few_people_are_said(embed, faces):
    assert any(
        "rest on 12 people" in reason for reason in check_quality(embed, faces, stepped=5, bootstrap=FEW).reasons
    )


def test_pictures_are_what_their_places_say(faces):
    stepped = choose_stepped(faces, 3)
    pictures = CheckPictures(faces, stepped, (0, 0.4, 1), 2, seed=5)
    assert len(pictures) == 240 + 3 * len(KINDS) * 2 + 2 * len(NOT_FACES)
    np.testing.assert_array_equal(pictures.read(7), faces.read(7))
    kind, strength = strength_of(pictures.describe(127))
    assert kind in KINDS and 0 <= strength <= 1
    np.testing.assert_allclose(pictures.read(127), DegradedByKinds(faces, [kind], pictures._drawn[7][1], 5).read(7))
    qualities = np.arange(len(pictures), dtype=float)
    steps = pictures.steps(qualities)
    assert steps.shape == (len(KINDS), 3, 3)
    for number, kind in enumerate(KINDS):
        for row, face in enumerate(stepped):
            assert steps[number, row, 0] == face
            for column, strength in ((1, 0.4), (2, 1)):
                place = int(steps[number, row, column])
                assert pictures.describe(place) == f"{faces.describe(face)} ({kind} {strength:g})"
                expected = DegradedByKinds(faces, [kind], strength, 5).read(int(face))
                np.testing.assert_array_equal(pictures.read(place), expected)
    for number, kind in enumerate(NOT_FACES):
        places = range(len(pictures))[pictures.of_kind(number)]
        assert [pictures.describe(place) for place in places] == [f"{kind} 0", f"{kind} 1"]
        np.testing.assert_array_equal(pictures.read(places[1]), not_a_face(kind, faces.read(1), 5, 1))
    drawn = [strength_of(pictures.describe(index)) for index in range(120, 240)]
    assert {kind for kind, _ in drawn} == set(KINDS)
    assert 0.4 < np.mean([strength for _, strength in drawn]) < 0.6


def test_faces_are_chosen_of_many_people():
    labels = np.repeat(np.arange(6), [9, 1, 3, 2, 1, 4])
    faces = WithLabels(ArrayImages([np.zeros((2, 2, 3), np.uint8)] * 20), labels, list("abcdef"))
    counts = {most: np.bincount(labels[choose_faces(faces, most)], minlength=6).tolist() for most in (4, 8, 11, 16, 20)}
    assert sorted(counts[4]) == [0, 0, 0, 0, 2, 2] and counts[8] == [2, 0, 2, 2, 0, 2]
    assert counts[11] == [3, 0, 3, 2, 0, 3] and counts[16] == [7, 0, 3, 2, 0, 4] and counts[20] == [9, 1, 3, 2, 1, 4]
    assert np.bincount(labels[choose_stepped(faces, 6)]).tolist() == [1] * 6
    np.testing.assert_array_equal(choose_faces(faces, 8), choose_faces(faces, 8))
    assert choose_faces(ImageSubset(faces, range(20)), 3).tolist() == [0, 10, 19]
    with pytest.raises(ConfigError, match="number of faces is 1, expected at least 2"):
        choose_faces(faces, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "helps a lot"),
        ("exceptions", ["noise"]),
        ("images", -1),
        ("kinds", [{"kind": "blur", "correlation": float("nan"), "interval": None}]),
        ("kinds", [{"kind": "blur", "correlation": 0, "interval": [0, "1"]}]),
        ("kinds", [{"kind": 3, "correlation": 0, "interval": None}]),
        ("reasons", [1]),
        ("more", 1),
        ("fmr", "1e-3"),
    ],
)
def test_other_content_is_no_check(field, value):
    check = QualityCheck("norm", "f", 2, 1, 2, (0.0, 1.0), "people", (), (), (), None, 0, "helps", (), ("r",))
    content = json.loads(check.to_json())
    assert check_from_json(content) == check
    with pytest.raises((ValueError, TypeError)):
        check_from_json(content | {field: value})
