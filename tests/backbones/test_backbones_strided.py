"""No network reaches the convolution whose backward pass oneDNN computes outside its memory (see strided.py)."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from facemargin.backbones import backbone_options, create_backbone, list_backbones
from facemargin.backbones.strided import strided_pointwise
from facemargin.models.folding import FoldedBackbone
from facemargin.reconstruction.networks import autoencoder


class Convolutions(TorchDispatchMode):
    """Notes the (weight shape, stride, groups) of every convolution that is computed."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.convolution.default:
            self.seen.append((tuple(args[1].shape), tuple(args[3]), args[8]))
        return function(*args, **(kwargs or {}))


def corrupting(network, images_BCHW):
    """Those convolutions of a forward pass that oneDNN's backward pass may compute outside its memory."""
    with Convolutions() as convolutions, torch.no_grad():
        network(images_BCHW)
    assert convolutions.seen
    return [
        (shape, stride, groups)
        for shape, stride, groups in convolutions.seen
        if shape[2:] == (1, 1) and max(stride) > 1 and shape[1] < 8
    ]


OPTIONS = {
    "width": range(1, 18),
    "blocks": [(2, 1, 3, 1)],
    "input_size": [17],
    "dropout": [0.5],
    "drop_channels": [True],
    "train_features_weight": [True],
    "batch_norm_eps": [1e-3],
}


def variants(name):
    """Images of 5 channels and every option of the backbone: together, for a large network takes a second; those of
    the small one by themselves, too."""
    yield {"in_channels": 5} | {option: OPTIONS[option][0] for option in backbone_options(name)}
    if name == "small_resnet":
        for option in backbone_options(name):
            yield from ({option: value} for value in OPTIONS[option])


@pytest.mark.parametrize("name", list_backbones())
def test_no_registered_network_reaches_it_whatever_its_options(name):
    for options in variants(name):
        with torch.device("meta"):
            backbone = create_backbone(name, 8, **options)
            images_BCHW = torch.empty(2, backbone.in_channels, backbone.input_size, backbone.input_size)
            assert corrupting(backbone.feature_map, images_BCHW) == [], options


@pytest.mark.parametrize("width", range(1, 9))
def test_nor_does_a_folded_network(width):
    backbone = FoldedBackbone(create_backbone("small_resnet", 8, width=width, input_size=16))
    assert corrupting(backbone, torch.zeros(2, 3, 16, 16)) == []


def test_nor_does_a_reconstruction():
    assert corrupting(autoencoder(16, 4, 8, 1), torch.zeros(2, 3, 16, 16)) == []


def test_the_check_sees_such_a_convolution():
    assert corrupting(nn.Conv2d(4, 8, 1, 2), torch.zeros(2, 4, 8, 8)) == [((8, 4, 1, 1), (2, 2), 1)]


@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("in_channels", [1, 2, 7, 8])
def test_it_is_the_convolution_that_torch_computes(in_channels, stride, size):
    convolution = strided_pointwise(in_channels, 5, stride).double()
    reference = nn.Conv2d(in_channels, 5, 1, stride, bias=False).double()
    reference.load_state_dict(convolution.state_dict())
    images_BCHW = torch.randn(3, in_channels, size, size, dtype=torch.float64, requires_grad=True)
    found, expected = convolution(images_BCHW), reference(images_BCHW)
    gradient = torch.randn_like(expected)
    found_gradients = torch.autograd.grad(found, (images_BCHW, convolution.weight), gradient)
    expected_gradients = torch.autograd.grad(expected, (images_BCHW, reference.weight), gradient)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_gradients, expected_gradients)


def test_wide_networks_are_computed_as_ever():
    network = create_backbone("small_resnet", 8, width=8, input_size=16)
    assert {type(module) for module in network.modules() if isinstance(module, nn.Conv2d)} == {nn.Conv2d}


TRAINS = """
import sys, torch
from facemargin.backbones import create_backbone
for width in map(int, sys.argv[1:]):
    torch.manual_seed(0)
    network = create_backbone("small_resnet", 16, input_size=32, width=width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(5):
        images = torch.randn(20, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        network(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    print("trained", width)
"""


def trains_where_there_is_avx2_alone(code, *arguments):
    """What a process of its own says there; where glibc can check its heap, it does."""
    environment = {
        **os.environ,
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "OMP_NUM_THREADS": "1",
        "LD_PRELOAD": "libc_malloc_debug.so.0",
        "MALLOC_CHECK_": "3",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_narrow_networks_train_where_the_processor_has_avx2_alone():
    done = trains_where_there_is_avx2_alone(TRAINS, "2", "4", "7")
    assert (done.returncode, done.stdout) == (0, "trained 2\ntrained 4\ntrained 7\n"), done.stderr
