import pytest
import torch

from facemargin.backbones import create_backbone
from facemargin.errors import ConfigError
from facemargin.training.config import OptimizerConfig
from facemargin.training.optimizer import create_optimizer
from facemargin.training.run_folder import RunFolder
from tests.training.training_objects import tiny_recipe, tiny_state


def modules():
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    backbone[0].bias.requires_grad_(False)
    return {"backbone": backbone, "head": torch.nn.Linear(2, 3, bias=False)}


def decay_of(optimizer, parameter):
    return [group["weight_decay"] for group in optimizer.param_groups if any(p is parameter for p in group["params"])]


SPARED = {  # by the rule, of a convolution's and a linear weight, a norm's weight and bias, a PReLU's and a bias
    "norms": [False, False, True, True, False, False],
    "one_dimensional": [False, False, True, True, True, True],
    "nothing": [False] * 6,
}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("rule", SPARED)
def test_weight_decay_spares_what_the_rule_says(name, rule):
    parts = modules()
    convolution, norm, prelu, _, linear = parts["backbone"]
    optimizer = create_optimizer(OptimizerConfig(name=name, weight_decay=0.3, no_decay=rule), parts.values())
    parameters = (convolution.weight, linear.weight, norm.weight, norm.bias, prelu.weight, linear.bias)
    for parameter, spared in zip(parameters, SPARED[rule], strict=True):
        assert decay_of(optimizer, parameter) == [0.0 if spared else 0.3]
    assert decay_of(optimizer, parts["head"].weight) == [0.3]
    assert decay_of(optimizer, convolution.bias) == []  # it is frozen


@pytest.mark.parametrize(
    "norm",
    [torch.nn.InstanceNorm2d(4, affine=True), torch.nn.LayerNorm(4), torch.nn.GroupNorm(2, 4), torch.nn.RMSNorm(4)],
)
def test_every_kind_of_norm_is_one(norm):
    optimizer = create_optimizer(OptimizerConfig(weight_decay=0.3, no_decay="norms"), [norm])
    assert [decay_of(optimizer, parameter) for parameter in norm.parameters()] == [[0.0]] * len(list(norm.parameters()))


def split_as_in_adafaces_code(network):
    """Its rule, written from its description: batch norms' parameters on one side, all others on the other."""
    norms = []
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            norms += [module.weight, module.bias]
    return {id(parameter) for parameter in norms}


@pytest.mark.parametrize("network", ["ir_101", "iresnet100"])
def test_adafaces_rule_decays_the_prelus_and_the_last_bias_of_its_network(network):
    with torch.device("meta"):
        backbone = create_backbone(network)
    optimizer = create_optimizer(OptimizerConfig(weight_decay=0.3, no_decay="norms"), [backbone])
    spared = split_as_in_adafaces_code(backbone)
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert decay_of(optimizer, parameter) == [0.0 if id(parameter) in spared else 0.3], name
    prelus = [module.weight for module in backbone.modules() if isinstance(module, torch.nn.PReLU)]
    assert len(prelus) == 50 and all(decay_of(optimizer, one) == [0.3] for one in prelus)


def test_a_checkpoint_of_another_rule_is_refused_and_the_rule_named(tmp_path):
    RunFolder(tmp_path).open(tiny_recipe(), resume=False)
    (tmp_path / "metrics.csv").write_text("step\n1\n")
    other = tiny_recipe(optimizer={"no_decay": "norms"})
    with pytest.raises(ConfigError, match=r"optimizer.no_decay \('one_dimensional' -> 'norms'\)"):
        RunFolder(tmp_path).open(other, resume=True)


@pytest.mark.parametrize(("before", "now"), [(False, "one_dimensional"), (True, "nothing")])
def test_the_field_of_earlier_recipes_is_still_read(tmp_path, before, now):
    assert tiny_recipe(optimizer={"decay_all": before}).optimizer.no_decay == now
    folder = RunFolder(tmp_path)
    folder.open(tiny_recipe(optimizer={"no_decay": now}), resume=False)
    text = folder.recipe.read_text()
    folder.recipe.write_text(text.replace(f"no_decay: {now}", f"decay_all: {str(before).lower()}"))
    assert folder.recipe.read_text() != text
    folder.check_same_recipe(tiny_recipe(optimizer={"no_decay": now}))
    with pytest.raises(ConfigError, match="decay_all and no_decay"):
        tiny_recipe(optimizer={"decay_all": before, "no_decay": now})


def test_every_parameter_of_a_network_is_trained_once():
    state = tiny_state(head={"name": "funface"})
    trained = [id(p) for group in state.optimizer.param_groups for p in group["params"]]
    everything = [id(p) for module in (state.recognizer, state.head) for p in module.parameters()]
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
