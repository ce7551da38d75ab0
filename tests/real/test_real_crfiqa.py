"""CR-FIQA's own code: the classification term, its gradients, and the cosines that the quality target is made of."""

import numpy as np
import pytest
import torch

from facemargin.heads import create_head
from facemargin.quality.crfiqa import certainty_ratio_target


def relative_error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.detach().numpy() - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_agrees_with_the_authors_code(shared_data, implementation):
    oracle = np.load(shared_data / "oracles" / "crfiqa.npz")
    classes, size = oracle["W"].shape
    head = create_head("crfiqa", classes, size, implementation=implementation).double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(oracle["W"]))
    for step in range(len(oracle["loss"])):
        x = torch.from_numpy(oracle["x"][step]).double().requires_grad_()
        head.zero_grad()
        out = head(x, torch.from_numpy(oracle["y"][step]))
        out.loss.backward()
        assert relative_error(out.loss, oracle["loss"][step]) < 1e-6
        assert relative_error(x.grad, oracle["gx"][step]) < 1e-6
        assert relative_error(head.weight.grad, oracle["gW"][step]) < 1e-6
        ccs, nnccs = oracle["ex_ccs"][step], oracle["ex_nnccs"][step]
        assert relative_error(out.target_cosine_B, ccs) < 1e-6
        assert relative_error(out.hardest_negative_B, nnccs) < 1e-6
        target = certainty_ratio_target(out.target_cosine_B, out.hardest_negative_B, "code")
        assert relative_error(target, ccs / nnccs) < 1e-6
