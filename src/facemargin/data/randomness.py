"""Random numbers that depend on what they are for, never on who draws them or when.

Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the key and the high
words of the counter address disjoint streams, so one exists for every (seed, epoch, index, purpose).
"""

from enum import IntEnum

import numpy as np

from facemargin.errors import ConfigError


class Purpose(IntEnum):
    """Keeps apart the streams of different uses that share a seed."""

    AUGMENTATION = 0
    ORDER = 1
    DEGRADATION = 2
    MARGIN = 3
    CLASSES = 4
    PAIRS = 5
    DEGRADED_KIND = 6


def sample_generator(seed: int, epoch: int, index: int, purpose: Purpose = Purpose.AUGMENTATION) -> np.random.Generator:
    """The generator of one sample in one epoch: the same in every process, in any order, at any batch size.

    Raises ConfigError for a negative seed, epoch or index.
    """
    if min(seed, epoch, index) < 0:
        raise ConfigError(f"seed {seed}, epoch {epoch} and index {index} must not be negative")
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, purpose, index]))
