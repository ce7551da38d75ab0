"""Random numbers that depend on their purpose only, never on the process that draws them or the time.

Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the key and the high
words of the counter address disjoint streams, so one exists for every (seed, epoch, index, purpose).
"""

from enum import IntEnum

import numpy as np

from facemargin.errors import ConfigError


class Purpose(IntEnum):
    """Separates the streams of different uses that share a seed."""

    AUGMENTATION = 0
    ORDER = 1
    DEGRADATION = 2
    MARGIN = 3
    CLASSES = 4
    PAIRS = 5
    DEGRADED_KIND = 6
    QUALITY_CHECK = 7
    DROPOUT = 8


def sample_generator(seed: int, epoch: int, index: int, purpose: Purpose = Purpose.AUGMENTATION) -> np.random.Generator:
    """The generator of one sample in one epoch: the same in every process, in any order, at any batch size.

    Raises ConfigError for a negative seed, epoch or index.
    """
    _require_no_negative(seed, epoch, index)
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, purpose, index]))


class SampleStreams:
    """The streams of `sample_generator` from one generator, which is reset to the start of each stream. Creating a new
    generator would take four times as long."""

    def __init__(self, purpose: Purpose = Purpose.AUGMENTATION) -> None:
        self._generator = sample_generator(0, 0, 0, purpose)
        self._purpose = purpose

    def at(self, seed: int, epoch: int, index: int) -> np.random.Generator:
        """The generator of one sample. It is valid until the next call."""
        _require_no_negative(seed, epoch, index)
        counter = np.array([0, 0, self._purpose, index], dtype=np.uint64)
        key = np.array([seed, epoch], dtype=np.uint64)
        self._generator.bit_generator.state = _EMPTY_BUFFER | {"state": {"counter": counter, "key": key}}
        return self._generator


_EMPTY_BUFFER = {
    "bit_generator": "Philox",
    "buffer": np.zeros(4, dtype=np.uint64),
    "buffer_pos": 4,
    "has_uint32": 0,
    "uinteger": 0,
}


def _require_no_negative(seed: int, epoch: int, index: int) -> None:
    if min(seed, epoch, index) < 0:
        raise ConfigError(f"seed {seed}, epoch {epoch} and index {index} must not be negative")
