"""Synthetic identities made from real people, for small training sets."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

SyntheticIdentity = Literal["mirrored", "negative", "upside_down"]

_TRANSFORMS: dict[str, Callable[[RGBImage], RGBImage]] = {
    "mirrored": lambda image: image[:, ::-1],
    "negative": lambda image: 255 - image,
    "upside_down": lambda image: image[::-1],
}


class WithSyntheticIdentities(LabeledImages):
    """The images of `source`, followed by a changed copy of all of them for each of `kinds`, as additional people.

    Faces are not symmetric, so a mirrored person is a plausible new person. A photographic negative or a face upside
    down is not, but it has to be distinguished by the same kind of detail. With "mirrored", train without random flips,
    because a flipped image would look like its copy with another label. Raises ConfigError for an unknown kind.
    """

    def __init__(self, source: LabeledImages, kinds: Sequence[SyntheticIdentity]) -> None:
        for kind in kinds:
            if kind not in _TRANSFORMS:
                raise ConfigError(unknown_name("synthetic identity", kind, _TRANSFORMS))
        self.name, self.threadsafe = f"{source.name} and {', '.join(kinds)}", source.threadsafe
        self.squashing_told = source.squashing_told
        people = source.num_identities
        self.labels = np.concatenate([source.labels + people * copy for copy in range(len(kinds) + 1)])
        self.identity_names = [*source.identity_names]
        self.identity_names += [f"{name} ({kind})" for kind in kinds for name in source.identity_names]
        self.has_names = source.has_names
        self.blocks = None if source.blocks is None else source.blocks.repeated(len(kinds) + 1)
        self._source = source
        self._kinds = kinds

    def __len__(self) -> int:
        return len(self._source) * (len(self._kinds) + 1)

    def read(self, index: int) -> RGBImage:
        copy, original = divmod(index, len(self._source))
        image = self._source.read(original)
        return image if copy == 0 else np.ascontiguousarray(_TRANSFORMS[self._kinds[copy - 1]](image))

    def describe(self, index: int) -> str:
        copy, original = divmod(index, len(self._source))
        text = self._source.describe(original)
        return text if copy == 0 else f"{text} ({self._kinds[copy - 1]})"
