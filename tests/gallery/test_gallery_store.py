"""What every store of a gallery does: the same tests for all of them."""

import math

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.gallery.exact_search import exact_score, search_rows
from facemargin.quality.image_statistics import Reason
from tests.gallery.galleries import (
    enrolled,
    make_milvus_store,
    make_store,
    new_images,
    template_by_loops,
    unit_vectors,
)


def make_any_store(kind, folder, **more):
    if kind == "milvus":
        pytest.importorskip("milvus_lite", reason='pip install "facemargin[milvus]"')
    return {"folder": make_store, "milvus": make_milvus_store}[kind](folder, **more)


@pytest.fixture(params=["folder", "milvus"])
def store(request, tmp_path):
    made = make_any_store(request.param, tmp_path / "gallery")
    yield made
    made.close()


def by_loops(templates: dict[int, np.ndarray], probe: np.ndarray, candidates: int) -> list[tuple[int, float]]:
    """Compares one by one, as the definition says."""
    scores = [
        (-float(np.dot(vector.astype(np.float64), probe.astype(np.float64))), number)
        for number, vector in templates.items()
    ]
    return [(number, -score) for score, number in sorted(scores)[:candidates]]


def test_what_is_enrolled_is_there(store):
    images = new_images(5)
    images[2] = new_images(3, 0, consent="signed", reasons=(Reason("blurred", "blurred: …"),))[2]
    store.add({"ann": images[:3], "bob": images[3:]})
    ann, bob = store.people()
    assert (ann.name, ann.images, ann.in_review, bob.name, bob.images) == ("ann", 3, 0, "bob", 2)
    assert ann.quality == pytest.approx(np.mean([image.quality for image in images[:3]]))
    found = list(store.images("ann"))
    assert [(one.person, one.source, one.norm, one.quality, one.digest) for one in found] == [
        ("ann", image.source, image.norm, image.quality, image.digest) for image in images[:3]
    ]
    assert (found[2].consent, found[2].reasons) == ("signed", (Reason("blurred", "blurred: …"),))
    assert np.array_equal(store.vectors([one.number for one in found[::-1]]), [i.vector for i in images[2::-1]])
    assert store.counts() == (2, 5, 0) and store.check() == []
    assert store.person_numbers(["bob", "eve"])[1] is None
    assert store.person_names(store.person_numbers(["bob", "ann"])) == ["bob", "ann"]


@pytest.mark.parametrize("kind", ["folder", "milvus"])
@pytest.mark.parametrize("by_quality", [True, False])
def test_templates_are_pooled(tmp_path, by_quality, kind):
    with_quality = make_any_store(kind, tmp_path / "gallery", quality_helps=by_quality)
    images = new_images(4)
    with_quality.add({"ann": images[:2], "bob": images[3:]})
    with_quality.add({"ann": images[2:3]})
    probe = unit_vectors(1, seed=5)
    found = with_quality.search(probe, 3)
    assert found.people_PK[0, 2] == -1 and math.isnan(found.scores_PK[0, 2])
    scores = dict(zip(with_quality.person_names(found.people_PK[0, :2].tolist()), found.scores_PK[0, :2], strict=True))
    assert scores["ann"] == pytest.approx(template_by_loops(images[:3], by_quality) @ probe[0], abs=1e-6)
    assert scores["bob"] == float(np.dot(images[3].vector.astype(np.float64), probe[0].astype(np.float64)))
    with_quality.close()


def test_search_is_brute_force_to_the_bit(store):
    everybody = new_images(300)
    everybody[7] = everybody[150]  # equal scores
    store.add({f"p{place}": [image] for place, image in enumerate(everybody)})
    store.remove_people(["p3", "p299"])
    names = [person.name for person in store.people()]
    numbers = store.person_numbers(names)
    templates = {number: everybody[int(name[1:])].vector for number, name in zip(numbers, names, strict=True)}
    probes = np.concatenate([unit_vectors(70, seed=3), [everybody[150].vector, everybody[3].vector]])
    found = store.search(probes, 5)
    for place, probe in enumerate(probes):
        expected = by_loops(templates, probe, 5)
        assert list(zip(found.people_PK[place].tolist(), found.scores_PK[place].tolist(), strict=True)) == expected
    assert store.person_names(found.people_PK[70, :2].tolist()) == ["p7", "p150"]


@pytest.mark.parametrize("close", [0.0, 1e-7])
def test_rows_too_alike_for_float32_are_told_apart(close, monkeypatch):
    """Thousands of rows whose products in float32 are hardly in order; several blocks of rows and of probes."""
    monkeypatch.setattr("facemargin.gallery.exact_search._PRODUCTS", 1 << 12)
    generator = np.random.default_rng(1)
    center = unit_vectors(1, size=64)[0].astype(np.float64)
    rows = center + close * generator.normal(size=(20_000, 64))
    rows[::2000] = generator.normal(size=(10, 64))
    rows = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    numbers = generator.permutation(20_000)
    if not close:
        rows = rows[:2000]
        numbers = numbers[:2000]
    numbers[5] = -1
    probe = rows[17:18]
    found, scores = search_rows(rows, numbers, probe, 4)
    alive = np.flatnonzero(numbers >= 0)
    every = np.array([exact_score(rows[row], probe[0]) for row in alive])
    order = np.lexsort((numbers[alive], -every))[:4]
    assert found[0].tolist() == numbers[alive][order].tolist() and scores[0].tolist() == every[order].tolist()


