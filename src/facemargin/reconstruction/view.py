"""The pose of the head in front of the camera: a rigid motion away from its canonical, frontal pose.

A view is (yaw, pitch, roll, x, y, z): three angles in radians and a shift. The head turns about its centre, which lies
at depth 1 on the camera's axis. In the picture, a positive yaw moves the nose to the right, a positive pitch moves it
up, and a positive roll turns the face clockwise.

Shape suffixes: B views.
"""

import torch
from torch import Tensor

from facemargin.transfer import on_device

HEAD_CENTER_DEPTH = 1.0


def rotation_matrix(view_B6: Tensor) -> Tensor:
    """R = R_z(roll)·R_x(pitch)·R_y(yaw), (B, 3, 3)."""
    cos_B3, sin_B3 = view_B6[:, :3].cos(), view_B6[:, :3].sin()
    (cy, cp, cr), (sy, sp, sr) = cos_B3.unbind(1), sin_B3.unbind(1)
    zeros, ones = torch.zeros_like(cy), torch.ones_like(cy)
    yaw_B33 = torch.stack([cy, zeros, -sy, zeros, ones, zeros, sy, zeros, cy], dim=1).view(-1, 3, 3)
    pitch_B33 = torch.stack([ones, zeros, zeros, zeros, cp, sp, zeros, -sp, cp], dim=1).view(-1, 3, 3)
    roll_B33 = torch.stack([cr, -sr, zeros, sr, cr, zeros, zeros, zeros, ones], dim=1).view(-1, 3, 3)
    return _product(roll_B33, _product(pitch_B33, yaw_B33))


def rigid_motion(view_B6: Tensor) -> tuple[Tensor, Tensor]:
    """R (B, 3, 3) and t (B, 3) of the motion X ↦ R·X + t from the canonical head to the view."""
    rotation_B33 = rotation_matrix(view_B6)
    center_3 = on_device([0.0, 0.0, HEAD_CENTER_DEPTH], view_B6.dtype, view_B6.device)
    return rotation_B33, view_B6[:, 3:] + center_3 - (rotation_B33 * center_3).sum(2)


def _product(a_B33: Tensor, b_B33: Tensor) -> Tensor:
    """a·b written with elementwise products, because autocast would cast a matrix product and its gradients."""
    return (a_B33[:, :, :, None] * b_B33[:, None]).sum(2)
