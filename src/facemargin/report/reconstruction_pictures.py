"""Pictures that show the parts of a reconstructed face to people.

Shapes: B faces, P pictures of each, C colours (RGB), H × W pixels, 3 angles, 4 numbers of a light, 6 of a view.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.errors import DataError
from facemargin.reconstruction import FaceReconstructor, Reconstruction, Reprojection, shade

TURNED_BY = (-30, -15, 15, 30)
"""The yaw angles, in degrees, at which the canonical face is shown."""

# The colour of pixels outside the face: the grey half way between black and white, in the unit of images.
_NEUTRAL_GRAY = 0.0

# The light from a side is as strong as the face's own light, but mostly directed, so that the side is easy to see.
_SIDE_AMBIENT, _SIDE_DIFFUSE = 0.25, 0.75

# The picture of the shape alone: one albedo everywhere, lit from the upper left, as relief is usually drawn.
_CLAY_ALBEDO = 0.9
_CLAY_LIGHT = (0.2, 0.8, -0.5, -0.5)


@dataclass(frozen=True)
class ReconstructionPictures:
    """`pictures_BPHWC`: uint8 RGB, one picture for each of the P `headings`. `angles_B3`: yaw, pitch and roll of the
    faces in degrees (`reconstruction.view` defines their directions). `psnr_B`: peak signal-to-noise ratio of the
    visible part of the reconstruction in dB, NaN if nothing is visible. Raises DataError if their sizes do not
    match."""

    headings: list[str]
    pictures_BPHWC: NDArray[np.uint8]
    angles_B3: NDArray[np.float64]
    psnr_B: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.pictures_BPHWC.shape
        if self.pictures_BPHWC.dtype != np.uint8 or len(shape) != 5 or shape[4] != 3 or 0 in shape[1:]:
            raise DataError(f"pictures are {self.pictures_BPHWC.dtype} {shape}, expected uint8 (faces, P, H, W, 3)")
        if len(self.headings) != shape[1]:
            raise DataError(f"{len(self.headings)} headings for {shape[1]} pictures of each face, expected one of each")
        if self.angles_B3.shape != (shape[0], 3) or self.psnr_B.shape != shape[:1]:
            raise DataError(
                f"pictures of {shape[0]} faces have angles of shape {self.angles_B3.shape} and PSNRs of shape "
                f"{self.psnr_B.shape}; expected three angles and one PSNR per face"
            )
        if not np.isfinite(self.angles_B3).all():
            face = int(np.argmin(np.isfinite(self.angles_B3).all(axis=1)))
            raise DataError(f"the angles of face {face} are {self.angles_B3[face].tolist()}, expected finite numbers")


@torch.no_grad()
def reconstruction_pictures(
    reconstructor: FaceReconstructor, images_BCHW: Tensor, reconstruction: Reconstruction
) -> ReconstructionPictures:
    """Draw the `reconstruction` of RGB `images_BCHW` in [-1, 1].

    The reconstruction and the faces lit from the sides are in the face's own view. Albedo, depth and surface are
    canonical. The turned faces have their own light and no pitch, roll or shift. In the depth picture, bright means
    near; its scale is the same for all faces, from the nearest to the farthest depth that the settings allow.
    """
    depth_BHW, albedo_BCHW = reconstruction.canonical_depth_BHW, reconstruction.albedo_BCHW
    clay_BCHW = torch.full_like(albedo_BCHW, _CLAY_ALBEDO)
    clay_light_B4 = depth_BHW.new_tensor(_CLAY_LIGHT).expand(len(depth_BHW), 4)
    rendered = reconstructor.render(reconstruction)
    drawn_BCHW = {
        "Input": images_BCHW,
        "Reconstruction": _on_gray(rendered),
        "Canonical face": reconstruction.canonical_image_BCHW,
        "Albedo": 2 * albedo_BCHW - 1,
        "Depth": reconstructor.nearness(depth_BHW)[:, None].expand_as(albedo_BCHW),
        "Surface": shade(clay_BCHW, depth_BHW, clay_light_B4, reconstructor.camera),
    }
    for side, x in (("left", -1.0), ("right", 1.0)):
        light_B4 = _side_light(reconstruction.light_B4, x)
        drawn_BCHW[f"Lit from the {side}"] = _on_gray(reconstructor.render(reconstruction, light_B4=light_B4))
    for degrees in TURNED_BY:
        view_B6 = torch.zeros_like(reconstruction.view_B6)
        view_B6[:, 0] = math.radians(degrees)
        heading = f"Turned by {degrees:+d}°".replace("-", "−")
        drawn_BCHW[heading] = _on_gray(reconstructor.render(reconstruction, view_B6=view_B6))
    pictures_BPCHW = torch.stack(list(drawn_BCHW.values()), dim=1)
    return ReconstructionPictures(
        headings=list(drawn_BCHW),
        pictures_BPHWC=_to_pixels(pictures_BPCHW).movedim(2, -1).cpu().numpy(),
        angles_B3=reconstruction.view_B6[:, :3].rad2deg().double().cpu().numpy(),
        psnr_B=_psnr(images_BCHW, rendered).double().cpu().numpy(),
    )


def _on_gray(seen: Reprojection) -> Tensor:
    mask_B1HW = seen.mask_BHW[:, None]
    return seen.image_BCHW * mask_B1HW + _NEUTRAL_GRAY * (1 - mask_B1HW)


def _side_light(light_B4: Tensor, x: float) -> Tensor:
    """A light from 45° to the side given by the sign of `x`, as strong as `light_B4` at its brightest."""
    strength_B = light_B4[:, 0] + light_B4[:, 1]
    sides_B2 = light_B4.new_tensor([x, 0.0]).expand(len(light_B4), 2)
    return torch.cat([torch.stack([_SIDE_AMBIENT * strength_B, _SIDE_DIFFUSE * strength_B], dim=1), sides_B2], dim=1)


def _psnr(images_BCHW: Tensor, seen: Reprojection) -> Tensor:
    """10·log₁₀(2² / mean squared error) over the mask, (B,). The 2 is the range of images, from −1 to 1."""
    squared_BHW = (images_BCHW - seen.image_BCHW.clamp(-1, 1)).square().mean(dim=1)
    error_B = (squared_BHW * seen.mask_BHW).sum(dim=(1, 2)) / seen.mask_BHW.sum(dim=(1, 2))
    return 10 * (4 / error_B).log10()


def _to_pixels(pictures: Tensor) -> Tensor:
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
