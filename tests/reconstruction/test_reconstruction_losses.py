"""What the reconstruction is trained on: the formulas, and gradients that reach every network.

Shapes: B images, C colours, H × W pixels.
"""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from facemargin.reconstruction import FaceReconstructor, ReconstructionConfig, reconstruction_losses, surface_normals
from facemargin.reconstruction.losses import laplace_nll

CONFIG = ReconstructionConfig(width=4, latent_size=8)
DOUBLE = torch.float64
NETWORKS = ["depth_network", "albedo_network", "light_network", "view_network", "confidence_network"]


def reconstructor(size=16):
    torch.manual_seed(0)
    model = FaceReconstructor(CONFIG, size).double()
    with torch.no_grad():
        # Faces turned and raised by more than a fresh network says.
        for network in (model.view_network, model.depth_network):
            for weight in list(network.parameters())[-2:]:
                weight.mul_(5)
    return model


def pictures(count=4, size=16):
    coarse = torch.rand(count, 3, 5, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, size, mode="bilinear")


def test_the_negative_log_likelihood_pixel_by_pixel():
    generator = torch.Generator().manual_seed(2)
    images, rendered = (torch.randn(2, 3, 4, 5, dtype=DOUBLE, generator=generator) for _ in range(2))
    scale = torch.rand(2, 4, 5, dtype=DOUBLE, generator=generator) + 0.1
    mask = (torch.rand(2, 4, 5, generator=generator) > 0.4).to(DOUBLE)
    total, pixels = 0.0, 0
    for b in range(2):
        for row in range(4):
            for column in range(5):
                if mask[b, row, column]:
                    error = (
                        sum(abs(images[b, c, row, column] - rendered[b, c, row, column]).item() for c in range(3)) / 3
                    )
                    sigma = scale[b, row, column].item()
                    density = math.exp(-math.sqrt(2) * error / sigma) / (math.sqrt(2) * sigma)
                    total, pixels = total - math.log(density), pixels + 1
    assert 0 < pixels < 40
    assert laplace_nll(images, rendered, scale, mask).item() == pytest.approx(total / pixels, abs=1e-12)
    # The best scale for an error e is √2·e.
    best = math.sqrt(2) * (images - rendered).abs().mean(dim=1)
    for factor in (0.9, 1.1):
        assert laplace_nll(images, rendered, best, mask) < laplace_nll(images, rendered, factor * best, mask)


def test_the_terms():
    model, images_BCHW = reconstructor(), pictures()
    reconstruction = model(images_BCHW)
    losses = reconstruction_losses(images_BCHW, reconstruction, CONFIG)
    assert list(losses) == ["reconstruction", "mirrored_reconstruction", "view", "smoothness"]
    scale_BHW, mirrored_scale_BHW = reconstruction.error_scale_B2HW.unbind(1)

    seen = model.render(reconstruction)
    expected = laplace_nll(images_BCHW, seen.image_BCHW, scale_BHW, seen.mask_BHW)
    assert losses["reconstruction"].item() == pytest.approx(expected.item(), abs=1e-12)
    mirrored = replace(reconstruction, albedo_BCHW=reconstruction.albedo_BCHW.flip(-1))
    seen = model.render(mirrored, light_B4=reconstruction.light_B4)
    expected = CONFIG.lambda_symmetry * laplace_nll(images_BCHW, seen.image_BCHW, mirrored_scale_BHW, seen.mask_BHW)
    assert losses["mirrored_reconstruction"].item() == pytest.approx(expected.item(), abs=1e-12)
    assert losses["mirrored_reconstruction"].item() != pytest.approx(
        CONFIG.lambda_symmetry * losses["reconstruction"].item(), abs=1e-3
    )

    half_width = math.tan(math.radians(5))
    squares = [
        sum(angle**2 for angle in view[:3]) + sum((shift / half_width) ** 2 for shift in view[3:])
        for view in reconstruction.view_B6.tolist()
    ]
    assert losses["view"].item() == pytest.approx(CONFIG.lambda_view * sum(squares) / 4, rel=1e-12)

    normals_BHW3 = surface_normals(reconstruction.canonical_depth_BHW, model.camera)
    down = (normals_BHW3[:, 1:] - normals_BHW3[:, :-1]).abs().mean().item()
    right = (normals_BHW3[:, :, 1:] - normals_BHW3[:, :, :-1]).abs().mean().item()
    assert losses["smoothness"].item() == pytest.approx(CONFIG.lambda_smooth * (down + right), rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "terms"),
    [
        ("lambda_reco", ["reconstruction", "mirrored_reconstruction"]),
        ("lambda_symmetry", ["mirrored_reconstruction"]),
        ("lambda_view", ["view"]),
        ("lambda_smooth", ["smoothness"]),
    ],
)
def test_a_weight_weighs_its_terms_and_no_others(weight, terms):
    images_BCHW = pictures()
    reconstruction = reconstructor()(images_BCHW)
    once = reconstruction_losses(images_BCHW, reconstruction, CONFIG)
    thrice = reconstruction_losses(
        images_BCHW, reconstruction, replace(CONFIG, **{weight: 3 * getattr(CONFIG, weight)})
    )
    for name, value in once.items():
        assert thrice[name].item() == pytest.approx((3 if name in terms else 1) * value.item(), rel=1e-12)
        assert value.item() != 0


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_reach_every_network(network):
    model, images_BCHW = reconstructor(), pictures()

    def total():
        return sum(reconstruction_losses(images_BCHW, model(images_BCHW), CONFIG).values())

    total().backward()
    parameters = list(getattr(model, network).parameters())
    assert all(weight.grad.abs().max() > 0 for weight in parameters if weight.ndim > 1)
    gradient = torch.cat([weight.grad.flatten() for weight in parameters])
    start = torch.cat([weight.detach().flatten() for weight in parameters])

    @torch.no_grad()
    def total_at(values):
        torch.nn.utils.vector_to_parameters(values, parameters)
        return total().item()

    generator, step = torch.Generator().manual_seed(3), 1e-6
    for _ in range(4):
        direction = torch.randn(len(start), dtype=DOUBLE, generator=generator)
        difference = (total_at(start + step * direction) - total_at(start - step * direction)) / (2 * step)
        # The derivative along a random direction has the gradient's norm as its standard deviation.
        assert (gradient @ direction).item() == pytest.approx(difference, abs=1e-2 * gradient.norm().item())


def test_the_networks_are_the_whole_of_the_model():
    assert [name for name, _ in reconstructor().named_children()] == NETWORKS


def test_a_view_that_shows_nothing_of_the_canonical_picture_is_no_error():
    images_BCHW = pictures()
    reconstruction = reconstructor()(images_BCHW)
    away = replace(reconstruction, view_B6=torch.tensor([[0, 0, 0, 0.5, 0, 0]] * 4, dtype=DOUBLE))
    losses = reconstruction_losses(images_BCHW, away, CONFIG)
    assert losses["reconstruction"].item() == 0 and losses["view"].item() > 1
