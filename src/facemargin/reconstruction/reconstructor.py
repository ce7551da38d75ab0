"""Decomposes a face into shape, albedo, light and view, similar to Wu et al., "Unsupervised learning of probably
symmetric deformable 3D objects from images in the wild" (CVPR 2020).

Five networks read the image and learn from images only, without labels (see losses.py). The shape is a depth map of the
head seen from the front, which is called its canonical pose. It is symmetric by construction.

Shape suffixes: B images, C colours, H × W pixels, 2 confidences, 4 numbers of a light, 6 of a view.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facemargin.errors import ConfigError
from facemargin.reconstruction.camera import PinholeCamera
from facemargin.reconstruction.config import ReconstructionConfig
from facemargin.reconstruction.networks import IMAGE_CHANNELS, TOTAL_STRIDE, autoencoder, encoder, start_small
from facemargin.reconstruction.prior_depth import prior_depth
from facemargin.reconstruction.reprojection import Reprojection, reproject
from facemargin.reconstruction.shading import shade
from facemargin.reconstruction.view import HEAD_CENTER_DEPTH

RECOGNIZER_CHANNELS = 2 * IMAGE_CHANNELS + 1
"""Channels that the recogniser reads: image, canonical face, canonical depth."""

# The smallest error scale that the network may predict, in units of the image (six grey values of 255). With a smaller
# one, easy pixels would dominate the loss.
SMALLEST_ERROR_SCALE = 0.05

# The largest turn of the head in a view that a caller gives. Up to this angle every ray comes from the front.
SMALLEST_TURN_COSINE = math.cos(math.radians(75))


@dataclass(frozen=True)
class Reconstruction:
    """The parts that an image was decomposed into.

    canonical_depth_BHW: the distance from the camera, 1 at the head's centre. albedo_BCHW: from 0 to 1. light_B4:
    ambient, diffuse, and the x and y of the direction (x, y, −1). view_B6: yaw, pitch, roll in radians, and a shift
    along x, y, z. canonical_image_BCHW: the lit canonical face in the unit of images. error_scale_B2HW: the expected
    error at each pixel, of the reconstruction and of that with the mirrored albedo. A small value means a certain
    pixel.
    """

    canonical_depth_BHW: Tensor
    albedo_BCHW: Tensor
    light_B4: Tensor
    view_B6: Tensor
    canonical_image_BCHW: Tensor
    error_scale_B2HW: Tensor


class FaceReconstructor(nn.Module):
    """`images_BCHW` in [-1, 1] → `Reconstruction`.

    Attributes: config: the settings. image_size: height and width of the images in pixels. camera: the camera that
        photographs the head.
    """

    def __init__(self, config: ReconstructionConfig, image_size: int) -> None:
        """Raises ConfigError for a size that is not a multiple of 8."""
        super().__init__()
        if image_size < TOTAL_STRIDE or image_size % TOTAL_STRIDE:
            raise ConfigError(
                f"the reconstruction's images are {image_size} pixels wide, expected a multiple of {TOTAL_STRIDE}, as "
                "64, 72 or 112"
            )
        self.config = config
        self.image_size = image_size
        self.camera = PinholeCamera(config.field_of_view)
        width, latent_size = config.width, config.latent_size
        self.depth_network = start_small(autoencoder(image_size, width, latent_size, 1))
        self.albedo_network = autoencoder(image_size, width, latent_size, IMAGE_CHANNELS)
        self.light_network = start_small(encoder(image_size, width, 4))
        self.view_network = start_small(encoder(image_size, width, 6))
        self.confidence_network = autoencoder(image_size, width, latent_size, 2)
        self.prior_depth_HW: Tensor
        prior_HW = prior_depth(image_size, config.relief, self.camera)
        self.register_buffer("prior_depth_HW", prior_HW, persistent=False)

    def forward(self, images_BCHW: Tensor) -> Reconstruction:
        """See `Reconstruction`, in the type of the weights; raises ConfigError if the images do not fit."""
        self._check(images_BCHW)
        depth_BHW = self._depth(images_BCHW)
        albedo_BCHW = self._read(self.albedo_network, images_BCHW).sigmoid()
        light_B4 = self._light(images_BCHW)
        return Reconstruction(
            canonical_depth_BHW=depth_BHW,
            albedo_BCHW=albedo_BCHW,
            light_B4=light_B4,
            view_B6=self._view(images_BCHW),
            canonical_image_BCHW=shade(albedo_BCHW, depth_BHW, light_B4, self.camera),
            error_scale_B2HW=F.softplus(self._read(self.confidence_network, images_BCHW)) + SMALLEST_ERROR_SCALE,
        )

    def render(
        self, reconstruction: Reconstruction, view_B6: Tensor | None = None, light_B4: Tensor | None = None
    ) -> Reprojection:
        """Render the head in its own view and light, or in the given ones. Raises ConfigError for a view that turns the
        head by more than 75 degrees, yaw and pitch added."""
        image_BCHW = reconstruction.canonical_image_BCHW
        if light_B4 is not None:
            image_BCHW = shade(reconstruction.albedo_BCHW, reconstruction.canonical_depth_BHW, light_B4, self.camera)
        if view_B6 is None:
            view_B6 = reconstruction.view_B6
        elif (view_B6[:, :2].cos().prod(dim=1) < SMALLEST_TURN_COSINE).any():
            turned = view_B6[:, :2].rad2deg().abs().amax(dim=0).tolist()
            raise ConfigError(
                f"a view turns the head by up to {turned} degrees (yaw, pitch), expected at most 75 in total"
            )
        return reproject(image_BCHW, reconstruction.canonical_depth_BHW, view_B6, self.camera)

    def recognizer_input(self, images_BCHW: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Image, canonical face and canonical depth as `nearness`, (B, 7, H, W)."""
        nearness_B1HW = self.nearness(reconstruction.canonical_depth_BHW)[:, None]
        return torch.cat([images_BCHW, reconstruction.canonical_image_BCHW, nearness_B1HW], dim=1)

    def nearness(self, depth_BHW: Tensor) -> Tensor:
        """The depth on a scale from −1, the farthest that the settings allow, to 1, the nearest, (B, H, W)."""
        return (HEAD_CENTER_DEPTH - depth_BHW) / (self.config.relief / 2 + self.config.residual_depth)

    def _depth(self, images_BCHW: Tensor) -> Tensor:
        residual_BHW = self._read(self.depth_network, images_BCHW)[:, 0].tanh()
        symmetric_BHW = (residual_BHW + residual_BHW.flip(-1)) / 2
        return self.prior_depth_HW + self.config.residual_depth * symmetric_BHW

    def _light(self, images_BCHW: Tensor) -> Tensor:
        raw_B4 = self._read(self.light_network, images_BCHW)
        return torch.cat([raw_B4[:, :2].sigmoid(), raw_B4[:, 2:].tanh()], dim=1)

    def _view(self, images_BCHW: Tensor) -> Tensor:
        raw_B6 = self._read(self.view_network, images_BCHW).tanh()
        largest_angle = math.radians(self.config.largest_angle)
        return torch.cat([largest_angle * raw_B6[:, :3], self.config.largest_shift * raw_B6[:, 3:]], dim=1)

    def _read(self, network: nn.Module, images_BCHW: Tensor) -> Tensor:
        """Run a network in the type of the weights, because geometry is too inaccurate in the 8 bits of autocast."""
        raw_BX: Tensor = network(images_BCHW).to(self.prior_depth_HW.dtype)
        return raw_BX

    def _check(self, images_BCHW: Tensor) -> None:
        size = self.image_size
        if images_BCHW.ndim != 4 or images_BCHW.shape[1:] != (IMAGE_CHANNELS, size, size):
            raise ConfigError(
                f"images have shape {tuple(images_BCHW.shape)}, this reconstructor takes (batch, {IMAGE_CHANNELS}, "
                f"{size}, {size}); resize the images, or create it with another image_size"
            )
        if not images_BCHW.is_floating_point():
            raise ConfigError(
                f"images are {images_BCHW.dtype}; give floats in [-1, 1], (v - 127.5) / 127.5 for a value v of 0 to 255"
            )
