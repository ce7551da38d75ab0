"""`facemargin embed MODEL IMAGES… --output embeddings.npz`. Shapes: N images, D embedding size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from facemargin.atomic import write_atomically
from facemargin.commands.arguments import parse
from facemargin.commands.embedding import EmbeddedImages, EmbeddingArguments, embed_images, warn_of_unreadable
from facemargin.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Arguments(EmbeddingArguments):
    """Write the embeddings, norms and qualities of images to a file that `facemargin evaluate` reads, too."""

    output: Path
    """The .npz file to write; one that is there is replaced."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "embed", arguments)
    if own.output.suffix != ".npz":
        raise ConfigError(f"--output is {own.output}, expected a name that ends in .npz")
    found = embed_images(own)
    write_atomically(own.output, lambda path: _save(found, path))
    warn_of_unreadable(found.unreadable, len(found.paths))
    count, size = found.embeddings.vectors.shape
    Console().print(
        f"{count:,} embeddings of {size} values, quality: {found.measure}; {own.output}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _save(found: EmbeddedImages, path: Path) -> None:
    """Arrays `paths` (N,), `embeddings` (N, D) before normalisation, `norms` (N,) and `quality` (N,); no pickles."""
    embeddings = found.embeddings
    with path.open("wb") as file:
        np.savez(
            file,
            paths=np.array(found.names),
            embeddings=embeddings.vectors * embeddings.norms[:, None],
            norms=embeddings.norms,
            quality=embeddings.quality,
        )
