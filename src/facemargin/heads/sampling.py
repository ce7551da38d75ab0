"""Sampled classes (PartialFC: An et al., CVPR 2022, arXiv 2203.15565): a step uses the classes of its batch and some
others.

Every process takes those of its classes that occur in the batch and adds random other ones, up to sample_rate × its
number of classes. The softmax, the hardest negative and the certainty ratio are computed over the sampled classes.

Shapes: C classes of this process's shard, S of them sampled, D feature values.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from facemargin.errors import DataError
from facemargin.randomness import Purpose, sample_generator


@dataclass(frozen=True)
class SampledClasses:
    """One step's classes: `index_S`, ascending positions in the shard, and their centres `rows_SD`, a leaf tensor that
    collects the step's gradient."""

    index_S: Tensor
    rows_SD: Tensor

    def positions(self, y_B: Tensor, num_classes: int) -> Tensor:
        """The position of each class among the sampled ones; −1 for a class of another shard (`y_B` outside [0, C)).

        Raises DataError for a class of this shard that was not sampled in this step.
        """
        own_B = (y_B >= 0) & (y_B < num_classes)
        if not len(self.index_S):
            position_B, missing_B = torch.full_like(y_B, -1), own_B
        else:
            found_B = torch.searchsorted(self.index_S, y_B).clamp(max=len(self.index_S) - 1)
            missing_B = own_B & (self.index_S[found_B] != y_B)
            position_B = torch.where(own_B, found_B, -1)
        if missing_B.any():
            raise DataError(
                f"class {int(y_B[missing_B][0])} of this shard is not among the sampled classes of this step, "
                "which do not change until head.step() is called: call head.begin_step with the labels of all "
                "passes before the first pass"
            )
        return position_B

    def classes(self, position_B: Tensor) -> Tensor:
        """The class in the shard at each position among the sampled ones; −1 stays −1."""
        if not len(self.index_S):
            return position_B
        return torch.where(position_B < 0, position_B, self.index_S[position_B.clamp(min=0)])


def sample_classes(y_B: Tensor, num_classes: int, sample_rate: float, seed: int, step: int, shard: int) -> Tensor:
    """Ascending positions (S,) of the classes sampled from a shard of C: all that occur in `y_B` (others' labels lie
    outside [0, C)), and others drawn evenly until ⌊sample_rate·C⌋ are reached. A function of (seed, step, shard)."""
    positives = y_B[(y_B >= 0) & (y_B < num_classes)].unique()
    wanted = max(int(sample_rate * num_classes), len(positives))
    draw = sample_generator(seed, shard, step, Purpose.CLASSES).integers(2**63)
    generator = torch.Generator(y_B.device).manual_seed(int(draw))
    key_C = torch.rand(num_classes, generator=generator, device=y_B.device)
    key_C[positives] = 2.0
    return key_C.topk(wanted).indices.sort().values
