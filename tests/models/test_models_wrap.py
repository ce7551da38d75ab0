"""Networks that people bring: what they read, and what is said of one that does something else than a recogniser."""

import logging
import threading

import numpy as np
import pytest
import torch
from torch import nn

import facemargin as fm
from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.features.store import features_key
from facemargin.models.folding import FoldedBackbone
from facemargin.models.wrapped_backbone import WrappedBackbone

RANDOM = np.random.default_rng(0)
IMAGES = [RANDOM.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(5)]
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)


class Network(nn.Module):
    """A convolution, a batch norm whose statistics matter, dropout, a linear layer; `end` turns the map into rows."""

    def __init__(self, height=16, width=16, end=lambda map_BCHW: map_BCHW.flatten(1)):
        super().__init__()
        torch.manual_seed(1)
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.dropout, self.linear, self.end = nn.Dropout(0.5), nn.Linear(4 * height * width, 8), end

    def forward(self, images):
        return self.linear(self.dropout(self.end(self.norm(self.convolution(images)))))


def features(model, images=IMAGES, views="one"):
    found = model.embed(images, views=views)
    return found.vectors * found.norms[:, None]


def by_hand(module, images=IMAGES, top=0, left=0, height=16, width=16, order=(0, 1, 2), mean=MEAN, std=STD):
    """Pixel by pixel, in float64, through a copy of the module in float64."""
    inputs = np.zeros((len(images), 3, height, width))
    for number, image in enumerate(images):
        for channel in range(3):
            for row in range(height):
                for column in range(width):
                    pixel = float(image[top + row, left + column, order[channel]])
                    inputs[number, channel, row, column] = (pixel - mean[channel]) / std[channel]
    dtype = next(module.parameters()).dtype
    with torch.no_grad():
        found = module.double().eval()(torch.from_numpy(inputs)).numpy()
    module.to(dtype)
    return found


@pytest.mark.parametrize(("color", "order"), [("rgb", (0, 1, 2)), ("bgr", (2, 1, 0))])
def test_three_numbers_belong_to_the_channels_of_the_network(color, order):
    module = Network()
    model = fm.wrap(module, 16, color, MEAN, STD)
    np.testing.assert_allclose(features(model), by_hand(module, order=order), atol=2e-5)
    assert (model.info.mean, model.info.std) == (MEAN, STD)


@pytest.mark.parametrize("size", [(16, 16), [16, 16]])
def test_a_pair_of_equal_sides_is_a_square(size):
    module = Network()
    np.testing.assert_allclose(features(fm.wrap(module, size, mean=MEAN, std=STD)), by_hand(module), atol=2e-5)


LARGE = [RANDOM.integers(0, 256, (24, 24, 3)).astype(np.uint8) for _ in range(3)]


@pytest.mark.parametrize(
    ("size", "box"),
    [((24, 18), {"left": 3}), ((18, 24), {"top": 3}), ((24, 17), {"left": 3})],
)
def test_the_middle_of_the_aligned_face_is_read(size, box):
    module = Network(*size)
    model = fm.wrap(module, size, mean=MEAN, std=STD)
    assert model.info.input_size == 24
    expected = by_hand(module, LARGE, height=size[0], width=size[1], **box)
    np.testing.assert_allclose(features(model, LARGE), expected, atol=2e-5)
    mirrored = by_hand(module, [image[:, ::-1] for image in LARGE], height=size[0], width=size[1], **box)
    np.testing.assert_allclose(features(model, LARGE, "flip"), (expected + mirrored) / 2, atol=2e-5)


@pytest.mark.parametrize("preprocess", [False, True])
def test_cutting_and_scaling_are_in_an_exported_file(preprocess, tmp_path):
    from facemargin.export.exported_model import ExportedModel

    module = Network(24, 18)
    model = fm.wrap(module, (24, 18), "bgr", MEAN, STD, views="one")
    path = tmp_path / "model.onnx"
    fm.export_onnx(model, path, preprocess=preprocess, check=LARGE)
    file = ExportedModel(path)
    assert (file.info.mean, file.info.std) == (MEAN, STD)
    assert preprocess or "BGR, aligned faces, (pixel - (120, 110, 100)) / (60, 50, 40) of 0" in file.metadata["input"]
    expected = by_hand(module, LARGE, left=3, height=24, width=18, order=(2, 1, 0))
    found = file.embed(LARGE)
    np.testing.assert_allclose(found.vectors * found.norms[:, None], expected, atol=1e-4)


