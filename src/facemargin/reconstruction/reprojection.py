"""Renders the canonical head from another view by casting rays at its depth map. It is differentiable.

Each pixel's ray is transformed into the canonical frame, in which the surface is a depth map D. Along the ray, at depth
s from the camera, f(s) = z(s) − D(p(s)) is how far the point lies behind the surface, p(s) being the canonical pixel
that it projects to. The pixel shows the first root of f, so hidden surfaces stay hidden. The search for the root is not
differentiated. Instead, one Newton step s − f(s)/f′(s), with f′ held constant, has the root's gradients (the implicit
function theorem). Outside the picture D continues with the value at its edge, and pixels that show this part are
masked.

Shape suffixes: B images, C channels, H × W pixels, 2 and 3 coordinates.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facemargin.full_precision import product
from facemargin.reconstruction.camera import PinholeCamera
from facemargin.reconstruction.view import rigid_motion

MARCHING_STEPS = 16
BISECTIONS = 5

# The search along a ray starts this far in front of the surface's nearest point and ends this far behind its farthest.
SEARCH_MARGIN = 1e-3

# Where a ray only touches the surface, f′ is close to 0, and the gradient would grow without bound.
SMALLEST_SLOPE = 0.1


class Reprojection(NamedTuple):
    """`image_BCHW` and `depth_BHW` as seen from the view; `mask_BHW` is 1 where the canonical picture shows what is
    seen, else 0."""

    image_BCHW: Tensor
    depth_BHW: Tensor
    mask_BHW: Tensor


@dataclass(frozen=True)
class _CanonicalRays:
    """The rays of a view in the canonical frame, origin + s·direction, and the surface `depth_BHW` that they hit."""

    origin_B3: Tensor
    direction_BHW3: Tensor
    depth_BHW: Tensor
    camera: PinholeCamera

    def points(self, s_BHW: Tensor) -> Tensor:
        return self.origin_B3[:, None, None] + s_BHW[..., None] * self.direction_BHW3

    def behind(self, s_BHW: Tensor) -> Tensor:
        """f(s), positive behind the surface."""
        points_BHW3 = self.points(s_BHW)
        surface_BHW = sample(self.depth_BHW[:, None], self.camera.project(points_BHW3))[:, 0]
        return points_BHW3[..., 2] - surface_BHW


def reproject(image_BCHW: Tensor, depth_BHW: Tensor, view_B6: Tensor, camera: PinholeCamera) -> Reprojection:
    """Render the canonical `image_BCHW` on the surface `depth_BHW` from the views, which turn it by at most 75°.
    Differentiable in all three inputs, except at silhouettes, where the visible point jumps.
    """
    rotation_B33, translation_B3 = rigid_motion(view_B6)
    rays_HW3 = camera.rays(depth_BHW)
    direction_NM = product(rays_HW3.flatten(0, 1), rotation_B33.mT.flatten(0, 1))  # N = H·W, M = 3·B
    rays = _CanonicalRays(
        origin_B3=-(translation_B3[:, :, None] * rotation_B33).sum(1),
        direction_BHW3=direction_NM.view(*rays_HW3.shape[:2], -1, 3).permute(2, 0, 1, 3).contiguous(),
        depth_BHW=depth_BHW,
        camera=camera,
    )
    front_BHW, slope_BHW = _first_hit(rays)
    s_BHW = front_BHW - rays.behind(front_BHW) / slope_BHW
    pixels_BHW2 = camera.project(rays.points(s_BHW))
    mask_BHW = (pixels_BHW2.detach().abs() <= 1).all(dim=-1).to(depth_BHW.dtype)
    return Reprojection(sample(image_BCHW, pixels_BHW2), s_BHW, mask_BHW)


def sample(map_BCHW: Tensor, pixels_BHW2: Tensor) -> Tensor:
    """Bilinear values (B, C, H, W) at pixel coordinates. Outside the picture, the values of its edge are used."""
    if map_BCHW.is_cuda and torch.are_deterministic_algorithms_enabled():
        return _sampled_in_order(map_BCHW, pixels_BHW2)
    return F.grid_sample(map_BCHW, pixels_BHW2, mode="bilinear", padding_mode="border", align_corners=False)


def _sampled_in_order(map_BCHW: Tensor, pixels_BHW2: Tensor) -> Tensor:
    """As `sample`, but with a gradient that CUDA can sum in a fixed order; that of its `grid_sample` it cannot."""
    batch, channels, height, width = map_BCHW.shape
    values_BCN = map_BCHW.flatten(2)
    x_BHW, y_BHW = (
        (((pixels_BHW2[..., axis] + 1) * size - 1) / 2).clamp(0, size - 1) for axis, size in ((0, width), (1, height))
    )
    left_BHW, top_BHW = x_BHW.detach().floor(), y_BHW.detach().floor()
    right_BHW, bottom_BHW = (left_BHW + 1).clamp(max=width - 1), (top_BHW + 1).clamp(max=height - 1)

    def at(column_BHW: Tensor, row_BHW: Tensor) -> Tensor:
        place_B1N = (row_BHW.long() * width + column_BHW.long()).view(batch, 1, -1)
        return values_BCN.gather(2, place_B1N.expand(-1, channels, -1)).view(batch, channels, *column_BHW.shape[1:])

    to_right_B1HW, down_B1HW = (x_BHW - left_BHW)[:, None], (y_BHW - top_BHW)[:, None]
    upper_BCHW = torch.lerp(at(left_BHW, top_BHW), at(right_BHW, top_BHW), to_right_B1HW)
    lower_BCHW = torch.lerp(at(left_BHW, bottom_BHW), at(right_BHW, bottom_BHW), to_right_B1HW)
    return torch.lerp(upper_BCHW, lower_BCHW, down_B1HW)


@torch.no_grad()
def _first_hit(rays: _CanonicalRays) -> tuple[Tensor, Tensor]:
    """For each ray, a point just in front of its first intersection with the surface, and f′ there, (B, H, W) each. The
    search goes in equal steps from the surface's nearest depth to its farthest, and then bisects the step in which the
    ray crosses the surface.
    """
    nearest_B, farthest_B = rays.depth_BHW.flatten(1).aminmax(dim=1)
    origin_z_B = rays.origin_B3[:, 2]
    front_BHW = (nearest_B - SEARCH_MARGIN - origin_z_B)[:, None, None] / rays.direction_BHW3[..., 2]
    end_BHW = (farthest_B + SEARCH_MARGIN - origin_z_B)[:, None, None] / rays.direction_BHW3[..., 2]
    step_BHW = (end_BHW - front_BHW) / MARCHING_STEPS
    hit_BHW = torch.zeros_like(front_BHW, dtype=torch.bool)
    for _ in range(MARCHING_STEPS - 1):
        next_BHW = front_BHW + step_BHW
        hit_BHW |= rays.behind(next_BHW) >= 0
        front_BHW = torch.where(hit_BHW, front_BHW, next_BHW)
    for _ in range(BISECTIONS):
        step_BHW = step_BHW / 2
        middle_BHW = front_BHW + step_BHW
        front_BHW = torch.where(rays.behind(middle_BHW) >= 0, front_BHW, middle_BHW)
    slope_BHW = (rays.behind(front_BHW + step_BHW) - rays.behind(front_BHW)) / step_BHW
    return front_BHW, slope_BHW.clamp(min=SMALLEST_SLOPE)
