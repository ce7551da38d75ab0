"""Faces linked to tracks by where they are and whom they show, against cases that can be told by hand."""

from dataclasses import replace

import numpy as np
import pytest

from facemargin.detection.face import Face
from facemargin.features.tracks import FaceLinker, Sighting, overlap
from facemargin.quality.image_statistics import Reason

ANN, BOB = np.eye(2, 8, dtype=np.float32)


def sighting(frame, x, vector=ANN, quality=10.0, side=40.0, y=100.0):
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    face = Face(box, 0.9, np.zeros((5, 2)))
    return Sighting(frame, frame / 5, face, np.full((4, 4, 3), frame, np.uint8), vector, quality, quality)


def link(frames, best_faces=10, min_cosine=0.3, most_seconds=2.0):
    linker = FaceLinker(best_faces, min_cosine, most_seconds)
    for frame in frames:
        linker.add(frame)
    return linker.finish()


def mixed(share):
    """A unit vector between the two, whose cosine with Ann's is `share`."""
    return (share * ANN + np.sqrt(1 - share**2) * BOB).astype(np.float32)


def test_a_face_that_moves_is_one_track():
    (track,) = link([[sighting(frame, 50 + 20 * frame)] for frame in range(8)])
    assert (track.frames, track.used, track.first_second, track.last_second) == (8, 8, 0.0, 7 / 5)


def test_two_who_cross_keep_their_tracks():
    frames = [[sighting(n, 20 + 20 * n, ANN), sighting(n, 180 - 20 * n, BOB)] for n in range(9)]
    first, second = link([sorted(frame, key=lambda one: one.face.box) for frame in frames])
    assert (first.frames, second.frames) == (9, 9)
    np.testing.assert_allclose(first.embedding.vectors[0], ANN, atol=1e-6)
    np.testing.assert_allclose(second.embedding.vectors[0], BOB, atol=1e-6)


def test_another_person_in_the_same_place_is_another_track():
    frames = [[sighting(frame, 50, ANN if frame < 4 else BOB)] for frame in range(8)]
    assert [track.frames for track in link(frames)] == [4, 4]
    assert len(link(frames, min_cosine=-1.0)) == 1  # the check can fail


@pytest.mark.parametrize(("gap", "tracks"), [(9, 1), (11, 2)])
def test_who_comes_back_after_two_seconds_begins_another_track(gap, tracks):
    frames = [[sighting(frame, 50)] for frame in range(3)] + [[sighting(2 + gap + n, 50)] for n in range(3)]
    assert len(link(frames)) == tracks


@pytest.mark.parametrize(("x", "side", "tracks"), [(50 + 59, 40, 1), (50 + 61, 40, 2), (50, 79, 1), (50, 81, 2)])
def test_a_face_moves_and_grows_only_so_fast(x, side, tracks):
    """In a fifth of a second by 1.5 of its sides (of the longer one), and to twice its size."""
    assert len(link([[sighting(0, 50)], [sighting(1, x, side=side)]])) == tracks


def test_a_face_changes_step_by_step():
    """Alike to the last face is enough, even if the mean is of another look; so is alike to the mean."""
    shares = [1.0, 1.0, 1.0, 0.8, 0.5, 0.2, -0.1]
    assert len(link([[sighting(n, 50, mixed(share))] for n, share in enumerate(shares)])) == 1
    assert len(link([[sighting(n, 50, mixed(share))] for n, share in enumerate([1.0, 1.0, 0.5, -0.2, 0.9])])) == 1


def test_the_best_faces_are_pooled_weighted_by_quality():
    qualities = [3.0, 8.0, 5.0, 1.0, 8.0]
    vectors = [mixed(share) for share in (0.9, 0.95, 1.0, 0.5, 0.7)]
    frames = [[sighting(n, 50, vectors[n], qualities[n])] for n in range(5)]
    (track,) = link(frames, best_faces=3)
    expected = sum(qualities[n] * vectors[n].astype(np.float64) for n in (1, 4, 2))
    np.testing.assert_allclose(track.embedding.vectors[0], expected / np.linalg.norm(expected), atol=1e-6)
    assert track.embedding.quality[0] == pytest.approx((8 * 8 + 8 * 8 + 5 * 5) / 21)
    assert (track.frames, track.used, track.best.frame) == (5, 3, 1)  # the earlier of two that are as good
    assert track.best.crop[0, 0, 0] == 1


def test_one_crop_of_a_track_is_kept():
    linker = FaceLinker(10, 0.3, 2.0)
    for frame in range(30):
        linker.add([sighting(frame, 50, quality=float(frame % 7))])
    (track,) = linker._open
    assert len(track._best) == 10 and sum(one.crop.size > 0 for one in track._best) == 1


def test_tracks_are_in_order_of_their_beginning_and_from_left_to_right():
    frames = [[sighting(0, 50), sighting(0, 200, BOB)], [sighting(1, 50), sighting(1, 500)], [sighting(2, 200, BOB)]]
    assert [track.best.face.box[0] for track in link(frames)] == [30, 180, 480]
    assert link([]) == link([[], []]) == []


def test_overlap_is_intersection_over_union():
    one, other = sighting(0, 50).face, sighting(0, 70).face
    assert overlap(one, one) == 1 and overlap(one, sighting(0, 500).face) == 0
    assert overlap(one, other) == pytest.approx(20 * 40 / (2 * 1600 - 800))


def test_faces_with_reasons_against_them_count_only_where_there_are_no_others():
    def poor(number):
        return replace(sighting(number, 50, mixed(0.9), quality=20.0 + number), reasons=(Reason("too_small", "small"),))

    frames = [[poor(number) if number % 3 else sighting(number, 50, quality=5.0 + number)] for number in range(9)]
    linker = FaceLinker(4, 0.3, 2.0, crops=2)
    for frame in frames:
        linker.add(frame)
    (track,) = linker.finish()
    assert [face.frame for face in track.faces] == [6, 3, 0] and (track.frames, track.used) == (9, 3)
    assert [face.crop.size > 0 for face in track.faces] == [True, True, False]
    np.testing.assert_allclose(track.embedding.vectors[0], ANN, atol=1e-6)
    (track,) = link([[poor(number)] for number in range(3)])
    assert [face.frame for face in track.faces] == [2, 1, 0] and track.best.reasons[0].code == "too_small"
