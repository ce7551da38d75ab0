"""The losses of the reconstruction: LH2Face's L_reco and L_view in this project's form, and a smoothness term.

The paper's total is L = L_FR + λ_reco·L_reco + λ_canon·L_FR(canonical face) + λ_view·L_view (arXiv 2506.23555); its
public texts do not give the forms of L_reco and L_view. Here L_reco is that of Wu et al. (CVPR 2020): each pixel's
error follows a Laplace distribution whose scale a network predicts, and the albedo mirrored about the middle of the
face has to explain the picture as well, with its own predicted scale. L_FR(canonical face) is the recognition loss: the
trainer of the recogniser adds it, weighted by `lambda_canon`.

Shape suffixes: B images, C colours, H × W pixels.
"""

import math

import torch
from torch import Tensor

from facemargin.reconstruction.camera import PinholeCamera
from facemargin.reconstruction.config import ReconstructionConfig
from facemargin.reconstruction.reconstructor import Reconstruction
from facemargin.reconstruction.reprojection import reproject
from facemargin.reconstruction.shading import shade, surface_normals


def reconstruction_losses(
    images_BCHW: Tensor, reconstruction: Reconstruction, config: ReconstructionConfig
) -> dict[str, Tensor]:
    """The weighted terms "reconstruction", "mirrored_reconstruction", "view" and "smoothness", scalars to be added."""
    camera = PinholeCamera(config.field_of_view)
    depth_BHW, albedo_BCHW = reconstruction.canonical_depth_BHW, reconstruction.albedo_BCHW
    # The depth is symmetric, so both albedos can be rendered with the same rays.
    both_BCHW = torch.cat([albedo_BCHW, albedo_BCHW.flip(-1)], dim=1)
    lit_BCHW = shade(both_BCHW, depth_BHW, reconstruction.light_B4, camera)
    seen = reproject(lit_BCHW, depth_BHW, reconstruction.view_B6, camera)
    direct_BCHW, mirrored_BCHW = seen.image_BCHW.chunk(2, dim=1)
    scale_BHW, mirrored_scale_BHW = reconstruction.error_scale_B2HW.unbind(1)
    return {
        "reconstruction": config.lambda_reco * laplace_nll(images_BCHW, direct_BCHW, scale_BHW, seen.mask_BHW),
        "mirrored_reconstruction": config.lambda_reco
        * config.lambda_symmetry
        * laplace_nll(images_BCHW, mirrored_BCHW, mirrored_scale_BHW, seen.mask_BHW),
        "view": config.lambda_view * view_penalty(reconstruction.view_B6, camera),
        "smoothness": config.lambda_smooth * roughness(depth_BHW, camera),
    }


def laplace_nll(images_BCHW: Tensor, rendered_BCHW: Tensor, scale_BHW: Tensor, mask_BHW: Tensor) -> Tensor:
    """−log p of the error e, averaged over the mask: p(e) = exp(−√2·e/σ)/(√2·σ), e the mean |difference| of colours.

    An L1 loss, weighted by the confidence 1/σ (Wu et al. 2020, equation 3).
    """
    error_BHW = (images_BCHW - rendered_BCHW).abs().mean(dim=1)
    nll_BHW = math.sqrt(2) * error_BHW / scale_BHW + (math.sqrt(2) * scale_BHW).log()
    return (nll_BHW * mask_BHW).sum() / mask_BHW.sum().clamp(min=1)


def view_penalty(view_B6: Tensor, camera: PinholeCamera) -> Tensor:
    """Mean squared distance from the canonical pose, in radians and half pictures. It makes the canonical pose, which
    no other loss determines, the mean pose of the data."""
    angles_B3, shifts_B3 = view_B6.split(3, dim=1)
    penalty: Tensor = angles_B3.square().sum(dim=1).mean() + (shifts_B3 / camera.half_width).square().sum(dim=1).mean()
    return penalty


def roughness(depth_BHW: Tensor, camera: PinholeCamera) -> Tensor:
    """Mean |difference| of the normals of neighbouring pixels: it keeps colour differences out of the shape, because
    they belong in the albedo."""
    normals_BHW3 = surface_normals(depth_BHW, camera)
    return normals_BHW3.diff(dim=1).abs().mean() + normals_BHW3.diff(dim=2).abs().mean()
