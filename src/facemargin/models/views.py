"""Creates several views of an image, whose features are averaged. Shapes: B images, C colours, H × W pixels."""

from typing import Literal, get_args

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

Views = Literal["one", "flip", "multi"]

# Scale and translation (fractions of the side) of each view of "multi"; each is also mirrored.
_JITTERS = ((1, 0, 0), (1, 0.05, 0), (1, -0.05, 0), (1, 0, 0.05), (1, 0, -0.05), (1.1, 0, 0), (0.9, 0, 0))


def image_views(images_BCHW: Tensor, views: Views) -> list[Tensor]:
    """The views of normalised images in [-1, 1], each (B, C, H, W).

    "one": the image. "flip": the image and its mirror image, the usual flip test of the field. "multi": 14 views: the
    image, four shifts by 5 % of the side, two scalings by 10 %, and the mirror image of each; edges are repeated
    outwards. It makes the vectors of faces that are not aligned more stable. Raises ConfigError for other views.
    """
    if views not in get_args(Views):
        raise ConfigError(unknown_name("views", str(views), list(get_args(Views))))
    if views == "one":
        return [images_BCHW]
    upright = [images_BCHW] if views == "flip" else [_jitter(images_BCHW, *jitter) for jitter in _JITTERS]
    return [view for image in upright for view in (image, image.flip(3))]


def _jitter(images_BCHW: Tensor, scale: float, right: float, down: float) -> Tensor:
    if (scale, right, down) == (1, 0, 0):
        return images_BCHW
    # affine_grid uses coordinates in [-1, 1], so a shift of 5 % of the side is 0.1.
    output_to_input = [[1 / scale, 0, -2 * right], [0, 1 / scale, -2 * down]]
    theta = torch.tensor(output_to_input, dtype=images_BCHW.dtype, device=images_BCHW.device)
    grid = torch.nn.functional.affine_grid(
        theta.expand(len(images_BCHW), 2, 3), list(images_BCHW.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(images_BCHW, grid, padding_mode="border", align_corners=False)
