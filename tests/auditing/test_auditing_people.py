"""One person under two labels: what is likely, and what is not."""

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.auditing.people import split_pairs
from facemargin.auditing.space import LabeledSpace
from facemargin.auditing.tail import tail_posterior
from tests.auditing.made_people import labeled, network, picture


def space_of(people, labels, size=48, seed=0):
    """Images of `people`, under `labels`."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(max(people) + 1, size))[people] + 0.9 * generator.normal(size=(len(people), size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    norms, labels = np.ones(len(people), np.float32), np.asarray(labels)
    return LabeledSpace(vectors.astype(np.float32), norms, labels, int(labels.max()) + 1, torch.device("cpu"))


def likely(space):
    """{pair of labels: probability} of those from .5 on."""
    found = split_pairs(space)
    pairs = zip(found.pairs_P2.tolist(), found.probability_P.tolist(), strict=True)
    return {tuple(pair): probability for pair, probability in pairs if probability >= 0.5}


@pytest.mark.parametrize("cut", [0, 1, 6, 30])
def test_people_under_two_labels_are_found_whatever_share_they_are(cut):
    people = np.repeat(np.arange(30), 12)
    labels = np.where((people < cut) & (np.arange(len(people)) % 2 > 0), people + 30, people)
    labels = np.unique(labels, return_inverse=True)[1]
    assert set(likely(space_of(people, labels))) == {(person, 30 + person) for person in range(cut)}


def test_labels_that_mix_many_people_are_not_one_person():
    people = np.repeat(np.arange(30), 12)
    mixed = np.arange(120) + 30  # an image each
    space = space_of(np.concatenate([people, mixed]), np.concatenate([people, 30 + np.arange(120) % 8]))
    found = split_pairs(space)
    of_mixed = (found.pairs_P2 >= 30).all(1)
    assert of_mixed.any() and (found.cross_P - found.within_P)[of_mixed].max() > -0.05  # as alike as in themselves
    assert found.probability_P[of_mixed].max() < 0.02


def test_a_few_errors_far_from_all_others_are_sure_and_the_order_is_strict():
    generator = np.random.default_rng(0)
    ordinary, planted = generator.normal(-0.4, 0.06, 600), generator.normal(0, 0.012, 150)
    errors = np.array([-0.024, -0.02, -0.004])
    found = tail_posterior(np.concatenate([ordinary, errors]), planted)
    assert found[-3:].min() > 0.8 and found[:-3].max() < 0.02
    order = np.argsort(np.concatenate([ordinary, errors]))
    above = found[order][len(order) // 2 + 1 :]
    assert (np.diff(above) > 0).all()
    assert tail_posterior(ordinary, planted).max() < 0.05
    # where others reach that far, too, nobody knows
    near = tail_posterior(np.concatenate([ordinary, generator.uniform(-0.3, -0.03, 40), errors]), planted)
    assert near[-3] < found[-3]


@pytest.mark.parametrize(("suspicions", "planted"), [([], [0.1]), ([0.1], []), ([0.1, 0.1], [0.1]), ([0.1], [0.2])])
def test_nothing_is_said_of_what_does_not_differ(suspicions, planted):
    assert (tail_posterior(np.array(suspicions, np.float64), np.array(planted, np.float64)) == 0).all()


@pytest.mark.parametrize(
    ("each", "words"),
    [
        ([3, 3, 3, 2], "split: no label was judged, as none has 4 or more images"),
        ([5, 5, 1, 1], "split: 2 labels with a single image were not judged"),
        ([5, 5, 5, 4], None),
    ],
)
def test_what_was_not_judged_is_said(each, words):
    labels = np.repeat(np.arange(len(each)), each)
    audit = fm.audit(model=network(), data=labeled([picture(int(one), n) for n, one in enumerate(labels)], labels))
    said = [sentence for sentence in audit.left_out if sentence.startswith("split")]
    assert [sentence[: len(words or "")] for sentence in said] == ([words] if words else [])
