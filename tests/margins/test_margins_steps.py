"""Margins that depend on the step: draws and annealing are a function of (seed, step), and survive a checkpoint."""

import pytest
import torch

from facemargin.heads import create_head

ELASTIC = ["elasticface_arc", "elasticface_arc_plus", "elasticface_cos", "elasticface_cos_plus"]


def draws(name: str, steps: int = 3, **settings) -> list[list[float]]:
    g = torch.Generator().manual_seed(0)
    head = create_head(name, 7, 5, generator=g, **settings)
    x, y = torch.randn(50, 5, generator=g), torch.randint(0, 7, (50,), generator=g)
    return [head(x, y).margin_scaler_B.tolist() for _ in range(steps)]


@pytest.mark.parametrize("name", ELASTIC)
def test_draws_are_a_function_of_seed_and_step(name):
    first, second, third = draws(name, seed=4)
    assert [first, second, third] == draws(name, seed=4)
    assert sorted(first) != sorted(second) and sorted(second) != sorted(third)
    assert sorted(draws(name, seed=5)[0]) != sorted(first)


@pytest.mark.parametrize("name", ELASTIC)
def test_draws_have_the_mean_and_spread_they_should(name):
    head = create_head(name, 7, 5)
    values = torch.tensor(draws(name, steps=40))
    assert values.mean().item() == pytest.approx(head.margin.config.margin, abs=0.005)
    assert values.std().item() == pytest.approx(head.margin.config.sigma, rel=0.05)


@pytest.mark.parametrize("name", ELASTIC)
def test_margins_are_their_mean_in_eval_mode(name):
    head = create_head(name, 7, 5).eval()
    margins = head(torch.randn(9, 5), torch.randint(0, 7, (9,))).margin_scaler_B
    assert set(margins.tolist()) == {torch.tensor(head.margin.config.margin).item()}
    assert head.margin.step == 0


@pytest.mark.parametrize("name", [*ELASTIC, "sphereface", "curricularface"])
def test_a_restored_head_goes_on_where_it_was(name):
    x, y = torch.randn(20, 5), torch.randint(0, 7, (20,))
    head = create_head(name, 7, 5, seed=3)
    for _ in range(4):
        head(x, y)
    other = create_head(name, 7, 5, seed=3)
    other.load_state_dict(head.state_dict())
    fresh = create_head(name, 7, 5, seed=3)
    with torch.no_grad():
        fresh.weight.copy_(head.weight)
    expected = head(x, y).losses_B
    assert torch.equal(other(x, y).losses_B, expected)
    assert not torch.equal(fresh(x, y).losses_B, expected)


def test_spherefaces_annealing_falls_to_its_end():
    head = create_head("sphereface", 7, 5)
    x, y = torch.randn(4, 5), torch.randint(0, 7, (4,))
    values = []
    for _ in range(1700):
        head.margin.observe(None, None)
        values.append(head.margin.annealing().item())
    assert values[0] == pytest.approx(1000 / 1.12)
    assert values == sorted(values, reverse=True)
    assert values[-1] == 5
    assert head(x, y).loss.isfinite()
