"""The common part of `embed` and `quality`: a model, images, and the embeddings of the readable images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._face_source import FaceSource, OnSeveral, check_detection
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.source import ImageSource
from facemargin.detection.detect import Watch
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.measures import Measure, make_measure
from facemargin.models.model import Model
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views
from facemargin.quality import QualityName

MEASURES: dict[QualityName, str] = {"norm": "feature norm", "crfiqa": "CR-FIQA's prediction"}


@dataclass(frozen=True, kw_only=True)
class EmbeddingArguments(ComputingArguments):
    """The arguments of the commands that embed images."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Image files, folders of images at any depth, and .txt files with paths of images. Faces must be aligned as in
    training."""
    detect: bool = False
    """The images are photographs: find and align the face in each of them first."""
    on_several: OnSeveral = "largest"
    """With --detect: the face to use in a photograph with several faces, which is the largest, the most central, or
    none (error: the photograph is named and left out). A warning says how many photographs had several faces."""
    detector: DetectorName = DEFAULT_DETECTOR
    """With --detect, what finds the faces."""
    batch_size: int | None = None
    """Number of images to embed at a time. The default is 64 on the CPU and 256 on a GPU."""
    views: Views | None = None
    """Views of an image to average. The default is that of the model."""


@dataclass(frozen=True)
class EmbeddedImages:
    """`embeddings` of the `model`, with the `paths` and `names` (see NamedImages) of their images, which are at
    `indices` of all images, those of `source`. `measure` is the name of the quality measure. `unreadable` has the error
    of every image without an embedding. `measures`: those that were asked for, by name."""

    model: Model
    measures: dict[str, Measure]
    source: FaceSource
    embeddings: Embeddings
    paths: list[Path]
    names: list[str]
    indices: list[int]
    measure: str
    unreadable: list[str]


def embed_images(args: EmbeddingArguments, watch: Watch | None = None, measures: Sequence[str] = ()) -> EmbeddedImages:
    """Embed the readable images, and call `watch` with each. Progress is shown on stderr if it is a terminal. Raises
    ConfigError, before anything is embedded, for one of `measures` that does not apply to the model."""
    check_arguments(args)
    images = NamedImages(args.images)
    model = load_on_device(args.model, args)
    made = {name: make_measure(name, model) for name in measures}
    source = faces_of(args, images, watch)
    with embedding_progress(Console(stderr=True), images.name) as progress:
        result = embed_readable(model, source, args.batch_size, args.views, progress)
    source.warn()
    return EmbeddedImages(
        model=model,
        measures=made,
        source=source,
        embeddings=result.embeddings,
        paths=[images.paths[index] for index in result.indices_R],
        indices=result.indices_R.tolist(),
        names=[images.names[index] for index in result.indices_R],
        measure=MEASURES[model.info.quality],
        unreadable=result.unreadable,
    )


def check_arguments(args: EmbeddingArguments) -> None:
    """Raise ConfigError for a batch size below 1, and for an option that needs another option."""
    check_batch_size(args.batch_size)
    check_detection(args.detect, args.on_several, args.detector)


def faces_of(args: EmbeddingArguments, images: ImageSource, watch: Watch | None = None) -> FaceSource:
    """The images, or the faces that are found in them with `detect`."""
    return FaceSource(images, args.detect, args.on_several, args.detector, watch)


def warn_of_unreadable(unreadable: Sequence[str], readable: int, detect: bool = False) -> None:
    """Print the names and the number of the images that were left out, if any, to stderr. `readable` is the number of
    the others."""
    for message in unreadable:
        say(message, stderr=True)
    if unreadable:
        count, shown = len(unreadable), " or show no face" if detect else ""
        say(
            f"warning: {count:,} of {counted(count + readable, 'image')} cannot be read{shown} and "
            f"{'was' if count == 1 else 'were'} left out; {'it is' if count == 1 else 'they are'} named above",
            stderr=True,
        )
