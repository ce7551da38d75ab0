"""Names, options and their error messages."""

import pytest

from facemargin.backbones import (
    Backbone,
    backbone_options,
    backbone_parameters,
    create_backbone,
    describe_backbone,
    list_backbones,
    register_backbone,
)
from facemargin.errors import ConfigError


def test_every_promised_name_is_listed_in_order():
    depths = (18, 34, 50, 100, 101, 152, 200)
    promised = [f"{family}_{depth}" for family in ("ir", "ir_se") for depth in depths]
    promised += [f"iresnet{depth}" for depth in (18, 34, 50, 100, 200)]
    promised += ["mobilefacenet", "mobilenet_v1", "small_resnet"]
    assert list_backbones() == sorted(promised)


def test_a_pattern_selects_names():
    assert list_backbones("iresnet1*") == ["iresnet100", "iresnet18"]
    assert list_backbones("vit*") == []


def test_options_are_what_the_name_leaves_open():
    assert backbone_options("ir_18") == {"input_size": 112, "dropout": 0.4, "batch_norm_eps": 1e-5}
    assert backbone_options("mobilefacenet") == {"input_size": 112, "batch_norm_eps": 1e-5}
    assert backbone_options("small_resnet")["blocks"] == (1, 1, 1, 1)


def test_parameters_carry_types_for_the_command_line():
    assert backbone_parameters("ir_18")["dropout"].annotation is float
    for name in list_backbones():
        assert all(parameter.annotation is not parameter.empty for parameter in backbone_parameters(name).values())


def test_every_backbone_takes_an_input_size_and_a_batch_norm_eps():
    for name in list_backbones():
        assert {"input_size", "batch_norm_eps"} <= set(backbone_options(name)), name


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown backbone 'iresnet_18'; did you mean 'iresnet18'\?"):
        create_backbone("iresnet_18")


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown iresnet18 option 'drop_out'; did you mean 'dropout'\?"):
        create_backbone("iresnet18", drop_out=0.1)


def test_an_option_like_no_other_is_answered_with_the_list():
    with pytest.raises(ConfigError, match="known: batch_norm_eps, input_size"):
        create_backbone("mobilefacenet", zzz=1)


def test_what_the_name_settles_cannot_be_given_again():
    with pytest.raises(ConfigError, match="unknown ir_18 option 'depth'"):
        create_backbone("ir_18", depth=34)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding_size": 0}, "embedding_size is 0; it must be at least 1"),
        ({"embedding_size": 8.0}, "embedding_size is 8.0, expected a whole number"),
        ({"in_channels": 0}, "in_channels is 0; it must be at least 1"),
        ({"input_size": 15}, "input_size is 15 pixels; it must be at least 16"),
        ({"width": 0}, "width is 0; it must be at least 1"),
        ({"blocks": (0, 1, 1, 1)}, r"blocks is \(0, 1, 1, 1\); give four numbers"),
        ({"blocks": (1, 1, 1)}, r"blocks is \(1, 1, 1\); give four numbers"),
        ({"dropout": 1.5}, "backbone small_resnet: dropout probability"),
    ],
)
def test_values_out_of_range_are_config_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_backbone("small_resnet", **arguments)


def test_a_name_can_be_registered_once_only():
    with pytest.raises(ValueError, match="backbone 'ir_18' is registered twice"):
        register_backbone("ir_18")(Backbone)


def test_describe_matches_the_built_network():
    info = describe_backbone("small_resnet", embedding_size=16, input_size=32, width=8)
    backbone = create_backbone("small_resnet", embedding_size=16, input_size=32, width=8)
    assert info.parameters == sum(parameter.numel() for parameter in backbone.parameters())
    assert (info.name, info.embedding_size, info.input_size) == ("small_resnet", 16, 32)


def test_describe_knows_the_input_channels():
    three, seven = (describe_backbone("small_resnet", 16, input_size=32, width=8, in_channels=n) for n in (3, 7))
    assert seven.parameters - three.parameters == 4 * 8 * 9
    assert seven.multiply_adds - three.multiply_adds == 4 * 8 * 9 * 16**2


def test_describe_counts_the_multiply_adds_of_convolutions_and_linear_layers():
    width, side, embedding_size = 8, 16, 16
    expected = side**2 * width * 3 * 9  # stem
    expected += 2 * side**2 * width * width * 9  # stage 1
    channels = width
    for _ in range(3):
        side, inner, channels = side // 2, channels, 2 * channels
        expected += side**2 * channels * (9 * inner + 9 * channels + inner)
    expected += channels * side**2 * embedding_size
    info = describe_backbone("small_resnet", embedding_size=embedding_size, input_size=32, width=width)
    assert info.multiply_adds == expected
