import itertools

import numpy as np
import pytest

from facemargin.detection.face import Face, choose_faces
from facemargin.detection.suppression import suppress_overlaps
from facemargin.errors import ConfigError

IMAGE = np.zeros((100, 200, 3), np.uint8)


def face(left, top, side, score=0.9):
    return Face((left, top, left + side, top + side), score, np.zeros((5, 2)))


def test_one_of_several_faces_is_chosen():
    small_central, large, middling = face(90, 40, 20), face(0, 0, 60, 0.5), face(140, 10, 40)
    faces = [small_central, large, middling]
    assert choose_faces(faces, "largest", IMAGE) == [large]
    assert choose_faces(faces, "central", IMAGE) == [small_central]
    assert choose_faces(faces, "all", IMAGE) == [large, middling, small_central]
    for choice in ("largest", "central", "all"):
        assert choose_faces([], choice, IMAGE) == []
    with pytest.raises(ConfigError, match="did you mean 'largest'"):
        choose_faces(faces, "larges", IMAGE)


def loops(boxes, scores, max_overlap):
    """Suppression as it is told: the surest first, pixel areas by hand."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        fine = True
        for other in kept:
            a, b = boxes[index], boxes[other]
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            shared = width * height if width > 0 and height > 0 else 0.0
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            fine &= shared < max_overlap * union
        if fine:
            kept.append(index)
    return kept


def test_suppression_is_that_of_the_loops():
    generator = np.random.default_rng(0)
    total = 0
    for count, overlap in itertools.product((0, 1, 2, 7, 60), (0.1, 0.3, 0.7)):
        corners = generator.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(1, 40, (count, 2))], axis=1)
        scores = generator.uniform(0, 1, count)
        kept = suppress_overlaps(boxes, scores, overlap).tolist()
        assert kept == loops(boxes.tolist(), scores.tolist(), overlap)
        total += count - len(kept)
    assert total > 50
