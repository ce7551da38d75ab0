"""The reference is the network as it is, in float64."""

import copy

import pytest
import torch
from torch import nn

from facemargin.backbones import Backbone, create_backbone
from facemargin.backbones.ir import ResidualUnit
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.models.folding import FoldedBackbone, fold_batch_norms
from facemargin.models.input import read_pixels

NORMS = nn.BatchNorm1d | nn.BatchNorm2d


def norms_in(network):
    return sum(isinstance(module, NORMS) for module in network.modules())


def trained(network, images):
    """With weights and biases of norms, and statistics of these images, as a training would leave them."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, NORMS):
            module.momentum = 1.0
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 1.0)
                nn.init.normal_(module.bias, 0, 0.1)
    network.train()(images)
    return network


def with_random_norms(network):
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, NORMS) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 1.0)
                nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def relative_error(found, expected):
    return float((found.double() - expected).abs().max() / expected.abs().max())


# Backbone, its options, the norms that cannot be folded: those before a padded convolution, one a unit.
CASES = [
    ("ir_18", {}, 8),
    ("ir_se_18", {}, 8),
    ("iresnet18", {"batch_norm_eps": 2e-5}, 8),
    ("mobilefacenet", {}, 0),
    ("small_resnet", {}, 0),
]


@pytest.mark.parametrize(("name", "options", "norms_left"), CASES)
@torch.no_grad()
def test_features_of_faces_stay_what_they_were(name, options, norms_left):
    torch.manual_seed(0)
    images_BCHW = (read_pixels(EmbeddedFaces([1, 2]), 32, range(12)).float() - 127.5) / 127.5
    backbone = trained(create_backbone(name, 16, input_size=32, **options), images_BCHW)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    folded = FoldedBackbone(backbone)
    assert norms_in(folded) == norms_left < norms_in(backbone)
    assert backbone.training and not folded.training
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    expected_BD = copy.deepcopy(backbone).eval().double()(images_BCHW.double())
    assert relative_error(folded(images_BCHW), expected_BD) < 1e-5
    # The features tell faces apart: a network whose output is its bias would agree, too.
    assert expected_BD.std(dim=0).min() > 0.01 * expected_BD.abs().max()
    assert relative_error(FoldedBackbone(backbone.double())(images_BCHW.double()), expected_BD) < 1e-12


def folded_and_expected(network, size=(2, 4, 5, 5)):
    network = with_random_norms(network).double()
    folded = fold_batch_norms(network)
    x = torch.randn(size, dtype=torch.float64)
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-12)
    return norms_in(folded)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(4, 6, 3, 2, padding=1, bias=False), nn.BatchNorm2d(6)),
        nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6, affine=False, eps=0.1)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6)),
        ResidualUnit(4, 16, stride=2, eps=1e-5, bottleneck=True, squeeze_excitation=True),
        nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(100, 3), nn.BatchNorm1d(3)),
    ],
)
@torch.no_grad()
def test_norms_beside_a_linear_map_are_folded(network):
    assert folded_and_expected(network) == 0


class Twice(nn.Module):
    """The convolution is called with and without the norm, on its own output."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.convolution(self.norm(self.convolution(x)))


class ReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.convolution(x)
        return y + self.norm(y)


class NormReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.norm(x)
        return y + self.convolution(y)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, groups=2)),
        nn.Sequential(nn.BatchNorm2d(4), nn.PReLU(), nn.Conv2d(4, 4, 1)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Flatten(2), nn.Linear(25, 3)),
        nn.Sequential(nn.PReLU(), nn.BatchNorm2d(4)),
        Twice(),
        ReadTwice(),
        NormReadTwice(),
    ],
)
@torch.no_grad()
def test_norms_that_cannot_be_folded_stay(network):
    assert folded_and_expected(network) == 1


class Branching(Backbone):
    """What torch.fx cannot follow: it looks at the values."""

    def __init__(self):
        super().__init__(embedding_size=3, input_size=16)
        self.norm, self.linear = nn.BatchNorm2d(3), nn.Linear(3 * 256, 3)

    def feature_map(self, images_BCHW):
        return self.norm(images_BCHW) if images_BCHW.mean() > 0 else images_BCHW

    def embed(self, map_BCHW):
        return self.linear(map_BCHW.flatten(1))


@torch.no_grad()
def test_a_network_that_cannot_be_followed_works_unfolded():
    backbone = with_random_norms(Branching())
    folded = FoldedBackbone(backbone)
    for sign in (-1, 1):
        images_BCHW = sign * torch.rand(2, 3, 16, 16)
        torch.testing.assert_close(folded(images_BCHW), backbone(images_BCHW))
    backbone.linear.weight.zero_()
    assert folded.output.backbone.linear.weight.abs().min() > 0  # a copy


@torch.no_grad()
def test_batches_of_all_sizes_are_the_same():
    backbone = with_random_norms(create_backbone("small_resnet", 8, input_size=16, width=4))
    folded, images_BCHW = FoldedBackbone(backbone), torch.randn(11, 3, 16, 16)
    together_BD = folded(images_BCHW)
    one_by_one_BD = torch.cat([folded(image[None]) for image in images_BCHW])
    torch.testing.assert_close(together_BD, one_by_one_BD, rtol=1e-5, atol=1e-6)
    assert folded(images_BCHW[:0]).shape == (0, 8)
