"""CR-FIQA's layer and loss, against loops in float64."""

import math

import pytest
import torch

from facemargin.quality.crfiqa import CertaintyRatioLayer, certainty_ratio_target, quality_loss

DEFINITIONS = ["paper", "code"]


def random_cosines(count=40, classes=5, size=4, seed=0):
    """Cosines (B, C) and labels; in four dimensions some samples have no positive negative."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, size, generator=generator, dtype=torch.float64)
    centers = torch.randn(classes, size, generator=generator, dtype=torch.float64)
    normalized = [torch.nn.functional.normalize(values, dim=1) for values in (vectors, centers)]
    return normalized[0] @ normalized[1].T, torch.randint(0, classes, (count,), generator=generator)


def own_and_hardest(cosine_BC, labels_B):
    target = [row[label].item() for row, label in zip(cosine_BC, labels_B, strict=True)]
    hardest = [max(c.item() for j, c in enumerate(row) if j != y) for row, y in zip(cosine_BC, labels_B, strict=True)]
    return target, hardest


def ratio_by_hand(row, label, definition):
    own = row[label].item()
    if definition == "paper":
        return own / (max(c.item() for j, c in enumerate(row) if j != label) + 1 + 1e-9)
    masked = [-1e-12 if j == label else c.item() for j, c in enumerate(row)]
    return own / max(masked)


def smooth_l1(difference, beta):
    return 0.5 * difference**2 / beta if abs(difference) < beta else abs(difference) - 0.5 * beta


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_targets_are_those_of_the_paper_and_of_its_code(definition):
    cosine_BC, labels_B = random_cosines()
    target, hardest = own_and_hardest(cosine_BC, labels_B)
    assert min(hardest) < -1e-12 < max(hardest)  # both sides of the code's mask
    expected = [ratio_by_hand(row, label, definition) for row, label in zip(cosine_BC, labels_B, strict=True)]
    ours = certainty_ratio_target(torch.tensor(target).double(), torch.tensor(hardest).double(), definition)
    torch.testing.assert_close(ours, torch.tensor(expected).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize(("weight", "beta"), [(10.0, 0.5), (2.0, 3.0), (1.0, 0.0)])
def test_the_loss_follows_a_loop_and_leaves_out_what_has_no_ratio(definition, weight, beta):
    cosine_BC, labels_B = random_cosines(seed=1)
    target, hardest = (torch.tensor(values).double() for values in own_and_hardest(cosine_BC, labels_B))
    prediction = 3 * torch.randn(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    target[3] = hardest[3] = math.nan  # unlabelled
    hardest[7] = -math.inf  # no negatives
    losses = []
    for index, (row, label) in enumerate(zip(cosine_BC, labels_B, strict=True)):
        if index not in (3, 7):
            losses.append(smooth_l1(prediction[index].item() - ratio_by_hand(row, label, definition), beta))
    ours = quality_loss(prediction, target, hardest, definition=definition, weight=weight, beta=beta)
    assert ours.item() == pytest.approx(weight * sum(losses) / 38, rel=1e-6)


def test_the_defaults_are_the_papers():
    prediction, target, hardest = torch.tensor([0.3]), torch.tensor([0.8]), torch.tensor([0.25])
    expected = 10 * smooth_l1(0.3 - 0.8 / 1.25, 0.5)
    assert quality_loss(prediction, target, hardest).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_gradient_goes_to_the_prediction_alone(definition):
    cosine_BC, labels_B = random_cosines(12, seed=3)
    target, hardest = (torch.tensor(v).double().requires_grad_() for v in own_and_hardest(cosine_BC, labels_B))
    # beyond the code's 1e12, finite differences drown in rounding
    usable = hardest.detach() > 0
    target_B, hardest_B = target[usable], hardest[usable]
    prediction = torch.randn(len(target_B), dtype=torch.float64).requires_grad_()
    loss = quality_loss(prediction, target_B, hardest_B, definition=definition)
    loss.backward()
    assert target.grad is None and hardest.grad is None and prediction.grad.abs().min() > 0
    assert torch.autograd.gradcheck(
        lambda values: quality_loss(values, target_B, hardest_B, definition=definition), (prediction,)
    )


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_corners_are_finite_and_pull_no_harder_than_the_rest(definition, dtype):
    corners = [0.0, -0.0, 1e-40, -1e-40, 1e-13, -1e-13, 1e-12, 1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6, -0.999999]
    pairs = [(own, hardest) for own in (0.0, 1.0, -1.0, 1e-30, 0.5) for hardest in corners]
    target, hardest = (torch.tensor(values, dtype=dtype) for values in zip(*pairs, strict=True))
    ratio = certainty_ratio_target(target, hardest, definition)
    assert ratio.isfinite().all() and ratio.abs().max() <= 1.001e12
    prediction = torch.zeros(len(pairs), dtype=dtype, requires_grad=True)
    loss = quality_loss(prediction, target, hardest, definition=definition, weight=10.0)
    loss.backward()
    assert loss.isfinite() and prediction.grad.isfinite().all()
    assert prediction.grad.abs().max() <= 10 / len(pairs) * (1 + 1e-6)


def test_a_sample_beside_its_centre_with_all_others_behind_is_the_best_of_the_papers_ratios():
    own, hardest = torch.tensor([0.9, 0.9, 0.9]), torch.tensor([0.6, 0.1, -0.3])
    assert certainty_ratio_target(own, hardest, "paper").argmax() == 2
    assert certainty_ratio_target(own, hardest, "code").argmin() == 2  # and the worst of the code's


@pytest.mark.parametrize("count", [0, 2])
def test_without_a_known_ratio_the_loss_is_zero_and_so_is_its_gradient(count):
    prediction = torch.randn(count, requires_grad=True)
    unknown = torch.full((count,), math.nan)
    loss = quality_loss(prediction, unknown, unknown)
    loss.backward()
    assert loss.item() == 0 and not prediction.grad.any()


def test_the_layer_is_linear_in_the_unnormalised_feature():
    torch.manual_seed(0)
    layer, x_BD = CertaintyRatioLayer(6).double(), 50 * torch.randn(4, 6, dtype=torch.float64)
    weight, bias = (layer.state_dict()[key] for key in ("linear.weight", "linear.bias"))
    expected = [bias.item() + sum(w.item() * x.item() for w, x in zip(weight[0], row, strict=True)) for row in x_BD]
    torch.testing.assert_close(layer(x_BD), torch.tensor(expected).double())
    assert layer(x_BD).abs().max() > 1  # no sigmoid


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_layer_computes_in_float32_under_autocast(dtype):
    layer, features_BD = CertaintyRatioLayer(64), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=dtype):
        prediction = layer(features_BD)
        rounded = layer(features_BD.to(dtype))
    assert prediction.dtype == rounded.dtype == torch.float32
    assert torch.equal(prediction, layer(features_BD))
