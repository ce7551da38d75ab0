"""Lambertian shading of a depth map under one distant light.

A light is (ambient, diffuse, x, y): it comes from the direction (x, y, −1), normalised; −z is where the camera is.

Shape suffixes: B images, C colours, H × W pixels, 3 coordinates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from facemargin.reconstruction.camera import PinholeCamera


def surface_normals(depth_BHW: Tensor, camera: PinholeCamera) -> Tensor:
    """Unit normals (B, H, W, 3) that point to the camera's side, from central differences (one-sided at the edges).

    The surface is z·r with the rays r = (x, y, 1); the product of its derivatives by y and by x is proportional to
    (z_x, z_y, −(z + x·z_x + y·z_y)).
    """
    height, width = depth_BHW.shape[-2:]
    z_x_BHW = _slope(depth_BHW, 2, 2 * camera.half_width / width)
    z_y_BHW = _slope(depth_BHW, 1, 2 * camera.half_width / height)
    x_HW, y_HW, _ = camera.rays(depth_BHW).unbind(-1)
    towards_BHW = -(depth_BHW + x_HW * z_x_BHW + y_HW * z_y_BHW)
    return F.normalize(torch.stack([z_x_BHW, z_y_BHW, towards_BHW], dim=-1), dim=-1)


def lambertian(normals_BHW3: Tensor, light_B4: Tensor) -> Tensor:
    """Shading ambient + diffuse·max(0, ⟨n, l⟩), (B, H, W), l being the unit vector towards the light."""
    ambient_B, diffuse_B, x_B, y_B = light_B4.unbind(1)
    direction_B3 = F.normalize(torch.stack([x_B, y_B, -torch.ones_like(x_B)], dim=1), dim=1)
    cosine_BHW = (normals_BHW3 * direction_B3[:, None, None]).sum(dim=-1)
    return ambient_B[:, None, None] + diffuse_B[:, None, None] * cosine_BHW.clamp(min=0)


def shade(albedo_BCHW: Tensor, depth_BHW: Tensor, light_B4: Tensor, camera: PinholeCamera) -> Tensor:
    """The lit surface, (B, C, H, W), in the unit of images: 2·albedo·shading − 1, where albedo runs from 0 to 1.

    A light of ambient + diffuse above 1 can exceed 1; nothing is clamped, so that gradients still flow there.
    """
    shading_BHW = lambertian(surface_normals(depth_BHW, camera), light_B4)
    return 2 * albedo_BCHW * shading_BHW[:, None] - 1


def _slope(depth_BHW: Tensor, dim: int, spacing: float) -> Tensor:
    """The mean of the differences to the previous and the next pixel, or the only difference at an edge.
    (`torch.gradient` does the same, but cannot be exported for a variable number of images.)"""
    step = depth_BHW.diff(dim=dim)
    before = torch.cat([step.narrow(dim, 0, 1), step], dim=dim)
    after = torch.cat([step, step.narrow(dim, -1, 1)], dim=dim)
    return (before + after) / (2 * spacing)
