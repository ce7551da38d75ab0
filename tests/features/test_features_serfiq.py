"""SER-FIQ: the equation again, with loops in float64, and what it depends on."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import facemargin as fm
from facemargin.errors import ConfigError
from facemargin.features.measures.repeated import RepeatedNetwork
from facemargin.features.measures.serfiq import stochastic_robustness
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer
from facemargin.randomness import Purpose, sample_generator
from tests.models.tiny_models import model_info, tiny_model

SIZE = 16


def faces(count=5, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8))


def network(*layers, seed=0):
    torch.manual_seed(seed)
    built = nn.Sequential(*layers).eval()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return built


def convolutions():
    return nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.PReLU(4)


def one_dropout(rate=0.4):
    return network(*convolutions(), nn.Flatten(), nn.Dropout(rate), nn.Linear(4 * 64, 6))


def model_of(module):
    return fm.wrap(module, input_size=SIZE)


def robustness_by_loops(features_MD):
    units = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in features_MD]
    distances = [
        math.sqrt(sum((a - b) ** 2 for a, b in zip(units[i], units[j], strict=True)))
        for i in range(len(units))
        for j in range(i + 1, len(units))
    ]
    return 2 / (1 + math.exp(sum(distances) / len(distances)))


def kept(seed, repetition, call, shape, rate):
    drawn = sample_generator(seed, repetition, call, Purpose.DROPOUT).random(shape, dtype="float32")
    return torch.from_numpy(drawn >= rate).double()


def test_the_equation_is_the_papers_of_all_pairs():
    features_MD = np.random.default_rng(1).normal(size=(12, 5))
    expected = robustness_by_loops(features_MD.tolist())
    assert float(stochastic_robustness(torch.from_numpy(features_MD))) == pytest.approx(expected, rel=1e-12)
    assert 0.23 < expected < 1
    equal = torch.ones(4, 3) * torch.tensor([[1.0], [2.0], [3.0], [0.5]])
    assert float(stochastic_robustness(equal)) == pytest.approx(1)  # lengths do not count
    opposite = torch.tensor([[1.0, 0], [-1.0, 0]])
    assert float(stochastic_robustness(opposite)) == pytest.approx(2 / (1 + math.exp(2)))


@pytest.mark.parametrize("rate", [None, 0.25])
def test_qualities_are_those_of_a_loop_over_passes(rate):
    module, images = one_dropout(), faces(3)
    text = "serfiq:passes=7:seed=3" + ("" if rate is None else f":dropout={rate}")
    found_N = fm.measure_quality(model_of(module), images, text)
    exact, p = module.double(), rate or 0.4
    for image, found in zip(images, found_N, strict=True):
        x = (torch.from_numpy(image).permute(2, 0, 1)[None].double() - 127.5) / 127.5
        flat = exact[3](exact[2](exact[1](exact[0](x))))[0]
        rows = []
        for repetition in range(7):
            dropped = flat * kept(3, repetition, 1, flat.shape, p) / (1 - p)
            rows.append(exact[5](dropped).tolist())
        assert found == pytest.approx(robustness_by_loops(rows), rel=1e-5)


def test_channels_are_dropped_whole_and_each_call_drops_anew():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.convolution, self.linear = nn.Dropout2d(0.5), nn.Conv2d(3, 3, 1), nn.Linear(3 * 256, 4)

        def forward(self, x):
            return self.linear(self.drop(self.convolution(self.drop(x))).flatten(1))

    module, image = Twice().eval(), faces(1)[0]
    found = fm.measure_quality(model_of(module), [image], "serfiq:passes=5")
    exact = module.double()
    x = (torch.from_numpy(image).permute(2, 0, 1).double() - 127.5) / 127.5
    rows = []
    for repetition in range(5):
        once = x * kept(0, repetition, 1, (3, 1, 1), 0.5) / 0.5
        twice = exact.convolution(once[None])[0] * kept(0, repetition, 2, (3, 1, 1), 0.5) / 0.5
        rows.append(exact.linear(twice.flatten()).tolist())
    assert found[0] == pytest.approx(robustness_by_loops(rows), rel=1e-5)


def test_an_image_has_one_quality_in_any_batch_and_order():
    model, images = model_of(one_dropout()), faces(9)
    together = fm.measure_quality(model, images, "serfiq:passes=20")
    backwards = fm.measure_quality(model, images[::-1], "serfiq:passes=20")[::-1]
    alone = np.concatenate([fm.measure_quality(model, [image], "serfiq:passes=20") for image in images])
    np.testing.assert_allclose(backwards, together, rtol=1e-5)
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    torch.manual_seed(99)  # the global generator has no part in it
    np.testing.assert_array_equal(fm.measure_quality(model, images, "serfiq:passes=20"), together)
    assert np.abs(fm.measure_quality(model, images, "serfiq:passes=20:seed=1") - together).max() > 1e-4
    assert np.ptp(together) > 1e-3


@pytest.mark.parametrize("name", ["ir_18", "iresnet18", "mobilenet_v1", "small_resnet"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_our_networks_run_once_up_to_their_dropout(name, wrapped):
    torch.manual_seed(0)
    backbone = fm.create_backbone(name, embedding_size=8, input_size=SIZE, dropout=0.4).eval()
    calls = []
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    used = fm.wrap(backbone, input_size=SIZE).backbone if wrapped else backbone
    repeated = RepeatedNetwork(used, passes=6, seed=0)
    first.register_forward_hook(lambda *_: calls.append(1))
    images_BCHW = torch.rand(3, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        split = torch.stack(list(repeated.features(images_BCHW)))
    assert repeated.splits and len(calls) == 1
    repeated._split = None
    with torch.no_grad():
        whole = torch.stack(list(repeated.features(images_BCHW)))
    assert len(calls) == 4 and split.shape == (3, 6, 8)
    torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-4)
    assert (whole.std(1) > 0).all()


def test_values_made_before_the_dropout_are_used_after_it():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.drop = nn.Conv2d(3, 3, 1), nn.Dropout(0.5)
            self.scale = nn.Parameter(torch.linspace(1, 2, 3))

        def forward(self, x):
            scale = self.scale.reshape(3, 1, 1) * 2
            made = self.convolution(x)
            return (self.drop(made) * scale + made + x).mean((2, 3))

    torch.manual_seed(0)
    backbone = model_of(Skips()).backbone
    images_BCHW = torch.rand(2, 3, SIZE, SIZE)
    repeated = RepeatedNetwork(backbone, passes=4, seed=0)
    assert repeated.splits
    with torch.no_grad():
        split = torch.stack(list(repeated.features(images_BCHW)))
        repeated._split = None
        torch.testing.assert_close(torch.stack(list(repeated.features(images_BCHW))), split)


class Batches(nn.Module):
    """A network in which the number of images, or something else, stands in the way of splitting it."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.drop, self.linear = kind, nn.Dropout(0.5), nn.Linear(3 * 256, 4)

    def forward(self, x):
        if self.kind == "branches" and x.sum() > 1e9:
            return x
        count = x.size(0) if self.kind == "size" else x.shape[0]
        return self.linear(self.drop(x).reshape(count, -1))


