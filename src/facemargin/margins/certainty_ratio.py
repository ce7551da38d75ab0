"""The certainty ratio: how much nearer a sample lies to its own class than to any other. Shapes: B samples."""

from torch import Tensor


def certainty_ratio(
    target_cosine_B: Tensor, hardest_negative_B: Tensor, epsilon: float = 1e-5, bound: float | None = None
) -> Tensor:
    """CR = clip(c_y, 0, 1) / (clip(max_{j≠y} c_j, 0, 1) + ε), without gradient, (B,).

    The biometric utility of CR-FIQA (Boutros et al., CVPR 2023), as FunFace (arXiv 2604.26598) defines it. If no
    negative cosine is positive, the ratio reaches 1/ε. `bound` limits the ratio; None keeps the paper's value.
    """
    ratio_B = target_cosine_B.detach().clamp(0, 1) / (hardest_negative_B.detach().clamp(0, 1) + epsilon)
    return ratio_B if bound is None else ratio_B.clamp(max=bound)
