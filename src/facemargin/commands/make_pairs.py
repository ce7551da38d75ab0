"""`facemargin make-pairs IMAGES --output pairs.bin`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from facemargin.commands.arguments import parse
from facemargin.commands.progress import embedding_progress
from facemargin.commands.writing_pairs import check_output, write_pairs
from facemargin.data.open import open_images
from facemargin.data.pair_sampling import DrawnPairs, draw_pairs
from facemargin.data.source import LabelledImages
from facemargin.data.verification import VerificationSet
from facemargin.errors import ConfigError, CorruptImageError

_BIN_FOLDS = 10


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write a verification set of your own faces: as many genuine as impostor pairs, drawn by LFW's rules. The people
    of a fold are in no other fold, no pair is there twice, and the images' bytes stay as they are."""

    images: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IMAGES")]
    """A folder of one folder per person, or anything else that facemargin trains on."""
    output: Path
    """A .bin file, or a folder to make, which keeps folds and people."""
    pairs: int = 6000
    """Pairs to draw."""
    folds: int = 10
    """Folds without a person in common; a .bin file always has ten."""
    seed: int = 0
    """Another seed draws other pairs."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "make-pairs", arguments)
    check_output(own.output)
    if own.output.suffix == ".bin" and own.folds != _BIN_FOLDS:
        raise ConfigError(f"--folds is {own.folds}, but a .bin file always has {_BIN_FOLDS}; name a folder as --output")
    images = open_images(own.images)
    drawn, corrupt = _draw_readable(images, own)
    for message in corrupt:
        Console(stderr=True).print(f"left out: {message}", highlight=False, markup=False, soft_wrap=True)
    pairs = VerificationSet(
        name=own.output.stem,
        images=images,
        first_K=drawn.first_K,
        second_K=drawn.second_K,
        same_K=drawn.same_K,
        folds_K=drawn.folds_K,
        identities_N=images.labels,
        identity_names=images.identity_names,
    )
    write_pairs(pairs, own.output, "writing")
    return 0


def _draw_readable(images: LabelledImages, own: Arguments) -> tuple[DrawnPairs, list[str]]:
    """Pairs of images that can be decoded, and what is wrong with those that cannot: drawn again without them."""
    usable_N = np.ones(len(images), dtype=np.bool_)
    checked: set[int] = set()
    corrupt: list[str] = []
    while True:
        usable = np.flatnonzero(usable_N)
        drawn = draw_pairs(images.labels[usable], own.pairs, own.folds, own.seed)
        drawn = drawn._replace(first_K=usable[drawn.first_K], second_K=usable[drawn.second_K])
        used = {*drawn.first_K.tolist(), *drawn.second_K.tolist()}
        unchecked = sorted(used - checked)
        with embedding_progress(Console(stderr=True), images.name, "checking") as progress:
            for number, index in enumerate(unchecked, 1):
                try:
                    images.read(index)
                except CorruptImageError as error:
                    corrupt.append(str(error))
                    usable_N[index] = False
                progress(number, len(unchecked))
        checked |= used
        if usable_N[list(used)].all():
            return drawn, corrupt
