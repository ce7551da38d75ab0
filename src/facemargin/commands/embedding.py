"""What `embed` and `quality` share: a model, images, and the embeddings of those that can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands.progress import embedding_progress
from facemargin.data.image_files import NamedImages
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.inference import load
from facemargin.inference.readable import embed_readable
from facemargin.inference.views import Views
from facemargin.quality import QualityName

_MEASURES: dict[QualityName, str] = {"norm": "feature norm", "crfiqa": "CR-FIQA's prediction"}


@dataclass(frozen=True, kw_only=True)
class EmbeddingArguments:
    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder or a model file."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Image files and folders of them, of any depth; faces aligned as in training."""
    batch_size: int = 64
    """Images that are embedded at once."""
    views: Views | None = None
    """Views of an image to average; by default the model's own."""


@dataclass(frozen=True)
class EmbeddedImages:
    """`embeddings` with the `paths` and `names` (see NamedImages) of their images. `measure` says what the model takes
    for quality, `unreadable` what is wrong with each image that is not here."""

    embeddings: Embeddings
    paths: list[Path]
    names: list[str]
    measure: str
    unreadable: list[str]


def embed_images(own: EmbeddingArguments) -> EmbeddedImages:
    """Embed the images that can be read; progress goes to stderr where that is a terminal."""
    if own.batch_size < 1:
        raise ConfigError(f"--batch-size is {own.batch_size}, expected at least 1")
    images = NamedImages(own.images)
    model = load(own.model)
    with embedding_progress(Console(stderr=True), images.name) as progress:
        result = embed_readable(model, images, own.batch_size, own.views, progress)
    return EmbeddedImages(
        embeddings=result.embeddings,
        paths=[images.paths[index] for index in result.indices_R],
        names=[images.names[index] for index in result.indices_R],
        measure=_MEASURES[model.info.quality],
        unreadable=result.unreadable,
    )


def warn_of_unreadable(unreadable: Sequence[str], readable: int) -> None:
    """Name and count on stderr the images that had to be left out beside `readable` others; nothing where none was."""
    console = Console(stderr=True)
    for message in unreadable:
        console.print(message, highlight=False, markup=False, soft_wrap=True)
    if unreadable:
        count = len(unreadable)
        console.print(
            f"warning: {count:,} of {count + readable:,} images cannot be read and were left out; they are named above",
            highlight=False,
            soft_wrap=True,
        )
