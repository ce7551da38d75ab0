"""Sizes against published and recomputed counts, and the names and shapes of the state dicts."""

import pytest
import torch

from facemargin.backbones import IR, IResNet, create_backbone, describe_backbone

# Millions of parameters, billions of multiply-adds at 112 pixels, as the authors' papers and repositories give them.
PUBLISHED = {
    "ir_18": (24.0, 2.6),
    "ir_34": (34.1, 4.4),
    "ir_50": (43.6, 6.3),
    "ir_101": (65.2, 12.1),
    "ir_se_50": (43.8, 6.3),
    "iresnet18": (24.0, 2.6),
    "iresnet34": (34.1, 4.5),
    "iresnet50": (43.6, 6.3),
    "iresnet100": (65.2, 12.1),
    "iresnet200": (118.8, 23.4),
    "mobilefacenet": (2.06, 0.44),
}

UNITS = {
    "18": (2, 2, 2, 2),
    "34": (3, 4, 6, 3),
    "50": (3, 4, 14, 3),
    "100": (3, 13, 30, 3),
    "101": (3, 13, 30, 3),
    "152": (3, 8, 36, 3),
    "200": (3, 24, 36, 3),
}


def shapes(name: str, **options) -> dict[str, tuple[int, ...]]:
    """State-dict key → shape, without allocating the network."""
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in create_backbone(name, **options).state_dict().items()}


def counted_ir_parameters(depth: str, squeeze_excitation: bool) -> int:
    """Layer by layer: 9 or 1 weights per channel pair, 2 per batch-normed channel, 1 per PReLU channel."""
    bottleneck = depth in ("152", "200")
    total, in_channels = 3 * 64 * 9 + 3 * 64, 64
    for stage, units in enumerate(UNITS[depth]):
        channels = 64 * 2**stage * (4 if bottleneck else 1)
        for _ in range(units):
            if bottleneck:
                inner = channels // 4
                total += 2 * in_channels + in_channels * inner + 3 * inner
                total += 9 * inner * inner + 3 * inner + inner * channels + 2 * channels
            else:
                total += 2 * in_channels + 9 * in_channels * channels + 3 * channels
                total += 9 * channels * channels + 2 * channels
            if in_channels != channels:
                total += in_channels * channels + 2 * channels
            if squeeze_excitation:
                total += 2 * channels * (channels // 16)
            in_channels = channels
    return total + 2 * in_channels + in_channels * 49 * 512 + 512


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_and_cost_are_the_published_ones(name):
    info = describe_backbone(name)
    millions, billions = PUBLISHED[name]
    assert info.parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert info.multiply_adds / 1e9 == pytest.approx(billions, abs=0.05)


@pytest.mark.parametrize("depth", UNITS)
@pytest.mark.parametrize("family", ["ir", "ir_se"])
def test_ir_parameters_are_those_of_the_table(family, depth):
    assert describe_backbone(f"{family}_{depth}").parameters == counted_ir_parameters(depth, family == "ir_se")


def test_ir_100_is_another_name_of_ir_101():
    assert shapes("ir_100") == shapes("ir_101")


def test_squeeze_excitation_adds_only_its_own_keys():
    plain, gated = shapes("ir_50"), shapes("ir_se_50")
    added = set(gated) - set(plain)
    assert set(plain) <= set(gated)
    units = range(3 + 4 + 14 + 3)
    assert added == {f"body.{unit}.res_layer.se_block.{layer}.weight" for unit in units for layer in ("fc1", "fc2")}
    assert gated["body.0.res_layer.se_block.fc1.weight"] == (4, 64, 1, 1)
    assert gated["body.23.res_layer.se_block.fc2.weight"] == (512, 32, 1, 1)


def test_ir_152_units_are_bottlenecks():
    keys = shapes("ir_152")
    assert keys["body.0.shortcut_layer.0.weight"] == (256, 64, 1, 1)
    assert keys["body.0.res_layer.1.weight"] == (64, 64, 1, 1)
    assert keys["body.0.res_layer.4.weight"] == (64, 64, 3, 3)
    assert keys["body.0.res_layer.7.weight"] == (256, 64, 1, 1)
    assert keys["body.49.res_layer.8.weight"] == (2048,)
    assert "body.50.res_layer.0.weight" not in keys
    assert keys["output_layer.3.weight"] == (512, 2048 * 7 * 7)


def test_ir_shortcut_has_weights_only_where_channels_change():
    units_with_shortcut = {key.split(".")[1] for key in shapes("ir_50") if "shortcut_layer" in key}
    assert units_with_shortcut == {"3", "7", "21"}


def test_iresnet_downsamples_in_every_stages_first_unit_only():
    keys = shapes("iresnet200")
    downsampling = {key for key in keys if key.endswith("downsample.0.weight")}
    assert downsampling == {f"layer{stage}.0.downsample.0.weight" for stage in (1, 2, 3, 4)}
    for stage, units in enumerate((6, 26, 60, 6), start=1):
        assert f"layer{stage}.{units - 1}.conv2.weight" in keys
        assert f"layer{stage}.{units}.conv2.weight" not in keys


@pytest.mark.parametrize(
    ("name", "key"),
    [("ir_18", "output_layer.3.weight"), ("iresnet18", "fc.weight"), ("small_resnet", "output.2.weight")],
)
@pytest.mark.parametrize(("input_size", "map_size"), [(16, 1), (50, 4), (112, 7), (128, 8), (224, 14)])
def test_the_last_linear_layer_follows_the_input_size(name, key, input_size, map_size):
    channels = 256 if name == "small_resnet" else 512
    assert shapes(name, embedding_size=8, input_size=input_size)[key] == (8, channels * map_size**2)


def test_mobilefacenets_last_convolution_follows_the_input_size():
    assert shapes("mobilefacenet", input_size=50)["features.layers.0.layers.0.weight"] == (512, 1, 4, 4)


def test_small_resnet_follows_width_and_blocks():
    keys = shapes("small_resnet", width=8, blocks=(1, 2, 3, 1))
    assert keys["stem.0.weight"] == (8, 3, 3, 3)
    assert keys["stage3.2.residual.3.weight"] == (32, 32, 3, 3)
    assert "stage3.3.residual.3.weight" not in keys
    assert keys["output.2.weight"] == (512, 64 * 4 * 4)


def test_iresnet_last_batch_norm_weight_is_one_and_frozen_unless_asked(make_backbone):
    frozen, trainable = make_backbone("iresnet18"), make_backbone("iresnet18", train_features_weight=True)
    assert isinstance(frozen, IResNet) and isinstance(trainable, IResNet)
    assert not frozen.features.weight.requires_grad
    assert trainable.features.weight.requires_grad
    assert bool((frozen.features.weight == 1).all())


def test_ir_last_batch_norm_is_not_affine(make_backbone):
    backbone = make_backbone("ir_18")
    assert isinstance(backbone, IR)
    assert backbone.output_layer[4].affine is False


def test_initial_weights_have_each_familys_spread(make_backbone):
    """He's standard deviation √(2 / fan_out), fan_out = 128 · 9; InsightFace's IResNet has 0.1 everywhere."""
    he = make_backbone("ir_18").get_parameter("body.2.res_layer.4.weight").std().item()
    constant = make_backbone("iresnet18").get_parameter("layer2.0.conv2.weight").std().item()
    assert he == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert constant == pytest.approx(0.1, rel=0.02)
