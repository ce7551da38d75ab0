import cv2
import numpy as np
import pytest

from facemargin.data.alignment import TEMPLATE_52, align_face, similarity_transform
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import DataError


def umeyama(source, target):
    """The paper's equations 38 to 43, by singular value decomposition."""
    n, m = source.shape
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    covariance = (target - target_mean).T @ (source - source_mean) / n
    u, d, vt = np.linalg.svd(covariance)
    sign = np.ones(m)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        sign[-1] = -1
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / ((source - source_mean) ** 2).sum() * n
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


@pytest.mark.parametrize("seed", range(20))
def test_the_transform_is_umeyamas(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(scale=50, size=(2, 5, 2)) + 100
    if seed % 2:  # a mirrored face, where the sign in the paper's equations matters
        target = source * [-1, 1] + rng.normal(scale=3, size=(5, 2))
    np.testing.assert_allclose(similarity_transform(source, target), umeyama(source, target), atol=1e-9)


def test_a_face_that_is_moved_comes_back():
    face = cv2.resize(EmbeddedFaces([31], square=True).read(0), (112, 112))
    turn = similarity_transform(TEMPLATE_52, (TEMPLATE_52 - 56) @ np.array([[1.2, 0.9], [-0.9, 1.2]]) + [150, 170])
    photograph = cv2.warpAffine(face, turn, (320, 340), flags=cv2.INTER_CUBIC, borderValue=(9, 9, 9))
    landmarks = TEMPLATE_52 @ turn[:, :2].T + turn[:, 2]
    aligned = align_face(photograph, landmarks)
    assert aligned.shape == (112, 112, 3) and aligned.dtype == np.uint8
    assert np.abs(aligned.astype(float) - face)[2:-2, 2:-2].mean() < 3
    twice = align_face(photograph, landmarks, size=224)
    assert np.abs(cv2.resize(twice, (112, 112), interpolation=cv2.INTER_AREA).astype(float) - aligned).mean() < 4


def test_pixels_lie_where_the_template_says():
    image = np.zeros((200, 300, 3), np.uint8)
    landmarks = TEMPLATE_52 * 1.5 + [20, 10]
    for color, (x, y) in enumerate(landmarks[:3].round().astype(int)):
        cv2.circle(image, (int(x), int(y)), 4, tuple(255 * (channel == color) for channel in range(3)), -1)
    aligned = align_face(image, landmarks)
    for color, (x, y) in enumerate(TEMPLATE_52[:3].round().astype(int)):
        assert aligned[y, x].argmax() == color and aligned[y, x, color] > 200


def test_outside_the_image_is_black():
    white = np.full((40, 40, 3), 255, np.uint8)
    aligned = align_face(white, TEMPLATE_52 - 60)
    assert aligned[:50, :50].max() == 0 and aligned[75:95, 75:95].min() == 255


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.ones((5, 2)), "are all in one point"),
        (TEMPLATE_52 * 1e9, "too far away to be in an image"),
        (np.full((5, 2), np.nan), "not finite"),
        (np.full((5, 2), np.inf), "not finite"),
        (TEMPLATE_52[:4], r"shape \(4, 2\), expected \(5, 2\)"),
        (TEMPLATE_52.ravel(), r"shape \(10,\), expected \(5, 2\)"),
    ],
)
def test_unusable_landmarks_are_refused(landmarks, message):
    with pytest.raises(DataError, match=message):
        align_face(np.zeros((50, 50, 3), np.uint8), landmarks)


def test_an_image_that_opencv_cannot_warp_is_refused():
    with pytest.raises(DataError, match=r"an image of 5 × 0 pixels cannot be aligned"):
        align_face(np.zeros((0, 5, 3), np.uint8), TEMPLATE_52)
