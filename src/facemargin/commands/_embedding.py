"""What `embed` and `quality` share: a model, images, and the embeddings of those that can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._face_source import FaceSource, OnSeveral, check_detection
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.load import load
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views
from facemargin.quality import QualityName

MEASURES: dict[QualityName, str] = {"norm": "feature norm", "crfiqa": "CR-FIQA's prediction"}


@dataclass(frozen=True, kw_only=True)
class EmbeddingArguments:
    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder or a model file."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Image files, folders of them, of any depth, and .txt files that list them; faces aligned as in training."""
    detect: bool = False
    """Find and align the face of each image first: the images are photographs."""
    on_several: OnSeveral = "largest"
    """With --detect, which face of a photograph with several: the largest, the most central, or none (error: the
    photograph is named and left out). How many showed several is said."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""
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


def embed_images(args: EmbeddingArguments) -> EmbeddedImages:
    """Embed the images that can be read; progress goes to stderr where that is a terminal."""
    check_arguments(args)
    images = NamedImages(args.images)
    model = load(args.model)
    source = faces_of(args, images)
    with embedding_progress(Console(stderr=True), images.name) as progress:
        result = embed_readable(model, source, args.batch_size, args.views, progress)
    source.warn()
    return EmbeddedImages(
        embeddings=result.embeddings,
        paths=[images.paths[index] for index in result.indices_R],
        names=[images.names[index] for index in result.indices_R],
        measure=MEASURES[model.info.quality],
        unreadable=result.unreadable,
    )


def check_arguments(args: EmbeddingArguments) -> None:
    """ConfigError for a batch of none, and for options that go with another."""
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size is {args.batch_size}, expected at least 1")
    check_detection(args.detect, args.on_several, args.detector)


def faces_of(args: EmbeddingArguments, images: NamedImages) -> FaceSource:
    """The images, or the faces that are found in them."""
    return FaceSource(images, args.detect, args.on_several, args.detector)


def warn_of_unreadable(unreadable: Sequence[str], readable: int, detect: bool = False) -> None:
    """Name and count on stderr the images that had to be left out beside `readable` others; nothing where none was."""
    for message in unreadable:
        say(message, stderr=True)
    if unreadable:
        count, shown = len(unreadable), " or show no face" if detect else ""
        say(
            f"warning: {count:,} of {counted(count + readable, 'image')} cannot be read{shown} and "
            f"{'was' if count == 1 else 'were'} left out; {'it is' if count == 1 else 'they are'} named above",
            stderr=True,
        )
