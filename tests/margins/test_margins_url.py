"""URL's confidence-aware loss against loops over samples, classes and sub-embeddings."""

import math

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.heads import create_head

B, C, D = 5, 7, 6


def reference(features, labels, centers, blocks, margin=30.0, weight=0.001):
    """(per-sample cross-entropies, the regularizer)."""
    size = D // blocks
    losses, squares = [], 0.0
    for feature, label in zip(features.tolist(), labels.tolist(), strict=True):
        logits = [0.0] * C
        for k in range(blocks):
            part = feature[k * size : (k + 1) * size]
            confidence = math.sqrt(sum(v * v for v in part))
            squares += confidence**2 / blocks
            for j, center in enumerate(centers.tolist()):
                own = center[k * size : (k + 1) * size]
                length = math.sqrt(sum(v * v for v in own))
                cosine = sum(a / confidence * b / length for a, b in zip(part, own, strict=True))
                logits[j] += confidence * cosine / blocks
        logits[label] -= margin
        peak = max(logits)
        losses.append(peak + math.log(sum(math.exp(v - peak) for v in logits)) - logits[label])
    return losses, weight * squares / B


def head_and_batch(blocks, implementation):
    generator = torch.Generator().manual_seed(0)
    head = create_head("url", C, D, sub_embeddings=blocks, implementation=implementation, generator=generator).double()
    features = 30 * torch.randn(B, D, generator=generator, dtype=torch.float64)
    return head, features.requires_grad_(), torch.randint(0, C, (B,), generator=generator)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_loss_equals_the_loop_reference(blocks, implementation):
    head, features, labels = head_and_batch(blocks, implementation)
    losses, regularizer = reference(features, labels, head.weight, blocks)
    out = head(features, labels)
    assert out.losses_B.tolist() == pytest.approx(losses, rel=1e-10)
    assert out.parts["confidence"].item() == pytest.approx(regularizer, rel=1e-10)

    def loss_of(x_BD, w_CD):
        return torch.func.functional_call(head, {"weight": w_CD}, (x_BD, labels)).loss

    weight = head.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss_of, (features, weight), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("exact", [False, True])
def test_sampled_centres_are_split_alike(exact):
    """Target cosines, and the hardest negative among all, are those of a head without sampling."""
    settings = {"sub_embeddings": 2, "generator": torch.Generator().manual_seed(0)}
    head = create_head("url", C, D, sample_rate=0.9, exact_hardest_negative=exact, **settings).double()
    whole = create_head("url", C, D, **settings).double()
    with torch.no_grad():
        whole.weight.copy_(head.weight)
    features = torch.randn(B, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.arange(B)
    out, expected = head(features, labels), whole(features, labels)
    torch.testing.assert_close(out.target_cosine_B, expected.target_cosine_B)
    if exact:
        torch.testing.assert_close(out.hardest_negative_B, expected.hardest_negative_B)
    out.loss.backward()
    assert head.trained_tensors()[0].grad.isfinite().all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="embedding_size is 6, which cannot be split into the margin's 4 parts"):
        create_head("url", C, D, sub_embeddings=4)
    with pytest.raises(ConfigError, match="sub_embeddings is 0, expected a whole number"):
        create_head("url", C, D, sub_embeddings=0)
    with pytest.raises(ConfigError, match="lambda_reg is inf, expected a finite number"):
        create_head("url", C, D, lambda_reg=math.inf)
