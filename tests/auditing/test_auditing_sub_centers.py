"""The dominant sub-centres against loops, and what a head with sub-centres learns of wrong labels."""

import math

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.auditing.sub_centers import dominant_sub_centers
from facemargin.errors import DataError

N, C, K, D = 60, 5, 3, 4


def drawn():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, C - 1, N)  # no image of the last class
    vectors = rng.normal(size=(N, D))
    return rng.normal(size=(C, K, D)) * 4, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def test_the_dominant_sub_centers_are_the_loops(monkeypatch):
    monkeypatch.setattr("facemargin.auditing.sub_centers._BLOCK", 7)
    centers, vectors, labels = drawn()
    found = dominant_sub_centers(centers, vectors.astype(np.float32), labels)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    counts = [[0] * K for _ in range(C)]
    for vector, label in zip(vectors, labels.tolist(), strict=True):
        cosines = [cosine(center, vector) for center in centers[label]]
        counts[label][cosines.index(max(cosines))] += 1
    assert found.images_CK.tolist() == counts
    dominant = [row.index(max(row)) for row in counts]
    assert found.number_C.tolist() == [*dominant[:-1], -1]
    angles = [
        math.degrees(math.acos(cosine(centers[label][dominant[label]], vector)))
        for vector, label in zip(vectors, labels.tolist(), strict=True)
    ]
    assert found.angle_N == pytest.approx(angles, abs=1e-4)
    assert found.dropped.tolist() == [angle >= 75 for angle in angles] and 0 < found.dropped.sum() < N
    assert np.linalg.norm(found.center_CD, axis=1) == pytest.approx(np.ones(C))


def test_what_is_not_finite_is_dropped():
    centers, vectors, labels = drawn()
    vectors[4, 1] = math.nan
    found = dominant_sub_centers(centers, vectors, labels)
    assert np.isnan(found.angle_N).nonzero()[0].tolist() == [4] and found.dropped[4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, x, y: (w[:, 0], x, y), r"shape \(5, 4\), expected \(C, K, D\): train with head\.sub_centers"),
        (lambda w, x, y: (w, x[:, :3], y), r"expected \(N, 4\) and N labels"),
        (lambda w, x, y: (w, x, y[:1]), "1 label do not fit"),
        (lambda w, x, y: (w, x, y + 2), "labels run from 2 to 5, expected 0 to 4"),
        (lambda w, x, y: (w, x, y - 1), "labels run from -1"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    with pytest.raises(DataError, match=message):
        dominant_sub_centers(*change(*drawn()))


def test_wrong_labels_gather_at_another_sub_center():
    """Free features on a sphere with a tenth of the labels wrong: the angle tells nearly all of them."""
    rng = np.random.default_rng(0)
    people, size, number = 8, 16, 400
    means, true = rng.normal(size=(people, size)), rng.integers(0, people, number)
    vectors = torch.tensor(means[true] + 0.5 * rng.normal(size=(number, size)))
    wrong = rng.random(number) < 0.1
    labels = torch.tensor(np.where(wrong, (true + 3) % people, true))
    head = fm.create_head("arcface", people, size, sub_centers=3, scale=16.0, margin=0.3).double()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        head(vectors, labels).loss.backward()
        optimizer.step()
    found = dominant_sub_centers(head.weight.detach().numpy(), vectors.numpy(), labels.numpy())
    order = np.argsort(-found.angle_N)[: wrong.sum()]
    assert wrong[order].mean() > 0.9
