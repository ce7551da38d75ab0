"""Every face mirrored, as another person: twice the identities for a small training set."""

import numpy as np

from facemargin.data.source import LabelledImages, RGBImage


class WithMirroredIdentities(LabelledImages):
    """The images of `source`, then all of them mirrored left to right as people of their own.

    Faces are not symmetric, so a mirrored person is a plausible new one. Train without random flips then: a flip would
    give an image its twin's label.
    """

    def __init__(self, source: LabelledImages) -> None:
        self.name = f"{source.name}, with mirrored identities"
        self.labels = np.concatenate([source.labels, source.labels + source.num_identities])
        self.identity_names = [*source.identity_names, *(f"{name} (mirrored)" for name in source.identity_names)]
        self.has_names = source.has_names
        self._source = source

    def __len__(self) -> int:
        return 2 * len(self._source)

    def read(self, index: int) -> RGBImage:
        image = self._source.read(index % len(self._source))
        return image if index < len(self._source) else image[:, ::-1]

    def describe(self, index: int) -> str:
        text = self._source.describe(index % len(self._source))
        return text if index < len(self._source) else f"{text} (mirrored)"
