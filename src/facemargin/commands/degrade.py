"""`facemargin degrade SET --output twin.bin --kind blur,jpeg --strength 0.5`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._origin import require_other_file
from facemargin.commands._say import say
from facemargin.commands._writing_pairs import check_output, keeps_folds, write_pairs
from facemargin.data.open import open_verification
from facemargin.quality.degradation_kinds import DegradedByKinds


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write a low-quality copy of a verification set: the same pairs with degraded images, stored without loss."""

    pairs: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SET")]
    """A verification set, as for facemargin evaluate."""
    output: Path
    """A .bin file, or a new folder, which also keeps folds and people."""
    kind: str
    """One or more of occlusion, blur, downscale, brightness, noise, jpeg, separated by commas."""
    strength: float = 0.5
    """From 0 (the unchanged image) to 1."""
    seed: int = 0
    """The seed for the noise and the hidden places."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "degrade", arguments)
    check_output(args.output)
    pairs = open_verification(args.pairs)
    require_other_file(args.output, Path(pairs.images.name))
    images = DegradedByKinds(pairs.images, [kind.strip() for kind in args.kind.split(",")], args.strength, args.seed)
    if not keeps_folds(args.output, pairs):
        say(
            "warning: a .bin file always has ten blocks of pairs as folds, which are not the folds of "
            f"{pairs.name}; a folder as --output keeps them",
            stderr=True,
        )
    write_pairs(replace(pairs, images=images), args.output, "degrading")
    return 0
