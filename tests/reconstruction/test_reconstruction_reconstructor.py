"""FaceReconstructor: shapes and ranges, what it starts from, what a recogniser gets, and what it refuses.

Shapes: B images, C colours, H × W pixels.
"""

import math
from dataclasses import replace

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.reconstruction import (
    RECOGNIZER_CHANNELS,
    FaceReconstructor,
    ReconstructionConfig,
    reconstruction_losses,
    reproject,
)

SMALL = ReconstructionConfig(width=4, latent_size=8)


def reconstructor(size=16, config=SMALL, seed=0):
    torch.manual_seed(seed)
    return FaceReconstructor(config, size)


def pictures(count=3, size=16, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def exaggerated(model, factor=30.0):
    """The model with every output layer's weights grown, so that what it says reaches its limits."""
    with torch.no_grad():
        for network in model.children():
            layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
            layers[-1].weight.mul_(factor)
    return model


@pytest.mark.parametrize("size", [8, 64, 72, 112])
def test_shapes(size):
    images_BCHW = pictures(2, size)
    model = reconstructor(size)
    reconstruction = model(images_BCHW)
    assert reconstruction.canonical_depth_BHW.shape == (2, size, size)
    assert reconstruction.albedo_BCHW.shape == reconstruction.canonical_image_BCHW.shape == (2, 3, size, size)
    assert reconstruction.light_B4.shape == (2, 4) and reconstruction.view_B6.shape == (2, 6)
    assert reconstruction.error_scale_B2HW.shape == (2, 2, size, size)
    seen = model.render(reconstruction)
    assert seen.image_BCHW.shape == (2, 3, size, size) and seen.mask_BHW.shape == (2, size, size)
    assert model.recognizer_input(images_BCHW, reconstruction).shape == (2, RECOGNIZER_CHANNELS, size, size)


def test_what_the_networks_say_stays_in_its_range():
    reconstruction = exaggerated(reconstructor())(pictures(20))
    depth_BHW = reconstruction.canonical_depth_BHW
    farthest = SMALL.relief / 2 + SMALL.residual_depth
    assert 0.5 * farthest < (depth_BHW - 1).abs().max() <= farthest
    assert (depth_BHW == depth_BHW.flip(-1)).all() and depth_BHW.std(dim=0).max() > 1e-3
    assert reconstruction.albedo_BCHW.min() >= 0 and reconstruction.albedo_BCHW.max() <= 1
    ambient_diffuse, direction = reconstruction.light_B4.split(2, dim=1)
    assert ambient_diffuse.min() >= 0 and ambient_diffuse.max() <= 1 and 0.5 < direction.abs().max() <= 1
    angles, shifts = reconstruction.view_B6.split(3, dim=1)
    assert 30 < angles.rad2deg().abs().max() <= 60.001 and 0.01 < shifts.abs().max() <= 0.03
    assert reconstruction.error_scale_B2HW.min() > 0
    assert (albedo_spread := reconstruction.albedo_BCHW.std(dim=0)).max() > 0.1 and albedo_spread.isfinite().all()


def test_it_starts_near_a_raised_face_seen_from_the_front():
    reconstruction = reconstructor(64)(pictures(4, 64))
    depth_BHW = reconstruction.canonical_depth_BHW
    assert (depth_BHW[:, 30:34, 30:34].amax((1, 2)) < depth_BHW[:, ::63, ::63].amin((1, 2)) - 0.5 * SMALL.relief).all()
    assert reconstruction.view_B6[:, :3].rad2deg().abs().max() < 10


def test_a_recogniser_gets_image_canonical_face_and_depth():
    images_BCHW, model = pictures(), reconstructor()
    reconstruction = model(images_BCHW)
    input_B7HW = model.recognizer_input(images_BCHW, reconstruction)
    assert (input_B7HW[:, :3] == images_BCHW).all()
    assert (input_B7HW[:, 3:6] == reconstruction.canonical_image_BCHW).all()
    depth_BHW, farthest = reconstruction.canonical_depth_BHW, SMALL.relief / 2 + SMALL.residual_depth
    for b, row, column in [(0, 0, 0), (1, 8, 8), (2, 15, 3)]:
        expected = (1 - depth_BHW[b, row, column].item()) / farthest
        assert input_B7HW[b, 6, row, column].item() == pytest.approx(expected, abs=1e-6)
    assert input_B7HW[:, 6].abs().max() <= 1
    # The recogniser's loss teaches the reconstruction.
    input_B7HW[:, 3:].square().sum().backward()
    taught = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert taught == {"depth_network", "albedo_network", "light_network"}


def test_other_views_and_lights():
    model, images_BCHW = reconstructor(32), pictures(2, 32)
    reconstruction = model(images_BCHW)
    own, turned = model.render(reconstruction), model.render(reconstruction, view_B6=torch.full((2, 6), 0.02))
    canonical = model.render(reconstruction, view_B6=torch.zeros(2, 6))
    torch.testing.assert_close(canonical.image_BCHW, reconstruction.canonical_image_BCHW, atol=1e-4, rtol=0)
    expected = reproject(
        reconstruction.canonical_image_BCHW, reconstruction.canonical_depth_BHW, reconstruction.view_B6, model.camera
    )
    assert (own.image_BCHW == expected.image_BCHW).all() and not (own.image_BCHW == turned.image_BCHW).all()
    dark = model.render(reconstruction, view_B6=torch.zeros(2, 6), light_B4=torch.tensor([[0.1, 0.0, 0.0, 0.0]] * 2))
    torch.testing.assert_close(dark.image_BCHW, 0.2 * reconstruction.albedo_BCHW - 1, atol=1e-4, rtol=0)


def test_an_image_does_not_depend_on_its_batch():
    model, images_BCHW = reconstructor(), pictures(5)
    together, alone = model(images_BCHW), model(images_BCHW[3:4])
    for name in ("canonical_image_BCHW", "canonical_depth_BHW", "view_B6", "error_scale_B2HW"):
        torch.testing.assert_close(getattr(together, name)[3:4], getattr(alone, name), atol=1e-5, rtol=1e-5)


def test_geometry_keeps_float32_under_autocast():
    model, images_BCHW = exaggerated(reconstructor(32), 3.0), pictures(2, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reconstruction = model(images_BCHW)
        inside = model.render(reconstruction)
    outside = model.render(reconstruction)
    assert inside.image_BCHW.dtype == reconstruction.view_B6.dtype == torch.float32
    assert (inside.image_BCHW == outside.image_BCHW).all() and (inside.depth_BHW == outside.depth_BHW).all()


def test_gradients_of_the_geometry_keep_float32_under_autocast():
    model, images_BCHW = exaggerated(reconstructor(32), 3.0), pictures(2, 32)
    with torch.no_grad():
        fixed = model(images_BCHW)
    gradients = []
    for enabled in (False, True):
        leaves = [t.clone().requires_grad_() for t in (fixed.view_B6, fixed.canonical_depth_BHW, fixed.light_B4)]
        view_B6, depth_BHW, light_B4 = leaves
        given = replace(fixed, view_B6=view_B6, canonical_depth_BHW=depth_BHW, light_B4=light_B4)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            sum(reconstruction_losses(images_BCHW, given, SMALL).values()).backward()
        gradients.append([leaf.grad for leaf in leaves])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other) and one.any()


def test_it_works_without_gradients():
    model, images_BCHW = reconstructor(), pictures()
    with torch.inference_mode():
        without = model.render(model(images_BCHW))
    torch.testing.assert_close(without.image_BCHW, model.render(model(images_BCHW)).image_BCHW)


@pytest.mark.slow
def test_the_recogniser_input_can_be_exported_for_any_number_of_images():
    class RecognizerInput(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.reconstructor = reconstructor().eval()

        def forward(self, images_BCHW):
            return self.reconstructor.recognizer_input(images_BCHW, self.reconstructor(images_BCHW))

    module = RecognizerInput()
    exported = torch.export.export(module, (pictures(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(exported.module()(pictures(5)), module(pictures(5)))


def test_a_view_from_the_side_is_refused():
    model = reconstructor()
    reconstruction = model(pictures(2))
    assert model.render(reconstruction, view_B6=torch.tensor([[1.3, 0, 3.0, 0, 0, 0]] * 2)).mask_BHW.any()
    for turned in ([1.4, 0], [-1.0, 1.2], [0, 3.1]):
        with pytest.raises(ConfigError, match="at most 75 in total"):
            model.render(reconstruction, view_B6=torch.tensor([[0] * 6, [*turned, 0, 0, 0, 0]]))


def test_a_nan_in_an_image_is_not_hidden():
    images_BCHW, model = pictures(), reconstructor()
    images_BCHW[1, 0, 3, 3] = math.nan
    reconstruction = model(images_BCHW)
    finite_B = reconstruction.canonical_image_BCHW.isfinite().flatten(1).all(dim=1)
    assert finite_B.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 16, 16), "takes \\(batch, 3, 16, 16\\)"),
        (torch.zeros(2, 3, 24, 16), "resize the images"),
        (torch.zeros(3, 16, 16), "shape \\(3, 16, 16\\)"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), "floats in \\[-1, 1\\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(ConfigError, match=message):
        reconstructor()(images)


@pytest.mark.parametrize("size", [0, 4, 60, 100])
def test_sizes_that_do_not_halve_three_times_are_refused(size):
    with pytest.raises(ConfigError, match=f"{size} pixels.*multiple of 8"):
        reconstructor(size)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 6), ("width", 0), ("latent_size", 0), ("field_of_view", 0.0), ("field_of_view", 45.0),
        ("relief", 0.0), ("residual_depth", 0.6), ("largest_angle", 75.0), ("largest_shift", -0.01),
        ("lambda_reco", -1.0), ("lambda_canon", math.nan), ("lambda_view", -0.1), ("lambda_symmetry", -0.5),
        ("lambda_smooth", -1e-9), ("relief", math.nan),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        ReconstructionConfig(**{field: value})
