"""The low-quality twin of a verification set: the same pairs of degraded images."""

from dataclasses import replace

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.quality.degradation import DegradedImages


def degraded_twin(verification_set: VerificationSet, seed: int = 0) -> VerificationSet:
    """Every image of the set degraded by a strength of its own (see `DegradedImages`); deterministic in `seed`."""
    images = DegradedImages(verification_set.images, seed)
    return replace(verification_set, name=f"{verification_set.name}-degraded", images=images)
