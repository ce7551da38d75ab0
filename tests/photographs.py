"""Photographs made of faces whose place is known: a face turned, scaled and put on a canvas."""

import cv2
import numpy as np

from facemargin.data.formats.orl import EmbeddedFaces


def canvas(height: int, width: int, seed: int) -> np.ndarray:
    """Coloured blobs, larger than faces are."""
    generator = np.random.default_rng(seed)
    blobs = generator.integers(60, 180, (max(2, height // 60), max(2, width // 60), 3)).astype(np.uint8)
    return cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC)


def put(photograph, face, center, scale=1.0, degrees=0.0):
    """Draw `face` into the photograph around `center` (x, y), turned anticlockwise; the 2×3 matrix from pixels of the
    face to pixels of the photograph."""
    height, width = face.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix_23 = cv2.getRotationMatrix2D(middle, degrees, scale)
    matrix_23[:, 2] += np.array(center) - middle
    shape = photograph.shape[1], photograph.shape[0]
    drawn = cv2.warpAffine(face, matrix_23, shape, flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.full(face.shape[:2], 255, np.uint8), matrix_23, shape, flags=cv2.INTER_NEAREST)
    photograph[inside > 0] = drawn[inside > 0]
    return matrix_23


def orl_photograph(index: int, scale=1.0, degrees=0.0, shape=(240, 320), center=None) -> np.ndarray:
    """A photograph of one of the 400 embedded faces, whole frames, in the middle unless said otherwise."""
    photograph = canvas(*shape, seed=index)
    put(photograph, EmbeddedFaces(square=False).read(index), center or (shape[1] / 2, shape[0] / 2), scale, degrees)
    return photograph
