import pytest
import torch
from training_objects import tiny_state

from facemargin.training.config import OptimizerConfig
from facemargin.training.optimizer import create_optimizer


def modules():
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    backbone[0].bias.requires_grad_(False)
    return {"backbone": backbone, "head": torch.nn.Linear(2, 3, bias=False)}


def decay_of(optimizer, parameter):
    return [group["weight_decay"] for group in optimizer.param_groups if any(p is parameter for p in group["params"])]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_weight_decay_spares_norms_prelus_and_biases(name, decay_all):
    parts = modules()
    convolution, norm, prelu, _, linear = parts["backbone"]
    optimizer = create_optimizer(OptimizerConfig(name=name, weight_decay=0.3, decay_all=decay_all), parts.values())
    for weight in (convolution.weight, linear.weight, parts["head"].weight):
        assert decay_of(optimizer, weight) == [0.3]
    for spared in (norm.weight, norm.bias, prelu.weight, linear.bias):
        assert decay_of(optimizer, spared) == [0.3 if decay_all else 0.0]
    assert decay_of(optimizer, convolution.bias) == []  # it is frozen


def test_every_parameter_of_a_network_is_trained_once():
    state = tiny_state(head={"name": "funface"})
    trained = [id(p) for group in state.optimizer.param_groups for p in group["params"]]
    everything = [id(p) for module in (state.recogniser, state.head) for p in module.parameters()]
    assert sorted(trained) == sorted(everything)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_is_momentum_sgd(decay):
    layer = torch.nn.Linear(2, 1, bias=True).double()
    weight, bias = (p.detach().clone() for p in (layer.weight, layer.bias))
    config = OptimizerConfig(name="sgd", learning_rate=0.5, momentum=0.9, weight_decay=decay)
    optimizer = create_optimizer(config, [layer])
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for gradient in (1.0, -2.0, 0.5):
        layer.weight.grad, layer.bias.grad = torch.full_like(weight, gradient), torch.full_like(bias, gradient)
        optimizer.step()
        weight_velocity = 0.9 * weight_velocity + gradient + decay * weight
        bias_velocity = 0.9 * bias_velocity + gradient
        weight, bias = weight - 0.5 * weight_velocity, bias - 0.5 * bias_velocity
    torch.testing.assert_close(layer.weight.detach(), weight)
    torch.testing.assert_close(layer.bias.detach(), bias)


def test_adamw_decays_beside_its_step():
    layer = torch.nn.Linear(2, 1).double()
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    config = OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.2)
    optimizer = create_optimizer(config, [layer])
    layer.weight.grad, layer.bias.grad = torch.full_like(layer.weight, 3.0), torch.full_like(layer.bias, 3.0)
    optimizer.step()
    # Adam's first step is the learning rate, whatever the gradient's size.
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.1 * 0.2) - 0.1, atol=1e-8, rtol=0)
    torch.testing.assert_close(layer.bias.detach(), before[1] - 0.1, atol=1e-8, rtol=0)
