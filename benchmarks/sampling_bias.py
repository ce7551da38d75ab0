"""How far sampled classes bias the hardest negative, and with it FunFace's certainty ratio.

Claim (docs/heads.md): the hardest negative of a sample of the classes is too low, the certainty ratio too high.
Random centres, and features around their own centre with target cosines of .70 ± .06. Shapes: B samples, C classes, D
feature values.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from measure import machine
from torch.nn import functional as F

from facemargin import create_head

B, C, D = 512, 93_431, 512
RATES = (0.5, 0.3, 0.1, 0.05, 0.02)


def main() -> None:
    torch.manual_seed(0)
    centers_CD = F.normalize(torch.randn(C, D))
    y_B = torch.randint(0, C, (B,))
    cosine_B1 = (0.70 + 0.06 * torch.randn(B, 1)).clamp(-1, 1)
    noise_BD = torch.randn(B, D)
    own_BD = centers_CD[y_B]
    across_BD = F.normalize(noise_BD - (noise_BD * own_BD).sum(1, keepdim=True) * own_BD)
    features_BD = 20 * (cosine_B1 * own_BD + (1 - cosine_B1.square()).sqrt() * across_BD)
    lines = [
        "| sample rate | hardest negative, sampled | exact | certainty ratio, sampled | exact | bias of the ratio |",
        "|---|---|---|---|---|---|",
    ]
    for rate in RATES:
        numbers = []
        for exact in (False, True):
            options = {"sample_rate": rate, "exact_hardest_negative": exact}
            head = create_head("funface", C, D, implementation="chunked", **options)
            with torch.no_grad():
                head.weight.copy_(centers_CD)
                out = head(features_BD, y_B)
            numbers += [out.hardest_negative_B.mean().item(), out.certainty_ratio_B.mean().item()]
        hardest, ratio, exact_hardest, exact_ratio = numbers
        bias = ratio / exact_ratio - 1
        cells = (f"{hardest:.4f}", f"{exact_hardest:.4f}", f"{ratio:.3f}", f"{exact_ratio:.3f}", f"{bias:+.1%}")
        lines.append(f"| {rate} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv:
        title = "# The hardest negative of sampled classes is too low\n\n"
        how = (
            f"`python benchmarks/sampling_bias.py`: B = {B}, C = {C:,}, D = {D}, random centres, target cosine "
            f".70 ± .06; {machine()}, torch {torch.__version__}; {datetime.now(UTC):%Y-%m-%d}. Batch means.\n\n"
        )
        Path(__file__).with_name("results").joinpath("sampling_bias.md").write_text(title + how + text + "\n")


if __name__ == "__main__":
    main()
