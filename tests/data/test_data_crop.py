import cv2
import numpy as np
import pytest

from facemargin.data.alignment import TEMPLATE_52, align_face
from facemargin.data.crop import crop_face, warp_square
from facemargin.errors import DataError
from tests.photographs import canvas


def placed(scale, degrees, center):
    """Landmarks of a face in a photograph: the template scaled, turned, and put around `center`."""
    radians = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return (TEMPLATE_52 - 56) @ turn.T + np.array(center)


@pytest.mark.parametrize("degrees", [0, 33, -150])
@pytest.mark.parametrize("scale", [0.2, 0.9, 1.9])
@pytest.mark.parametrize("center", [(150, 120), (3, 5), (299, 100), (-400, 100)])
def test_where_nothing_shrinks_it_is_the_plain_alignment(scale, degrees, center):
    photograph = canvas(240, 300, seed=1)
    landmarks_52 = placed(scale, degrees, center)
    ours, plain = (f(photograph, landmarks_52, 112).astype(int) for f in (crop_face, align_face))
    # OpenCV rounds places to 1/32 of a pixel, from another origin.
    assert np.abs(ours - plain).max() <= 6 and np.abs(ours - plain).mean() < 0.5
    assert (center == (-400, 100)) == (not ours.any())


def test_a_face_that_shrinks_is_averaged_not_thinned_out():
    generator = np.random.default_rng(0)
    photograph = generator.integers(0, 2, (1200, 1200, 3)).astype(np.uint8) * 255  # averages to 127.5 over any area
    landmarks_52 = placed(8, 20, (600, 600))
    averaged, thinned = (f(photograph, landmarks_52, 112)[20:92, 20:92].astype(float) for f in (crop_face, align_face))
    assert thinned.std() > 60
    assert averaged.std() < 15 and abs(averaged.mean() - 127.5) < 2


@pytest.mark.parametrize("scale", [2.0, 3.3, 8.0])
def test_a_face_that_shrinks_keeps_its_place(scale):
    """A smooth picture gives the same whether averaged over areas or not."""
    photograph = cv2.GaussianBlur(canvas(1000, 1000, seed=2), (0, 0), 25)
    landmarks_52 = placed(scale, -15, (480, 520))
    ours, plain = (f(photograph, landmarks_52, 112).astype(int) for f in (crop_face, align_face))
    # One pixel of the face is `scale` pixels of the photograph, over which it changes by a few steps.
    moved = np.abs(np.roll(plain, 1, axis=1) - plain)[:, 1:].mean()
    assert np.abs(ours - plain)[10:-10, 10:-10].mean() < 0.35 * moved + 0.3


def test_sides_beyond_the_limit_of_older_opencvs():
    photograph = np.zeros((40, 40_000, 3), np.uint8)
    photograph[:, 39_000:] = 200
    landmarks_52 = placed(0.3, 0, (39_500, 20))
    assert crop_face(photograph, landmarks_52)[56, 56].tolist() == [200, 200, 200]


def test_landmarks_that_are_none_are_refused():
    photograph = canvas(100, 100, seed=0)
    for landmarks, message in (
        (np.full((5, 2), 7.0), "in one point"),
        (np.full((5, 2), np.nan), "not finite"),
        (np.zeros((4, 2)), "shape"),
    ):
        with pytest.raises(DataError, match=message):
            crop_face(photograph, landmarks)


def test_the_identity_copies_the_corner():
    photograph = canvas(100, 130, seed=3)
    np.testing.assert_array_equal(warp_square(photograph, np.array([[1.0, 0, 0], [0, 1, 0]]), 64), photograph[:64, :64])
