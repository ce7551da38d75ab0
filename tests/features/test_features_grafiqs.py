"""GraFIQs: the equation again, image by image in float64, by finite differences, and what it depends on."""

import numpy as np
import pytest
import torch
from torch import nn

import facemargin as fm
from facemargin.errors import ConfigError
from facemargin.features.measures.grafiqs import gradient_magnitudes
from tests.models.tiny_models import tiny_model

SIZE = 16


def faces(count=5, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8))


def small_network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 5, 3, 2, 1),
        nn.BatchNorm2d(5),
        nn.PReLU(5),
        nn.Conv2d(5, 4, 3, 2, 1),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(4 * 16, 6),
        nn.BatchNorm1d(6),  # has no part in it
    )
    for layer in module:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return module.eval()


class InAList(nn.Module):
    """Its list of modules is a module that nobody calls."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(768, 4)])

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


def model_of(module):
    return fm.wrap(module, input_size=SIZE)


def normalized(image):
    return (torch.from_numpy(image).permute(2, 0, 1)[None].double().contiguous() - 127.5) / 127.5


def discrepancy(module, x, start=0):
    """BNS of one image from layer `start` on, with loops over layers and channels."""
    terms = []
    for number, layer in enumerate(module):
        if number < start:
            continue
        if isinstance(layer, nn.BatchNorm2d):
            means, variances = [], []
            for channel in range(x.shape[1]):
                values = x[0, channel].flatten()
                mean = values.sum() / len(values)
                variance = ((values - mean) ** 2).sum() / len(values)
                means.append((mean - layer.running_mean[channel]) ** 2)
                variances.append((variance - layer.running_var[channel]) ** 2)
            terms.append(sum(means) / len(means) + sum(variances) / len(variances))
        x = layer(x)
    return terms


def magnitude_by_finite_differences(module, image):
    x, step = normalized(image), 1e-5
    total = 0.0
    for place in range(x.numel()):
        ends = []
        for sign in (1, -1):
            moved = x.clone()
            moved.view(-1)[place] += sign * step
            terms = discrepancy(module, moved)
            ends.append(float(sum(terms)) / len(terms))
        total += abs(ends[0] - ends[1]) / (2 * step)
    return total


@pytest.mark.slow
def test_the_quality_is_minus_the_sum_of_finite_differences():
    module, images = small_network(), faces(1)
    found = fm.measure_quality(model_of(module), images, "grafiqs")
    with torch.no_grad():
        assert -found[0] == pytest.approx(magnitude_by_finite_differences(module.double(), images[0]), rel=1e-4)


@pytest.mark.parametrize("place", ["image", "module.3"])
def test_each_image_of_a_batch_has_the_gradient_that_it_has_alone(place):
    module, images = small_network(), faces(11)
    found_N = fm.measure_quality(model_of(module), images, f"grafiqs:place={place}")
    exact = module.double()
    layer = 0 if place == "image" else 4
    for image, found in zip(images, found_N, strict=True):
        x = normalized(image)
        before = discrepancy(exact, x)[:2] if layer else []
        for number in range(layer):
            x = exact[number](x)
        x = x.detach().requires_grad_()
        terms = discrepancy(exact, x, layer)
        (gradient,) = torch.autograd.grad(sum(terms) / (len(terms) + len(before)), x)
        assert -found == pytest.approx(float(gradient.abs().sum()), rel=1e-4)
    assert np.ptp(found_N) > 0 and (found_N < 0).all()


def test_an_image_has_one_quality_in_any_batch_and_order():
    model, images = tiny_model(), faces(12)
    together = fm.measure_quality(model, images, "grafiqs")
    np.testing.assert_allclose(fm.measure_quality(model, images[::-1], "grafiqs")[::-1], together, rtol=1e-5)
    alone = [fm.measure_quality(model, image, "grafiqs")[0] for image in images]
    np.testing.assert_allclose(alone, together, rtol=1e-5)


@pytest.mark.parametrize("name", ["ir_18", "iresnet18", "mobilenet_v1", "mobilefacenet", "small_resnet"])
def test_our_networks_in_bf16_are_measured_in_float32(name):
    torch.manual_seed(0)
    backbone = fm.create_backbone(name, embedding_size=8, input_size=SIZE).eval()
    x = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradient_magnitudes(backbone, x)
    torch.testing.assert_close(found, gradient_magnitudes(backbone.double(), x.double()).float(), rtol=1e-3, atol=1e-5)


def test_the_network_is_left_as_it_was():
    module = small_network()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    module.train()
    model = model_of(module)  # puts it into evaluation mode
    module[2].train()
    with torch.inference_mode():
        fm.measure_quality(model, faces(3), "grafiqs")
    assert module[2].training and not module[5].training
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(layer._forward_hooks for layer in module)


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), "grafiqs", "has none: choose another measure"),
        (small_network, "grafiqs:place=module.33", "unknown module of wrapped Sequential 'module.33'; did you mean"),
        (small_network, "grafiqs:place=module.7", "no batch norm behind the place of the gradient"),
        (InAList, "grafiqs:place=module.parts", "a ModuleList without an output tensor of its own: choose another"),
    ],
)
def test_models_and_places_that_do_not_fit_are_refused(module, text, message):
    with pytest.raises(ConfigError, match=message):
        fm.measure_quality(model_of(module()), faces(1), text)
