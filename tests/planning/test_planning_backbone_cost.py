"""The cost of a backbone against real networks: parameters, activations of another batch size, operations."""

import pytest
import torch
from torch import nn

from facemargin.backbones import create_backbone, describe_backbone
from facemargin.errors import ConfigError
from facemargin.planning.backbone_cost import measure_backbone

AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def kept_bytes(backbone, batch, autocast):
    """What a real forward pass saves, each storage once, and the images; parameters and buffers are not counted."""
    own = {tensor.data_ptr() for tensor in [*backbone.parameters(), *backbone.buffers()]}
    images = torch.rand(batch, 3, backbone.input_size, backbone.input_size)
    kept = {images.data_ptr(): images.untyped_storage().nbytes()}
    alive = []

    def pack(tensor):
        alive.append(tensor)
        start = tensor.untyped_storage().data_ptr()
        if start not in own:
            kept[start] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
    ):
        backbone(images)
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "precision"), [*(("small_resnet", precision) for precision in AUTOCAST), ("mobilefacenet", "bf16")]
)
def test_activations_are_those_of_a_real_forward_pass_of_another_size(name, precision):
    cost = measure_backbone(name, 64, precision)
    backbone = create_backbone(name, 64).train()
    channels = sum(m.num_features for m in backbone.modules() if isinstance(m, nn.BatchNorm2d))
    for batch in (3, 7):
        measured = kept_bytes(backbone, batch, AUTOCAST[precision])
        # A batch norm over 16 bits keeps a channel's mean and deviation in float32, where the plan has them in 16 bits.
        unknown = 0 if precision == "float32" else 2 * 2 * channels
        assert 0 <= measured - cost.activations(batch) <= unknown


@pytest.mark.parametrize("name", ["ir_18", "ir_se_18", "iresnet18"])
def test_activations_of_the_large_families(name):
    measured = kept_bytes(create_backbone(name).train(), 3, torch.bfloat16)
    assert measure_backbone(name, 512, "bf16").activations(3) == pytest.approx(measured, rel=1e-3)


def test_the_fixed_part_is_the_weights_in_16_bits():
    backbone = create_backbone("small_resnet", 64)
    convolutions = sum(m.weight.numel() for m in backbone.modules() if isinstance(m, nn.Conv2d))
    assert convolutions > 100_000
    fixed = measure_backbone("small_resnet", 64, "bf16").fixed_bytes
    # PReLUs' weights are rounded, too; batch norms keep two values a channel.
    assert 2 * convolutions <= fixed <= 2 * convolutions * 1.02
    # The last linear layer and its batch norm stay in float32: nothing of them is rounded.
    assert measure_backbone("small_resnet", 128, "bf16").fixed_bytes - fixed == 2 * 64 * 4


@pytest.mark.parametrize("name", ["small_resnet", "iresnet18"])
def test_parameters_and_buffers_are_those_of_the_network(name):
    cost, backbone = measure_backbone(name, 32), create_backbone(name, 32)
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    assert cost.parameters == sum(parameter.numel() for parameter in backbone.parameters())
    assert (cost.trained, cost.trained_tensors) == (sum(p.numel() for p in trained), len(trained))
    assert cost.buffers == sum(b.numel() for b in backbone.buffers() if b.dtype == torch.float32)
    # InsightFace freezes the last batch norm's weight.
    assert cost.parameters - cost.trained == (32 if name == "iresnet18" else 0)


def test_a_training_pass_is_three_forward_passes_but_for_the_first_convolution():
    cost = measure_backbone("small_resnet", 64, "float32")
    forward = sum(operation.flops for operation in cost.forward)
    assert forward == 2 * describe_backbone("small_resnet", 64).multiply_adds
    stem = 2 * 3 * 3 * 3 * 32 * 32 * 32  # 3×3 pixels, 3 → 32 channels, 32×32 places; images need no gradient
    assert cost.flops == 3 * forward - stem


def test_the_traffic_of_one_operation_is_its_tensors():
    cost = measure_backbone("small_resnet", 64, "float32")
    # The first convolution reads images and weights and writes 32 maps.
    convolution = next(operation for operation in cost.forward if operation.flops)
    assert convolution.bytes == 4 * (3 * 64 * 64 + 32 * 32 * 32)
    assert convolution.fixed_bytes == 4 * 32 * 3 * 9
    assert convolution.flops == 2 * 27 * 32 * 32 * 32
    assert not convolution.half
    assert next(o for o in measure_backbone("small_resnet", 64, "bf16").forward if o.flops).half


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(ConfigError, match="ir_101"):
        measure_backbone("ir_10")
