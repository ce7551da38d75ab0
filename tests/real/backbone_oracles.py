"""Fixtures of the published networks: weights that a rule makes of their names, and what comes out."""

import zlib
from pathlib import Path

import numpy as np
import torch

ORACLES = Path(__file__).parents[2].parent / "shared" / "oracles"
TOLERANCE = 4e-6
"""Relative. The right batch-norm eps gives about 1e-6, a wrong one 7e-6 and more."""


def filled_tensor(key: str, shape: list[int]) -> torch.Tensor:
    """The tensor that the fixtures' README prescribes for a state-dict key."""
    generator = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith("running_var"):
        values = generator.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        values = generator.randn(*shape) * 0.1
    elif len(shape) >= 2:
        values = generator.randn(*shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith("bias"):
        values = generator.randn(*shape) * 0.1
    else:
        values = generator.uniform(0.15, 0.6, shape)
    return torch.from_numpy(values.astype(np.float32))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())
