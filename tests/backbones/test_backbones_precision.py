"""Memory formats, autocast and compilation leave the features what they are."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return nn.functional.cosine_similarity(first.double().flatten(), second.double().flatten(), dim=0).item()


def test_channels_last_gives_the_same_features_and_gradients(family, make_backbone, make_images):
    images_BCHW = make_images(4)
    plain, last = make_backbone(family, seed=2), make_backbone(family, seed=2)
    last = last.to(memory_format=torch.channels_last)
    features_BD = plain.eval()(images_BCHW)
    features_last_BD = last.eval()(images_BCHW.to(memory_format=torch.channels_last))
    torch.testing.assert_close(features_last_BD, features_BD, rtol=1e-4, atol=1e-5)
    features_BD.square().sum().backward()
    features_last_BD.square().sum().backward()
    for (name, parameter), other in zip(plain.named_parameters(), last.parameters(), strict=True):
        if parameter.requires_grad:
            assert cosine(parameter.grad, other.grad) > 0.9999, name


def test_the_feature_map_stays_channels_last(family, make_backbone, make_images):
    backbone = make_backbone(family).to(memory_format=torch.channels_last).train()
    map_BCHW = backbone.feature_map(make_images(3).to(memory_format=torch.channels_last))
    assert map_BCHW.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_trains_channels_last(family, dtype, make_backbone, make_images):
    backbone = make_backbone(family).to(memory_format=torch.channels_last).train()
    images_BCHW = make_images(4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype):
        features_BD = backbone(images_BCHW)
    assert features_BD.dtype is torch.float32
    assert bool(features_BD.isfinite().all())
    features_BD.square().mean().backward()
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert bool(parameter.grad.isfinite().all()), name


def test_bf16_features_stay_close_to_float32(family, make_backbone, make_images):
    backbone, images_BCHW = make_backbone(family).eval(), make_images(8)
    with torch.no_grad():
        features_BD = backbone(images_BCHW)
        with torch.autocast("cpu", torch.bfloat16):
            rounded_BD = backbone(images_BCHW)
    assert cosine(features_BD, rounded_BD) > 0.999
    assert not torch.equal(features_BD, rounded_BD)


def test_convolutions_follow_autocast_and_the_embedding_does_not(family, make_backbone, make_images):
    backbone = make_backbone(family)
    output_dtypes: dict[type, set[torch.dtype]] = {}
    for module in backbone.modules():
        module.register_forward_hook(
            lambda module, _, output: output_dtypes.setdefault(type(module), set()).add(output.dtype)
        )
    with torch.autocast("cpu", torch.bfloat16):
        backbone(make_images(3))
    assert torch.bfloat16 in output_dtypes[nn.Conv2d]
    assert output_dtypes[nn.Linear] == {torch.float32}
    assert output_dtypes[nn.BatchNorm1d] == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_converted_network_computes_in_its_own_type(family, dtype, make_backbone, make_images):
    backbone = make_backbone(family).to(dtype).eval()
    with torch.no_grad():
        assert backbone(make_images(2).to(dtype)).dtype is dtype


def test_the_small_network_trains_as_one_graph(make_backbone, make_images):
    plain, compiled = make_backbone("small_resnet", width=8), make_backbone("small_resnet", width=8)
    graph = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for network in (plain, graph):
        with torch.autocast("cpu", torch.bfloat16):
            features_BD = network(make_images(4))
        assert features_BD.dtype is torch.float32
        features_BD.sigmoid().sum().backward()
    for (name, parameter), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        assert cosine(parameter.grad, other.grad) > 0.99, name


# The layers of the small network, each once, which as a whole would take a compiler three times as long.
COMPILES = """
import faulthandler, torch
from torch import nn
from facemargin.backbones import create_backbone
faulthandler.enable()
torch.manual_seed(0)
small = create_backbone("small_resnet", width=8)
network = nn.Sequential(small.stem, small.stage2, nn.Flatten(), nn.Linear(256, 16), nn.BatchNorm1d(16))
images_BCHW = torch.rand(8, 3, 16, 16) * 2 - 1
network.train()(images_BCHW)  # norms that do something
compiled = torch.compile(network.eval(), fullgraph=True)
with torch.no_grad():
    torch.testing.assert_close(compiled(images_BCHW), network(images_BCHW), rtol=1e-4, atol=1e-5)
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler for the CPU")
@pytest.mark.long
def test_the_small_networks_layers_compile_to_machine_code(tmp_path):
    """In a process of its own, which nothing else has touched and whose end says where it came from."""
    own = {"TMPDIR": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    own |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1"}
    own |= {"TORCHINDUCTOR_VEC_ISA_OK": "1"}  # without trying each of the processor's vectors, for 15 seconds
    done = subprocess.run(
        [sys.executable, "-c", COMPILES], env={**os.environ, **own}, capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stdout) == (0, "compiled\n"), done.stderr
    assert list((tmp_path / "cache").rglob("*.so")), "nothing was compiled"
