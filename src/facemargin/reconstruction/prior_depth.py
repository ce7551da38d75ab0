"""The initial shape of every head: a bump towards the camera.

Without it, a hollow face lit from below explains a picture as well as a raised face lit from above, and training would
start with a flat face and might keep it.

Shape suffixes: H × W pixels.
"""

import torch
from torch import Tensor

from facemargin.reconstruction.camera import PinholeCamera
from facemargin.reconstruction.view import HEAD_CENTER_DEPTH

# The standard deviations of the Gaussian bump across and along the face, in half pictures.
BUMP_WIDTH, BUMP_HEIGHT = 0.55, 0.75


def prior_depth(image_size: int, relief: float, camera: PinholeCamera) -> Tensor:
    """Depth (H, W): the tip of the bump is `relief` / 2 in front of the head's centre, its base `relief` / 2 behind
    it."""
    coordinates_HW2 = camera.rays(torch.empty(1, image_size, image_size))[..., :2] / camera.half_width
    exponent_HW = (coordinates_HW2 / torch.tensor([BUMP_WIDTH, BUMP_HEIGHT])).square().sum(dim=-1) / 2
    return HEAD_CENTER_DEPTH + relief * (0.5 - torch.exp(-exponent_HW))
