from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemargin.errors import DataError
from facemargin.evaluation import PairScores

OPTIONAL = ["quality_a_K", "quality_b_K", "identities_a_K", "identities_b_K", "folds_K"]


def pair_scores(count=5, **changes):
    rng = np.random.default_rng(0)
    values = {
        "system": "ours", "dataset": "orl:1-3", "scores_K": rng.normal(size=count), "same_K": rng.random(count) < 0.5,
        "quality_a_K": rng.random(count), "quality_b_K": rng.random(count),
        "identities_a_K": rng.integers(0, 9, count), "identities_b_K": rng.integers(0, 9, count),
        "folds_K": rng.integers(0, 3, count),
    }  # fmt: skip
    return PairScores(**{**values, **changes})


def assert_same(one, other):
    for field in fields(PairScores):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


@pytest.mark.parametrize("missing", [[], OPTIONAL, ["folds_K"], ["quality_a_K", "quality_b_K"]])
def test_scores_read_back_exactly(tmp_path, missing):
    scores = pair_scores(**dict.fromkeys(missing))
    scores.save(tmp_path / "scores.npz")
    assert_same(PairScores.load(tmp_path / "scores.npz"), scores)


def test_names_of_any_kind_and_file_names_without_suffix(tmp_path):
    scores = pair_scores(system='PCA "20" é', dataset="a/b\\c: d")
    path = tmp_path / ".scores.4711.partial"  # as when it is written atomically
    scores.save(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert_same(PairScores.load(path), scores)


def test_no_pairs_are_scores_too(tmp_path):
    pair_scores(0).save(tmp_path / "scores.npz")
    assert PairScores.load(tmp_path / "scores.npz").scores_K.shape == (0,)


@pytest.mark.parametrize("name", ["same_K", *OPTIONAL])
def test_shapes_that_do_not_fit_are_named(name):
    wrong = np.ones(4, dtype=bool if name == "same_K" else int)
    with pytest.raises(DataError, match=rf"{name} has shape \(4,\), expected \(5,\) like scores_K"):
        pair_scores(**{name: wrong})


def test_genuine_must_be_true_or_false():
    # ~ of 0 and 1 as integers is true for both: every pair would count as an impostor.
    with pytest.raises(DataError, match="same_K is int64, expected bool"):
        pair_scores(same_K=np.array([0, 1, 0, 1, 1]))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"names": np.array("{}"), "scores_K": np.zeros(2), "same_K": np.zeros(2, bool)},
        {"names": np.array("not json"), "scores_K": np.zeros(2), "same_K": np.zeros(2, bool)},
        {"names": np.array('{"system": "a", "dataset": "b"}'), "scores_K": np.zeros(2)},
        {"names": np.array('{"system": "a", "dataset": "b"}'), "scores_K": np.zeros(2), "same_K": np.zeros(3, bool)},
        {"names": np.array('{"system": "a", "dataset": "b", "x": 1}'), "scores_K": np.zeros(2), "same_K": np.ones(2)},
        {"names": np.array([{}], dtype=object), "scores_K": np.zeros(2), "same_K": np.zeros(2, bool)},
    ],
)
def test_other_archives_are_named(tmp_path, arrays):
    np.savez(tmp_path / "scores.npz", **arrays)
    with pytest.raises(DataError, match=r"scores\.npz is not a file of pair scores"):
        PairScores.load(tmp_path / "scores.npz")


def test_other_files_are_named(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("hello")
    for name in ("array.npy", "empty.npz", "text.npz", "missing.npz"):
        with pytest.raises(DataError, match=rf"{name} is not a file of pair scores"):
            PairScores.load(tmp_path / name)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), truncate=st.booleans(), flip=st.integers(1, 255))
def test_a_damaged_file_is_named_or_its_arrays_are_whole(tmp_path, place, truncate, flip):
    scores = pair_scores()
    path = tmp_path / "scores.npz"
    scores.save(path)
    content = bytearray(path.read_bytes())
    position = int(place * len(content))
    if truncate:
        content = content[:position]
    else:
        content[position] ^= flip
    path.write_bytes(content)
    try:
        loaded = PairScores.load(path)
    except DataError as error:
        assert "scores.npz" in str(error)
    else:
        # A byte of the archive's directory, such as a date; an optional array may have dropped out of it.
        assert not truncate
        lost = [name for name in OPTIONAL if getattr(loaded, name) is None]
        assert_same(loaded, pair_scores(**dict.fromkeys(lost)))
