import math

import numpy as np
import pytest
import torch

from facemargin.heads import create_head
from facemargin.margins import SoftmaxTerms, create_margin
from tests.margins.reference import cosines, cross_entropies

IMPLEMENTATIONS = ["eager", "chunked"]


def head_and_batch(implementation, seed=0, count=10, classes=7, size=5):
    rng = np.random.default_rng(seed)
    centers, labels = rng.normal(size=(classes, size)), rng.integers(0, classes, count)
    features = rng.normal(size=(count, size)) + rng.uniform(-3, 5, (count, 1)) * centers[labels]
    head = create_head("crfiqa", classes, size, implementation=implementation).double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(centers))
    return head, features, labels, centers


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_loss_is_that_of_a_loop(implementation):
    head, features, labels, centers = head_and_batch(implementation)
    rows = cosines(features, centers)
    own = [row[label] for row, label in zip(rows, labels, strict=True)]
    assert min(own) < math.cos(math.pi - 0.5)  # past π, where the logit rises again
    expected = cross_entropies(rows, labels, [64 * math.cos(math.acos(c) + 0.5) for c in own], [64] * len(own))
    out = head(torch.from_numpy(features), torch.from_numpy(labels))
    np.testing.assert_allclose(out.losses_B.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    assert out.loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-10)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_equal_finite_differences(implementation):
    head, features, labels, centers = head_and_batch(implementation, seed=2)
    x, w = (torch.from_numpy(values).requires_grad_() for values in (features, centers))
    y = torch.from_numpy(labels)

    def loss_of(x_BD, w_CD):
        return torch.func.functional_call(head, {"weight": w_CD}, (x_BD, y)).loss

    assert torch.autograd.gradcheck(loss_of, (x, w), eps=1e-6, atol=1e-6, rtol=1e-5)


def test_the_poles_are_finite():
    cosine = torch.tensor([1.0, -1.0, 1.0 + 1e-7, -1.0 - 1e-7], requires_grad=True)
    logit = create_margin("crfiqa").target_logit(SoftmaxTerms(cosine, cosine, cosine), cosine, cosine)
    expected = torch.tensor([math.cos(0.5), -math.cos(0.5)] * 2)
    torch.testing.assert_close(logit / 64, expected, atol=1e-3, rtol=0)
    logit.sum().backward()
    assert cosine.grad.isfinite().all()
