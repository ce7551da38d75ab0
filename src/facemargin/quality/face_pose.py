"""How far a face is turned, from its five landmarks. Shapes: 5 landmarks, 3 coordinates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.data.alignment import similarity_transform

FACE_53: NDArray[np.float64] = np.array(
    [[-0.5, 0, 0], [0.5, 0, 0], [0, 0.57, 0.6], [-0.41, 1.155, 0.1], [0.41, 1.155, 0.1]]
)
"""A simple face that looks into the camera: left eye, right eye, nose, left and right corner of the mouth. x goes to
the right in the picture, y down, z towards the camera; the unit is the distance between the eyes. x and y are those of
the template to which faces are aligned; the tip of the nose is about 38 mm in front of eyes that are 63 mm apart."""


class FacePose(NamedTuple):
    """Angles in degrees; 0, 0, 0 looks into the camera. `yaw`: positive if the nose points to the right of the picture.
    `pitch`: positive if it points up. `roll`: positive if the right eye of the picture is the lower one."""

    yaw: float
    pitch: float
    roll: float


def face_pose(landmarks_52: ArrayLike) -> FacePose:
    """The pose of a face whose landmarks are (5, 2), (x, y) in pixels, in the order of `Face.landmarks_52`.

    The landmarks p are taken for a scaled orthographic picture of `FACE_53`, P: p_k − p̄ ≈ M·(P_k − P̄) with the 2×3
    matrix M of least squares (POS, the first step of DeMenthon and Davis, IJCV 15, 1995). The depth of the model is in
    the nose, so that the third column of M says where the nose lies between the eyes, and between eyes and mouth. The
    scaled rows of a rotation nearest to M are U·Vᵀ of the singular value decomposition M = U·S·Vᵀ. If n is the
    direction to which the rotated nose points,

        yaw = atan2(n_x, √(n_y² + n_z²)),    pitch = atan2(−n_y, n_z),    roll = angle of the line between the eyes.

    Faces differ from the model, so single degrees mean little. Raises DataError unless the landmarks are 5 finite
    points that are not all equal.
    """
    similarity_transform(landmarks_52, FACE_53[:, :2])  # refuses what is no face
    points_52 = np.asarray(landmarks_52, dtype=np.float64)
    model_53 = FACE_53 - FACE_53.mean(0)
    matrix_23 = np.linalg.lstsq(model_53, points_52 - points_52.mean(0), rcond=None)[0].T
    left_22, _, right_23 = np.linalg.svd(matrix_23, full_matrices=False)
    rows_23 = left_22 @ right_23
    nose = np.array([*rows_23[:, 2], np.cross(*rows_23)[2]])
    eye_line = points_52[1] - points_52[0]
    angles = (
        np.arctan2(nose[0], np.hypot(nose[1], nose[2])),
        np.arctan2(-nose[1], nose[2]),
        np.arctan2(eye_line[1], eye_line[0]),
    )
    return FacePose(*(float(np.degrees(angle)) for angle in angles))