def test_other_numbers_are_another_model():
    module = Network()
    prints = [
        fingerprint(fm.wrap(module, 16, color, mean, STD))
        for color, mean in (("rgb", MEAN), ("bgr", MEAN), ("rgb", MEAN[::-1]), ("rgb", 110))
    ]
    for number, one in enumerate(prints):
        for other in prints[number + 1 :]:
            assert not is_same_model(one, other)
    images = fm.open_images("orl:1")
    keys = {features_key(fm.wrap(module, 16, mean=mean), images) for mean in (MEAN, MEAN[::-1], 110)}
    assert len(keys) == 3


# What the author's code does in its own way


class Viewing(Network):
    """`view` refuses maps with colours last in memory."""

    def __init__(self):
        super().__init__(end=lambda map_BCHW: map_BCHW.view(map_BCHW.size(0), -1))


class Branching(Network):
    """Tracing would follow one of its ways."""

    def forward(self, images):
        rows = super().forward(images)
        return rows if isinstance(images, torch.Tensor) else rows * 2


class InPlace(Network):
    def forward(self, images):
        images.mul_(2).sub_(1)
        return super().forward(images)


class OneByOne(Network):
    def forward(self, images):
        return super().forward(images)[:, :, None, None]


@pytest.mark.parametrize("kind", [Network, Viewing, Branching, InPlace, OneByOne])
@pytest.mark.parametrize("views", ["one", "flip", "multi"])
def test_the_features_are_those_of_the_authors_program(kind, views):
    module = kind().eval()
    model = fm.wrap(module, 16, mean=MEAN, std=STD)
    found = features(model, views=views)
    pixels = torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2).contiguous().float()
    inputs = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        rows = [module(view.clone()).flatten(1) for view in fm.models.image_views(inputs, views)]
    np.testing.assert_allclose(found, torch.stack(rows).mean(0).numpy(), atol=2e-5)


def test_what_computes_alike_is_folded_and_what_does_not_is_left_as_it_is():
    kinds = {}
    for kind in (Network, Viewing, Branching):
        model = fm.wrap(kind(), 16)
        kinds[kind] = type(model._fast.current().backbone)
    assert kinds == {Network: FoldedBackbone, Viewing: WrappedBackbone, Branching: WrappedBackbone}


@pytest.mark.parametrize("kind", [Network, Viewing])
def test_a_network_that_is_being_trained_is_embedded_in_evaluation_mode(kind):
    module = kind()
    model = fm.wrap(module, 16, mean=MEAN, std=STD)
    assert not module.training
    before = features(model)
    module.train()
    np.testing.assert_array_equal(features(model), before)
    assert module.training and int(module.norm.num_batches_tracked) == 0
    with torch.no_grad():
        module.linear.weight.mul_(2)
    assert not np.allclose(features(model), before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.02), (torch.bfloat16, 0.1), (torch.float64, 1e-5)])
def test_a_network_computes_in_the_type_of_its_weights(dtype, tolerance):
    expected = features(fm.wrap(Network(), 16, mean=MEAN, std=STD))
    model = fm.wrap(Network().to(dtype), 16, mean=MEAN, std=STD)
    found = features(model)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    assert len(features_key(model, fm.open_images("orl:1"))) == 64
    assert model.where() == f"cpu, {str(dtype).removeprefix('torch.')}"


def test_a_scripted_network_is_one_too():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(3 * 16 * 16, 8)

        def forward(self, images):
            return self.linear(images.flatten(1))

    module = Plain()
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.trace(module.eval(), torch.zeros(2, 3, 16, 16), check_trace=False)
    np.testing.assert_allclose(features(fm.wrap(scripted, 16)), features(fm.wrap(module, 16)), atol=1e-5)


def test_colours_last_are_an_authors_own_line():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(16 * 16 * 3, 8)

        def forward(self, images):
            return self.linear(images.permute(0, 2, 3, 1).reshape(len(images), -1))

    assert features(fm.wrap(Last(), 16)).shape == (5, 8)


