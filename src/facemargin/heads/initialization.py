"""The initial values of the class centres. Shapes: C classes, D feature values.

The loss does not depend on a centre's norm, but the gradient is proportional to 1/‖W_j‖ and the effective learning rate
to 1/‖W_j‖². At D = 512 it is about twenty times smaller for "unit" than for "normal".
"""

from collections.abc import Callable

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

# Centres are drawn in blocks of classes, so that a process only draws the blocks of its shard.
_BLOCK_CLASSES = 65_536

_FINISH: dict[str, Callable[[Tensor], Tensor]] = {
    "unit": torch.nn.functional.normalize,
    "normal": lambda normal_KD: normal_KD.mul_(0.01),
}


def initial_centers(
    name: str,
    num_classes: int,
    embedding_size: int,
    generator: torch.Generator | None = None,
    class_range: tuple[int, int] | None = None,
) -> Tensor:
    """float32 centres of the classes [first, last) of `class_range`, (last − first, D), by default of all C.

    "unit": uniform directions of norm 1 (AdaFace's and MagFace's code); "normal": normal(0, .01), norm ≈ .01·√D
    (InsightFace's and most others). A class has the same centre for any range. Raises ConfigError for another name.
    """
    if name not in _FINISH:
        raise ConfigError(unknown_name("center_initialization", name, _FINISH))
    first, last = class_range or (0, num_classes)
    centers_CD = torch.empty(last - first, embedding_size)
    # The first block takes the generator as it is given; the others have generators of their own.
    seeds = torch.randint(2**62, (-(-num_classes // _BLOCK_CLASSES),), generator=_fork(generator)).tolist()
    for block, seed in enumerate(seeds):
        start, end = block * _BLOCK_CLASSES, min((block + 1) * _BLOCK_CLASSES, num_classes)
        low, high = max(start, first), min(end, last)
        if low >= high:
            continue
        block_generator = generator if block == 0 else torch.Generator().manual_seed(seed)
        block_KD = _FINISH[name](torch.randn(end - start, embedding_size, generator=block_generator))
        centers_CD[low - first : high - first] = block_KD[low - start : high - start]
    return centers_CD


def _fork(generator: torch.Generator | None) -> torch.Generator:
    """A copy of the generator (of torch's default generator for None). Drawing from the copy does not change the
    original."""
    fork = torch.Generator()
    fork.set_state((generator or torch.default_generator).get_state())
    return fork
