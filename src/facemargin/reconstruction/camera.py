"""The pinhole camera that photographs the head.

The axes are the picture's: x to the right, y down, z away from the camera. Lengths are in units of the distance between
camera and head. A pixel's coordinates run from −1 to 1 over the picture, pixel centres at (2i + 1)/W − 1, as in
`grid_sample` with align_corners=False. The camera is therefore the same at every resolution.

Shape suffixes: B images, H × W pixels, 2 and 3 coordinates.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PinholeCamera:
    """field_of_view: the angle in degrees between the left and the right edge of a square picture."""

    field_of_view: float

    @property
    def half_width(self) -> float:
        """tan(field_of_view / 2), half the picture's width at depth 1."""
        return math.tan(math.radians(self.field_of_view) / 2)

    def rays(self, pixels_BHW: Tensor) -> Tensor:
        """The point at depth 1 that each pixel shows, (H, W, 3), in the type and on the device of a (B, H, W) map."""
        height, width = pixels_BHW.shape[-2:]
        y_HW, x_HW = torch.meshgrid(
            *(
                self.half_width * ((2 * torch.arange(n, dtype=pixels_BHW.dtype, device=pixels_BHW.device) + 1) / n - 1)
                for n in (height, width)
            ),
            indexing="ij",
        )
        return torch.stack([x_HW, y_HW, torch.ones_like(x_HW)], dim=-1)

    def points(self, depth_BHW: Tensor) -> Tensor:
        """The points at which the pixels' rays reach the depths z, (B, H, W, 3)."""
        return depth_BHW[..., None] * self.rays(depth_BHW)

    def project(self, points_BHW3: Tensor) -> Tensor:
        """The pixel coordinates, (B, H, W, 2) as (x, y), at which points in front of the camera are seen."""
        return points_BHW3[..., :2] / (self.half_width * points_BHW3[..., 2:])