def test_the_views_are_the_models_default():
    model = fm.wrap(Network(), 16, mean=MEAN, std=STD, views="one")
    np.testing.assert_array_equal(model.embed(IMAGES).vectors, model.embed(IMAGES, views="one").vectors)
    assert not np.allclose(model.embed(IMAGES).vectors, model.embed(IMAGES, views="flip").vectors, atol=1e-3)


def test_it_stays_where_its_weights_are():
    from facemargin.models.wrapped_backbone import device_of, type_of

    assert fm.wrap(Network(), 16).device == torch.device("cpu")
    assert device_of(Network().to("meta")).type == "meta"
    assert (device_of(nn.Flatten()).type, type_of(nn.Flatten())) == ("cpu", torch.float32)


# What is no recogniser


class Gives(nn.Module):
    """Gives what a function makes of two rows of features."""

    def __init__(self, change, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.change = nn.Linear(3 * 16 * 16, 8), change
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, images):
        return self.change(self.linear(images.flatten(1)))


def unsteady_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.BatchNorm1d(8, track_running_stats=False))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            lambda: Gives(lambda rows: (rows, rows.norm(dim=1))),
            "gives a tuple of 2, expected one tensor .*features alone",
        ),
        (lambda: Gives(lambda rows: {"out": rows, "norm": 1}), "gives a dict of 'out', 'norm'"),
        (lambda: Gives(lambda rows: None), "gives nothing"),
        (lambda: Gives(lambda rows: rows.numpy()), "gives a ndarray"),
        (lambda: Gives(lambda rows: rows.argmax(1)), r"gives \(2,\) torch.int64 for two images"),
        (lambda: Gives(lambda rows: rows[:, None]), r"gives \(2, 1, 8\) for two images.*flatten"),
        (lambda: Gives(lambda rows: rows[:1]), r"gives \(1, 8\) for two images"),
        (lambda: Gives(lambda rows: rows.squeeze(0)), r"gives \(8,\) for one image.*squeeze"),
        (lambda: Gives(lambda rows: rows[:, : 4 * len(rows)]), "an image alone than beside another"),
        (lambda: Gives(lambda rows: rows - rows.mean(0)), "an image alone than beside another.*batch norm"),
        (unsteady_norm, "an image alone than beside another|does not take"),
        (lambda: Gives(lambda rows: rows.view(8, 8)), "does not take images of shape.*fixed number of them"),
        (lambda: Gives(lambda rows: rows / 0), "not finite"),
        (lambda: Gives(lambda rows: nn.functional.dropout(rows)), "other features for the same images again.*dropout"),
        (lambda: nn.Conv2d(16, 4, 3), r"does not take images of shape \(2, 3, 16, 16\).*colours last"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8)),
            r"input_size, one number or \(height, width\)",
        ),
        (lambda: Gives(lambda rows: rows, lock=threading.Lock()), "cannot be copied"),
        (lambda: Gives(lambda rows: rows).to("meta"), "meta device"),
    ],
)
def test_what_does_something_else_is_told_so(module, message):
    with pytest.raises(fm.ConfigError, match=message):
        fm.wrap(module(), 16)


def test_features_of_length_1_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        fm.wrap(Gives(lambda rows: rows), 16)
        assert not caplog.text
        fm.wrap(Gives(lambda rows: nn.functional.normalize(rows)), 16)
    assert "all have length 1, so their norm says nothing of an image's quality" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": (16,)}, "expected 16 to 1024 pixels, or two such numbers"),
        ({"input_size": (16, 16, 3)}, "or two such numbers"),
        ({"input_size": (16, 8)}, "or two such numbers"),
        ({"input_size": "16"}, "input_size is '16'"),
        ({"input_size": (16, 2000)}, "or two such numbers"),
        ({"mean": (1, 2)}, "expected a number, or three"),
        ({"std": (1, 0, 2)}, "expected positive ones"),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, "multiply both by 255"),
        ({"views": "both"}, "views is 'both'"),
    ],
)
def test_settings_that_no_network_has(arguments, message):
    with pytest.raises(fm.FacemarginError, match=message):
        fm.wrap(**{"module": Network(), "input_size": 16, **arguments})
