"""From images to features: shapes, checks, determinism, gradients, dropout."""

import pytest
import torch
from torch import nn

from facemargin.backbones import create_backbone
from facemargin.backbones.ir import ResidualUnit, SqueezeExcitation
from facemargin.errors import ConfigError
from tests.backbones.conftest import create_specimen


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_a_feature_does_not_depend_on_the_rest_of_its_batch(family, batch, make_backbone, make_images):
    backbone, images_BCHW = make_backbone(family).eval(), make_images(5)
    with torch.no_grad():
        features_BD = backbone(images_BCHW)
        assert backbone(images_BCHW[:batch]).shape == (batch, 16)
        torch.testing.assert_close(backbone(images_BCHW[:batch]), features_BD[:batch], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_odd_batches_train(family, batch, make_backbone, make_images):
    features_BD = make_backbone(family).train()(make_images(batch))
    assert features_BD.shape == (batch, 16)
    assert bool(features_BD.isfinite().all())


@pytest.mark.parametrize("input_size", [16, 17, 40, 50])
def test_any_input_size_from_16_pixels(family, input_size, make_images):
    backbone = create_backbone(family, embedding_size=8, input_size=input_size).eval()
    with torch.no_grad():
        map_BCHW = backbone.feature_map(make_images(2, input_size))
        assert map_BCHW.shape[2:] == (backbone.map_size, backbone.map_size)
        assert backbone(make_images(2, input_size)).shape == (2, 8)


def test_features_are_not_unit_vectors(family, make_backbone, make_images):
    norm_B = make_backbone(family).train()(make_images(4)).norm(dim=1)
    assert bool(((norm_B - 1).abs() > 0.1).all())


def test_sizes_are_exposed(family, make_backbone):
    backbone = make_backbone(family)
    assert (backbone.embedding_size, backbone.input_size, backbone.map_size) == (16, 32, 2)


@pytest.mark.parametrize("shape", [(2, 3, 31, 32), (2, 3, 112, 112), (2, 1, 32, 32), (2, 32, 32, 3), (3, 32, 32)])
def test_a_wrong_shape_is_refused_with_both_shapes(family, shape, make_backbone):
    with pytest.raises(ConfigError) as caught:
        make_backbone(family)(torch.zeros(shape))
    assert str(shape) in str(caught.value)
    assert "(batch, 3, 32, 32)" in str(caught.value)


@pytest.mark.parametrize("in_channels", [1, 7])
def test_other_maps_can_be_stacked_onto_the_colours(family, in_channels):
    backbone = create_backbone(family, 8, in_channels, input_size=16)
    assert backbone.in_channels == in_channels
    features_BD = backbone(torch.randn(4, in_channels, 16, 16))
    features_BD[:, 0].square().sum().backward()
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.shape[1] == in_channels and bool(first.weight.grad.any(dim=(0, 2, 3)).all())
    with pytest.raises(
        ConfigError, match=rf"images have shape .*, this backbone takes \(batch, {in_channels}, 16, 16\)"
    ):
        backbone(torch.zeros(2, 3, 16, 16))


def test_undecoded_bytes_are_refused_with_the_formula(make_backbone):
    with pytest.raises(ConfigError, match=r"images are torch.uint8; give floats in \[-1, 1\], \(v - 127.5\) / 127.5"):
        make_backbone("small_resnet")(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


def test_the_seed_decides_the_weights_and_the_features(family, make_images):
    first, again, other = (create_specimen(family, seed).eval() for seed in (3, 3, 4))
    images_BCHW = make_images(2)
    with torch.no_grad():
        assert torch.equal(first(images_BCHW), again(images_BCHW))
        assert not torch.equal(first(images_BCHW), other(images_BCHW))


def test_every_trainable_parameter_gets_a_gradient(family, make_backbone, make_images):
    """In eval mode: batch statistics would cancel the gradient of a bias that precedes a batch norm."""
    backbone = make_backbone(family).eval()
    backbone(make_images(8)).square().sum().backward()
    without = [
        name
        for name, parameter in backbone.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert without == []


def test_gradients_are_finite_in_training(family, make_backbone, make_images):
    backbone = make_backbone(family).train()
    backbone(make_images(4)).square().sum().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in backbone.parameters() if parameter.requires_grad)


def test_the_batch_norm_eps_reaches_every_batch_norm(family, make_backbone):
    norms = [
        module
        for module in make_backbone(family, batch_norm_eps=2e-3).modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    assert len(norms) > 10
    assert {norm.eps for norm in norms} == {2e-3}


@pytest.mark.parametrize("name", ["ir_18", "iresnet18", "small_resnet"])
def test_dropout_acts_in_training_only(name, make_backbone, make_images):
    backbone = make_backbone(name, dropout=0.5)
    map_BCHW = backbone.feature_map(make_images(4)).detach()
    backbone.train()
    assert not torch.equal(backbone.embed(map_BCHW), backbone.embed(map_BCHW))
    backbone.eval()
    assert torch.equal(backbone.embed(map_BCHW), backbone.embed(map_BCHW))


def test_iresnet_can_drop_whole_channels(make_backbone):
    dropped_BCHW = make_backbone("iresnet18", dropout=0.5, drop_channels=True).dropout(torch.ones(4, 64, 2, 2))
    kept_BC = (dropped_BCHW != 0).flatten(2).float().mean(2)
    assert set(kept_BC.unique().tolist()) == {0.0, 1.0}


def test_squeeze_excitation_is_its_formula():
    """x_chw · σ(Σ_r W2_cr · max(0, Σ_k W1_rk · mean_hw x_k)), with loops."""
    torch.manual_seed(0)
    module, map_CHW = SqueezeExcitation(32).double(), torch.randn(32, 3, 3, dtype=torch.float64)
    w1_RC, w2_CR = module.fc1.weight[:, :, 0, 0], module.fc2.weight[:, :, 0, 0]
    mean_C = [map_CHW[c].sum() / 9 for c in range(32)]
    hidden_R = [max(0.0, sum((w1_RC[r, c] * mean_C[c]).item() for c in range(32))) for r in range(2)]
    gated = module(map_CHW[None])[0]
    for c in range(32):
        gate = torch.sigmoid(sum(w2_CR[c, r] * hidden_R[r] for r in range(2)))
        torch.testing.assert_close(gated[c], map_CHW[c] * gate)


def test_the_parameter_free_shortcut_takes_every_second_pixel():
    unit = ResidualUnit(8, 8, stride=2, eps=1e-5, bottleneck=False, squeeze_excitation=False)
    map_BCHW = torch.randn(2, 8, 7, 7)
    assert torch.equal(unit.shortcut_layer(map_BCHW), map_BCHW[:, :, ::2, ::2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ir_152", "ir_se_152"])
def test_bottleneck_networks_run(name, make_images):
    backbone = create_backbone(name, embedding_size=8, input_size=16)
    features_BD = backbone(make_images(3, 16))
    assert features_BD.shape == (3, 8)
    assert bool(features_BD.isfinite().all())