def test_removing(store):
    images = new_images(6)
    store.add({"ann": images[:3], "bob": images[3:5], "cy": images[5:]})
    before = store.state()
    assert store.remove_people(["bob"]) == 2 and store.counts() == (2, 4, 0)
    ann = [image.number for image in store.images("ann")]
    assert store.remove_images(ann[:1]) == 1
    template = template_by_loops(images[1:3])
    found = store.search(template[None].astype(np.float32), 2)
    assert store.person_names(found.people_PK[0].tolist())[0] == "ann" and found.scores_PK[0, 0] == pytest.approx(1)
    assert store.remove_images(ann[1:]) == 2
    assert [person.name for person in store.people()] == ["cy"] and store.check() == []
    assert store.state() != before
    store.add({"bob": images[3:5]})
    assert store.counts() == (2, 3, 0) and store.person_numbers(["bob"]) != [2]  # numbers are not used twice


def test_what_is_not_there_is_not_removed(store):
    store.add({"ann": new_images(2)})
    before = enrolled(store)
    for remove, given, says in (
        (store.remove_people, ["ann", "eve"], "'eve'"),
        (store.remove_images, [1, 9], "no image 9"),
        (store.accept, [9], "no image 9"),
    ):
        with pytest.raises(DataError, match=says):
            remove(given)
    assert enrolled(store) == before and store.check() == []
    with pytest.raises(DataError, match="'eve'"):
        list(store.images("eve"))


def test_images_in_review_do_not_count(store):
    images = new_images(3, in_review=True)
    store.add({"ann": images[:2], "bob": new_images(1, seed=9)})
    assert store.counts() == (1, 1, 2)
    found = store.search(images[0].vector[None], 2)
    assert store.person_names(found.people_PK[0, :1].tolist()) == ["bob"] and found.people_PK[0, 1] == -1
    before = store.state()
    first, second = store.images("ann")
    store.accept([second.number])
    assert store.state() != before and store.counts() == (2, 2, 1)
    found = store.search(images[1].vector[None], 1)
    assert found.scores_PK[0, 0] == pytest.approx(1) and store.check() == []
    ann, _ = store.people()
    assert (ann.images, ann.in_review) == (1, 1)
    store.remove_images([first.number])
    assert store.counts() == (2, 2, 0) and store.check() == []


def test_images_in_review_are_read_from_a_number_on(store):
    store.add({"ann": new_images(3, in_review=True) + new_images(2, 1), "bob": new_images(2, 2, in_review=True)})
    numbers = [image.number for image in store.images(in_review=True)]
    assert len(numbers) == 5 and numbers == sorted(numbers)
    assert [image.number for image in store.images(in_review=True, after=numbers[1])] == numbers[2:]
    assert [image.number for image in store.images("ann", in_review=True, after=numbers[0])] == numbers[1:3]
    everything = [image.number for image in store.images()]
    assert [image.number for image in store.images(after=everything[2])] == everything[3:]
    assert list(store.images(in_review=True, after=numbers[-1])) == []


def test_moving_images(store):
    images = new_images(6)
    images[4] = new_images(5, in_review=True)[4]
    store.add({"ann": images[:3], "bob": images[3:5], "cy": images[5:]})
    ann, bob, cy = ([image.number for image in store.images(name)] for name in ("ann", "bob", "cy"))
    before = store.state()
    store.move_images([ann[1], *cy], "bob")  # cy is nobody any more
    assert [(one.name, one.images, one.in_review) for one in store.people()] == [("ann", 2, 0), ("bob", 3, 1)]
    assert [image.number for image in store.images("bob")] == [ann[1], *bob, *cy] and store.state() != before
    store.move_images([bob[0], ann[1]], "dan")
    assert [one.name for one in store.people()] == ["ann", "bob", "dan"] and store.check() == []
    for name, own in {"ann": [0, 2], "bob": [5], "dan": [1, 3]}.items():
        template = template_by_loops([images[place] for place in own]).astype(np.float32)
        found = store.search(template[None], 1)
        assert store.person_names(found.people_PK[0].tolist()) == [name]
        assert found.scores_PK[0, 0] == pytest.approx(1, abs=1e-6)
    kept = enrolled(store)
    store.move_images([ann[0], *bob], "bob")  # one of them is already
    store.move_images([ann[0]], "ann")
    store.move_images([bob[0]], "dan")
    assert enrolled(store) == kept and store.check() == []
    with pytest.raises(DataError, match="no image 99"):
        store.move_images([ann[0], 99], "dan")
    assert enrolled(store) == kept


def test_an_empty_gallery(store):
    found = store.search(unit_vectors(2), 3)
    assert (found.people_PK == -1).all() and np.isnan(found.scores_PK).all()
    assert list(store.people()) == list(store.images()) == [] and store.counts() == (0, 0, 0) and store.check() == []


def test_names_of_any_letters(store):
    names = ["O'Neil; DROP TABLE people", "Žofie 漢字 🙂", "a\udcffb", "x" * 500]
    store.add({name: new_images(1, seed) for seed, name in enumerate(names)})
    shown = [person.name for person in store.people()]
    assert shown[:2] == names[:2] and shown[2] == "a\\xffb"
    assert len(list(store.images(names[2]))) == 1 and store.remove_people(names) == 4
