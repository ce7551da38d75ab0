"""Pictures without a face."""

import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.quality.not_faces import NOT_FACES, not_a_face

FACE = EmbeddedFaces([1]).read(0)


@pytest.mark.parametrize("kind", NOT_FACES)
@pytest.mark.parametrize("shape", [(92, 92), (112, 96), (5, 3), (1, 1)])
def test_they_have_the_faces_size_and_depend_on_seed_and_number_alone(kind, shape):
    face = np.ascontiguousarray(np.resize(FACE, (*shape, 3)))
    picture = not_a_face(kind, face, 0, 3)
    assert picture.shape == face.shape and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, not_a_face(kind, face, 0, 3))
    if min(shape) > 90:
        assert not np.array_equal(picture, not_a_face(kind, face, 0, 4))
        assert not np.array_equal(picture, not_a_face(kind, face, 1, 3))
        assert not np.array_equal(picture, face)


def test_what_they_are():
    noise = not_a_face("uniform noise", FACE, 0, 0).astype(float)
    assert abs(noise.mean() - 127.5) < 2 and abs(noise.std() - 73.9) < 2
    assert abs(not_a_face("Gaussian noise", FACE, 0, 0).astype(float).std() - 58) < 3
    assert len(np.unique(not_a_face("flat color", FACE, 0, 0).reshape(-1, 3), axis=0)) == 1
    shuffled = not_a_face("shuffled face", FACE[:88, :88], 0, 0)
    np.testing.assert_array_equal(np.sort(shuffled, axis=None), np.sort(FACE[:88, :88], axis=None))
    assert np.abs(shuffled.astype(int) - FACE[:88, :88]).mean() > 20
    texture = not_a_face("texture", FACE, 0, 0).astype(float)
    assert np.abs(np.diff(texture, axis=0)).mean() < 8 and texture.std() > 20
