"""Warns about images that are not square, because networks resize them to a square, which distorts them."""

import logging

import numpy as np

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.errors import ImageError

LOOKED_AT = 100

logger = logging.getLogger(__name__)


def warn_of_squashed(images: ImageSource) -> None:
    """Look at up to 100 images (spread over the set, if they can be read in any order) and log how many of them are not
    square, as aligned faces are. There is no warning for the whole frames of the embedded faces (`orl-full`), which are
    chosen on purpose."""
    if isinstance(images, EmbeddedFaces):
        return
    in_blocks = isinstance(images, LabeledImages) and images.blocks is not None
    looked_at = min(LOOKED_AT, len(images))
    indices = range(looked_at) if in_blocks else np.linspace(0, len(images) - 1, looked_at).astype(int).tolist()
    squashed = []
    for index in indices:
        try:
            height, width = images.read(index).shape[:2]
        except ImageError:  # such images are counted where they are used
            continue
        if height != width:
            squashed.append(f"{images.describe(index)}: {width} × {height}")
    if squashed:
        logger.warning(
            "%s: %d of the %d images looked at %s not square (%s%s) and will be squashed to a square. Recognisers read "
            "aligned faces: facemargin align finds them in photographs and cuts them out",
            images.name,
            len(squashed),
            looked_at,
            "is" if len(squashed) == 1 else "are",
            ", ".join(squashed[:3]),
            ", …" if len(squashed) > 3 else "",
        )
