"""The authors' own losses, gradients and running statistics, over several steps."""

import numpy as np
import pytest
import torch

from facemargin.heads import create_head
from facemargin.quality.crfiqa import certainty_ratio_target

# fixture -> (margin, {buffer of the authors' code: ours})
NORM = {"batch_mean": "norm_statistics.mean", "batch_std": "norm_statistics.std"}
FIXTURES = {
    "funface": (
        "funface",
        {
            "batch_mean_norms": "norm_statistics.mean",
            "batch_std_norms": "norm_statistics.std",
            "batch_mean_cr": "ratio_statistics.mean",
            "batch_std_cr": "ratio_statistics.std",
        },
    ),
    "adaface": ("adaface", NORM),
    "arcface_clip": ("arcface", {}),
    "cosface": ("cosface", {}),
    "magface": ("magface", {}),
    "curricularface": ("curricularface", {"t": "t"}),
    "crfiqa": ("crfiqa", {}),
}


def relative_error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.detach().numpy() - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("fixture", FIXTURES)
def test_agrees_with_the_authors_code(shared_data, fixture, implementation):
    name, buffers = FIXTURES[fixture]
    oracle = np.load(shared_data / "oracles" / f"{fixture}.npz")
    classes, size = oracle["W"].shape
    head = create_head(name, classes, size, implementation=implementation).double()
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
        state = head.margin.state_dict()
        for theirs, ours in buffers.items():
            assert relative_error(state[ours], oracle[f"buf_{theirs}"][step]) < 1e-6
        if fixture == "magface":
            assert relative_error(out.parts["softmax"], oracle["ex_ce"][step]) < 1e-6
            assert relative_error(out.parts["magnitude"], 35 * oracle["ex_g"][step]) < 1e-6
        if fixture == "crfiqa":
            ccs, nnccs = oracle["ex_ccs"][step], oracle["ex_nnccs"][step]
            assert relative_error(out.target_cosine_B, ccs) < 1e-6
            assert relative_error(out.hardest_negative_B, nnccs) < 1e-6
            target_B = certainty_ratio_target(out.target_cosine_B, out.hardest_negative_B, "code")
            assert relative_error(target_B, ccs / nnccs) < 1e-6
