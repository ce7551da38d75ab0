"""The renderer against an independent one, on a head of known shape, paint, light and view.

Shapes: B images, C colours, H × W pixels.
"""

import math

import numpy as np
import pytest
import torch

from facemargin.reconstruction import PinholeCamera, reproject, shade
from tests.reconstruction.synthetic_head import FIELD_OF_VIEW, canonical_maps, photograph

CAMERA = PinholeCamera(FIELD_OF_VIEW)
LIGHT = (0.4, 0.6, 0.5, -0.3)


def view(yaw=0.0, pitch=0.0, roll=0.0, x=0.0, y=0.0, z=0.0):
    return (math.radians(yaw), math.radians(pitch), math.radians(roll), x, y, z)


VIEWS = {
    "frontal": view(),
    "yaw 15": view(yaw=15),
    "yaw -30": view(yaw=-30),
    "yaw 45": view(yaw=45),
    "pitch 25": view(pitch=25),
    "roll -20": view(roll=-20),
    "moved": view(x=0.012, y=-0.008, z=0.05),
    "all": view(-35, -15, 10, 0.005, 0.01, -0.03),
}


def head(size, count=1):
    """Albedo (count, 3, S, S) and depth (count, S, S) of the synthetic head, float64."""
    depth_HW, albedo_HWC = canonical_maps(size)
    albedo_CHW = torch.from_numpy(albedo_HWC).permute(2, 0, 1)
    return albedo_CHW.expand(count, -1, -1, -1), torch.from_numpy(depth_HW).expand(count, -1, -1)


def render(size, view, light=LIGHT):
    albedo_BCHW, depth_BHW = head(size)
    light_B4, view_B6 = torch.tensor([light], dtype=torch.float64), torch.tensor([view], dtype=torch.float64)
    return reproject(shade(albedo_BCHW, depth_BHW, light_B4, CAMERA), depth_BHW, view_B6, CAMERA)


def psnr(image_BCHW, reference_HWC, mask_BHW):
    """In dB, of images that span 2, over the pixels of the mask."""
    difference_HWC = image_BCHW[0].permute(1, 2, 0).numpy() - reference_HWC
    return 10 * math.log10(4 / np.mean(difference_HWC[mask_BHW[0].numpy() > 0] ** 2))


@pytest.mark.parametrize("name", VIEWS)
def test_it_reproduces_what_an_independent_renderer_shows(name):
    # 48 dB from the front, 43 dB at 45 degrees.
    rendered, photo = render(64, VIEWS[name]), photograph(VIEWS[name], LIGHT, 64)
    assert psnr(rendered.image_BCHW, photo.image_SS3, rendered.mask_BHW) > 42
    visible_HW = rendered.mask_BHW[0].numpy() > 0
    assert (visible_HW != photo.from_canonical_SS).mean() < 0.01
    both_HW = visible_HW & photo.from_canonical_SS
    assert both_HW.mean() > 0.6
    error = np.abs(rendered.depth_BHW[0].numpy() - photo.depth_SS)[both_HW]
    # In silhouettes a pixel averages near and far.
    assert np.median(error) < 5e-4 and np.quantile(error, 0.95) < 3e-3


def test_the_comparison_notices_two_degrees():
    photo, right, wrong = photograph(VIEWS["yaw -30"], LIGHT, 64), render(64, VIEWS["yaw -30"]), render(64, view(-28))
    difference = psnr(right.image_BCHW, photo.image_SS3, right.mask_BHW) - psnr(
        wrong.image_BCHW, photo.image_SS3, wrong.mask_BHW
    )
    assert difference > 5


@pytest.mark.parametrize("light", [(0.2, 0.8, -0.9, 0.0), (0.2, 0.8, 0.9, 0.4), (0.9, 0.0, 0.0, 0.0)])
def test_relit_it_still_reproduces_it(light):
    rendered, photo = render(64, VIEWS["yaw 15"], light), photograph(VIEWS["yaw 15"], light, 64)
    assert psnr(rendered.image_BCHW, photo.image_SS3, rendered.mask_BHW) > 42


@pytest.mark.slow
def test_a_finer_picture_is_nearer_to_the_truth():
    view_, light = VIEWS["yaw -30"], LIGHT
    at_32, at_96 = render(32, view_), render(96, view_)
    coarse = psnr(at_32.image_BCHW, photograph(view_, light, 32).image_SS3, at_32.mask_BHW)
    assert psnr(at_96.image_BCHW, photograph(view_, light, 96, points=1700).image_SS3, at_96.mask_BHW) > coarse + 6


@pytest.mark.slow
@pytest.mark.parametrize("light_is_known", [True, False])
def test_fitting_recovers_the_view_from_a_frontal_start(light_is_known):
    # The largest error is about 1 degree.
    true_views = [
        view(yaw=30), view(yaw=-30, pitch=10), view(15, -20, 5, x=0.005), view(pitch=30), view(-10, -30, z=0.01),
        view(22, 18, -10, x=-0.004, y=0.003),
    ]  # fmt: skip
    images = np.stack([photograph(true, LIGHT, 32).image_SS3 for true in true_views])
    images_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    albedo_BCHW, depth_BHW = (map_.float() for map_ in head(32, len(true_views)))
    start = LIGHT if light_is_known else (0.5, 0.5, 0.0, 0.0)
    light_B4 = torch.tensor([start] * len(true_views), requires_grad=not light_is_known)
    # A shift of 0.1 is as much as a turn by 1 radian.
    unit_6 = torch.tensor([1, 1, 1, 0.1, 0.1, 0.1])
    scaled_view_B6 = torch.zeros(len(true_views), 6, requires_grad=True)
    optimizer = torch.optim.Adam([scaled_view_B6] if light_is_known else [scaled_view_B6, light_B4], lr=0.03)
    for _ in range(100):
        lit_BCHW = shade(albedo_BCHW, depth_BHW, light_B4, CAMERA)
        seen = reproject(lit_BCHW, depth_BHW, scaled_view_B6 * unit_6, CAMERA)
        error_BHW = (images_BCHW - seen.image_BCHW).abs().mean(dim=1) * seen.mask_BHW
        optimizer.zero_grad()
        (error_BHW.sum((1, 2)) / seen.mask_BHW.sum((1, 2))).sum().backward()
        optimizer.step()
    error_B3 = scaled_view_B6.detach()[:, :3] - torch.tensor(true_views)[:, :3]
    assert error_B3.rad2deg().abs().max() < 2.5
    assert (light_B4.detach() - torch.tensor(LIGHT)).abs().max() < 0.06
