"""Whether a run that goes on still trains on the images that it started with.

Labels and the order of images are numbers: a person renamed, added or swapped for another leaves every file of a run as
it was and means somebody else. A checkpoint keeps who the people are, how many images each has, a digest of all labels
in their order, and digests of the stored bytes of a sample of images. Where the training set lies is none of it.

Shapes: N images, C people, S sampled images.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemargin.data.digest import image_digest, sampled
from facemargin.data.source import LabeledImages
from facemargin.errors import CheckpointError, ConfigError

_MOST_NAMED = 5


@dataclass(frozen=True)
class DataFingerprint:
    """`people`: their names in the order of the labels, a line each as UTF-8 bytes. `counts_C`: images of each.
    `labels`: digest of all labels. `sample_S`: digests of the sampled images, which N alone decides."""

    people: Tensor
    counts_C: Tensor
    labels: str
    sample_S: Tensor

    @classmethod
    def of(cls, images: LabeledImages) -> "DataFingerprint":
        """Reads the labels and up to 1,024 images, without decoding them."""
        labels_N = np.ascontiguousarray(images.labels, dtype="<i8")
        names = "\n".join(name.replace("\n", " ") for name in images.identity_names)
        return cls(
            people=torch.from_numpy(np.frombuffer(names.encode("utf-8", "surrogateescape"), np.uint8).copy()),
            counts_C=torch.from_numpy(np.bincount(labels_N[labels_N >= 0], minlength=images.num_identities)),
            labels=hashlib.blake2b(labels_N.tobytes(), digest_size=16).hexdigest(),
            sample_S=torch.tensor(
                [image_digest(images, int(index)) for index in sampled(len(images))], dtype=torch.int64
            ),
        )

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "DataFingerprint":
        """What `to_dict` gave; CheckpointError for anything else."""
        try:
            fingerprint = cls(**saved)
            fingerprint.names()
            if fingerprint.counts_C.ndim != 1 or fingerprint.sample_S.ndim != 1:
                raise TypeError("a number where rows were expected")
        except (TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not say what it was trained on: {error}") from error
        return fingerprint

    def to_dict(self) -> dict[str, Any]:
        """Plain tensors and texts."""
        return asdict(self)

    def names(self) -> list[str]:
        """The people's names, in the order of the labels."""
        return bytes(self.people.numpy()).decode("utf-8", "surrogateescape").split("\n")

    def require_same(self, now: "DataFingerprint", images: LabeledImages) -> None:
        """ConfigError, saying what changed, where `now`, that of `images`, is not this one."""
        changes = self._changes(now, images)
        if changes:
            raise ConfigError(
                f"{images.name} is not the training set that this run was started with: {'; '.join(changes)}. Its "
                "class centres would stand for other people. Go back to the images as they were, or start a new run in "
                "another --output (with --initial-weights it starts from this one's weights)"
            )

    def _changes(self, now: "DataFingerprint", images: LabeledImages) -> list[str]:
        before, after = (dict(zip(data.names(), data.counts_C.tolist(), strict=False)) for data in (self, now))
        changes = []
        if new := [name for name in after if name not in before]:
            changes.append(f"new: {_people(new)}")
        if missing := [name for name in before if name not in after]:
            changes.append(f"missing: {_people(missing)}")
        if other := [name for name in after if before.get(name, after[name]) != after[name]]:
            shown = [f"{name} ({before[name]} before, {after[name]} now)" for name in other]
            changes.append(f"another number of images of {_listed(shown)}")
        if changes:
            return changes
        if self.names() != now.names() or self.labels != now.labels or len(self.sample_S) != len(now.sample_S):
            return ["the people are the same, but their images come in another order"]
        differ = (self.sample_S != now.sample_S).nonzero().flatten().tolist()
        if differ:
            indices = sampled(len(images))[differ]
            shown = [images.describe(int(index)) for index in indices]
            changes.append(
                f"{len(differ)} of {len(self.sample_S)} images compared have other content: {_listed(shown)}"
            )
        return changes


def _people(names: Sequence[str]) -> str:
    return f"{len(names):,} {'person' if len(names) == 1 else 'people'} ({_listed(names)})"


def _listed(shown: Sequence[str]) -> str:
    more = len(shown) - _MOST_NAMED
    return ", ".join(shown[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
