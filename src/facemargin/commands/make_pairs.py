"""`facemargin make-pairs IMAGES --output pairs.bin`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.commands._writing_pairs import check_output, write_pairs
from facemargin.data.open import open_images
from facemargin.data.pairs.sampling import DrawnPairs, all_pairs, count_pairs, draw_counted_pairs, draw_pairs
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages
from facemargin.errors import ConfigError, DataError, ImageError

_BIN_FOLDS = 10
_DEFAULT_PAIRS, _DEFAULT_FOLDS = 6000, 10


_MOST_PAIRS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write a verification set of your own faces. Pairs are drawn by LFW's rules, half of them genuine, or in the
    numbers that you give; --all writes every pair. The people of a fold are in no other fold, and no pair occurs twice.
    Image bytes are copied unchanged, except for rare formats such as TIFF and HEIC, which become PNG."""

    images: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IMAGES")]
    """A folder with one folder per person, or any other training set."""
    output: Path
    """A .bin file, or a new folder, which also keeps folds and people."""
    pairs: int | None = None
    """The number of pairs to draw, half of them genuine. The default is 6000."""
    genuine: int | None = None
    """Together with --impostors, instead of --pairs: the number of genuine pairs to draw."""
    impostors: int | None = None
    """Together with --genuine, instead of --pairs: the number of impostor pairs to draw."""
    all: bool = False
    """Write every pair of images, without folds, instead of drawing. For sets with too few people for folds."""
    folds: int | None = None
    """The number of folds without common people. The default is 10; a .bin file always has ten."""
    seed: int = 0
    """The seed for drawing pairs."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "make-pairs", arguments)
    check_output(args.output)
    _check(args)
    images = open_images(args.images)
    drawn, corrupt = _draw_readable(images, lambda labels_N: _draw(labels_N, args))
    for message in corrupt:
        say(f"left out: {message}", stderr=True)
    pairs = VerificationSet(
        name=args.output.stem,
        images=images,
        first_K=drawn.first_K,
        second_K=drawn.second_K,
        same_K=drawn.same_K,
        folds_K=drawn.folds_K,
        identities_N=images.labels,
        identity_names=images.identity_names,
    )
    write_pairs(pairs, args.output, "writing")
    return 0


def _check(args: Arguments) -> None:
    if args.all and (args.pairs, args.genuine, args.impostors, args.folds) != (None,) * 4:
        raise ConfigError("--all writes every pair, without folds: remove --pairs, --genuine, --impostors and --folds")
    if args.pairs is not None and (args.genuine is not None or args.impostors is not None):
        raise ConfigError("give either --pairs, half of which are genuine, or --genuine and --impostors, not both")
    if (args.genuine is None) != (args.impostors is None):
        given, missing = ("genuine", "impostors") if args.impostors is None else ("impostors", "genuine")
        raise ConfigError(f"--{given} is given, but --{missing} is not: give both")
    if args.output.suffix != ".bin":
        return
    if args.all:
        raise ConfigError("--all makes no folds, but a .bin file always has ten: give a folder as --output")
    if args.folds not in (None, _BIN_FOLDS):
        raise ConfigError(
            f"--folds is {args.folds}, but a .bin file always has {_BIN_FOLDS}: give a folder as --output"
        )


def _draw(labels_N: NDArray[np.int64], args: Arguments) -> DrawnPairs:
    if args.all:
        genuine, impostors = count_pairs(labels_N)
        if genuine + impostors > _MOST_PAIRS:
            raise ConfigError(
                f"--all of {len(labels_N):,} images are {genuine:,} genuine and {impostors:,} impostor pairs; expected "
                f"{_MOST_PAIRS:,} or fewer. Draw some with --genuine and --impostors"
            )
        if not genuine or not impostors:
            raise DataError(
                f"{len(labels_N):,} images make {genuine:,} genuine and {impostors:,} impostor pairs; expected "
                "some of both kinds: at least two people, and at least two images of one of them"
            )
        return all_pairs(labels_N)
    folds = _DEFAULT_FOLDS if args.folds is None else args.folds
    if args.genuine is not None and args.impostors is not None:
        return draw_counted_pairs(labels_N, args.genuine, args.impostors, folds, args.seed)
    return draw_pairs(labels_N, _DEFAULT_PAIRS if args.pairs is None else args.pairs, folds, args.seed)


def _draw_readable(
    images: LabeledImages, draw: Callable[[NDArray[np.int64]], DrawnPairs]
) -> tuple[DrawnPairs, list[str]]:
    """Draw pairs of readable images, and return the errors of the others. If an image cannot be decoded, pairs are
    drawn again without it."""
    usable_N = np.ones(len(images), dtype=np.bool_)
    checked: set[int] = set()
    corrupt: list[str] = []
    while True:
        usable = np.flatnonzero(usable_N)
        drawn = draw(images.labels[usable])
        drawn = drawn._replace(first_K=usable[drawn.first_K], second_K=usable[drawn.second_K])
        used = {*drawn.first_K.tolist(), *drawn.second_K.tolist()}
        unchecked = sorted(used - checked)
        with embedding_progress(Console(stderr=True), images.name, "checking") as progress:
            for number, index in enumerate(unchecked, 1):
                try:
                    images.read(index)
                except ImageError as error:
                    corrupt.append(str(error))
                    usable_N[index] = False
                progress(number, len(unchecked))
        checked |= used
        if usable_N[list(used)].all():
            return drawn, corrupt