@pytest.mark.parametrize("kind", ["branches", "size", "shape"])
def test_a_network_that_cannot_be_split_runs_whole_and_that_is_said(kind, caplog):
    torch.manual_seed(0)
    module, images = Batches(kind), faces(2)
    found = fm.measure_quality(model_of(module), images, "serfiq:passes=40")
    assert "the whole network runs 40 times for each image" in caplog.text
    exact = module.double()
    for image, quality in zip(images, found, strict=True):
        x = (torch.from_numpy(image).permute(2, 0, 1).double() - 127.5) / 127.5
        rows = [exact.linear((x * kept(0, r, 1, x.shape, 0.5) / 0.5).flatten()).tolist() for r in range(40)]
        assert quality == pytest.approx(robustness_by_loops(rows), rel=1e-5)


def test_the_network_is_left_as_it_was():
    module = one_dropout()
    model, images = model_of(module), faces(2)
    before = model.embed(images).vectors
    module[4].train()
    fm.measure_quality(model, images, "serfiq:passes=3")
    assert module[4].training and not module[1].training and not module[4]._forward_hooks
    module.eval()
    np.testing.assert_array_equal(model.embed(images).vectors, before)
    x = torch.rand(2, 3, SIZE, SIZE)
    torch.testing.assert_close(F.normalize(module(x)), F.normalize(module(x)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (lambda: model_of(network(nn.Flatten(), nn.Linear(768, 4))), "serfiq", "has no module for it: choose another"),
        (tiny_model, "serfiq", "the probability of every dropout of small_resnet is 0: .*serfiq:dropout=0.4"),
        (tiny_model, "serfiq:dropout=1", "dropout is 1.0, expected a number between 0 and 1"),
        (tiny_model, "serfiq:dropout=0.5:passes=1", "passes is 1, expected at least 2"),
        (tiny_model, "serfiq:dropout=0.5:seed=-1", "seed is -1, expected a whole number from 0 on"),
    ],
)
def test_models_and_settings_that_do_not_fit_are_refused(model, text, message):
    with pytest.raises(ConfigError, match=message):
        fm.measure_quality(model(), faces(1), text)


def test_a_rate_can_be_given_to_a_network_whose_file_has_none(caplog):
    torch.manual_seed(0)
    info = model_info()
    model = Model(Recognizer(fm.create_backbone("small_resnet", 8, **info.options)), info)
    found = fm.measure_quality(model, faces(3), "serfiq:dropout=0.5:passes=10")
    assert np.ptp(found) > 0 and (found < 0.95).all()
    assert "takes the given dropout of 0.5 in place of that of small_resnet, which is 0: its qualit" in caplog.text


def test_only_a_rate_that_replaces_another_is_warned_of(caplog):
    model, images = model_of(network(*convolutions(), nn.Dropout2d(0.1), nn.Flatten(), nn.Dropout(0.4))), faces(2)
    fm.measure_quality(model, images, "serfiq:passes=2")
    assert not caplog.records
    fm.measure_quality(model, images, "serfiq:passes=2:dropout=0.4")
    assert "which is 0.1 and 0.4: its qualities hold only if" in caplog.text
    caplog.clear()
    fm.measure_quality(model_of(one_dropout(0.4)), images, "serfiq:passes=2:dropout=0.4")
    assert not caplog.records
