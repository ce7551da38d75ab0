"""`facemargin embed MODEL IMAGES… --output embeddings.npz`. Shapes: N images, D embedding size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import check_batch_size, load_on_device
from facemargin.commands._embed_engine import (
    Engine,
    StoredByModel,
    check_engine,
    embed_shard,
    embed_with_ray,
    names_of,
    set_or_named_images,
    settings_key,
)
from facemargin.commands._embed_video import embed_videos, save_embeddings
from facemargin.commands._embedding import (
    MEASURES,
    EmbeddedImages,
    EmbeddingArguments,
    check_arguments,
    embed_images,
    faces_of,
    warn_of_unreadable,
)
from facemargin.commands._face_files import write_csv
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import warn_of_quality
from facemargin.commands._say import say
from facemargin.commands._video_tracks import TrackArguments, check_video_options
from facemargin.counting import counted
from facemargin.data.formats.named_files import VIDEOS, find_named_files
from facemargin.data.source import ImageSource
from facemargin.detection.detector import require_detector
from facemargin.errors import ConfigError
from facemargin.features.pooling import pool_by_quality
from facemargin.features.store import extract_features, features_key


@dataclass(frozen=True, kw_only=True)
class Arguments(EmbeddingArguments, TrackArguments):
    """Write the embeddings, norms and qualities of images, or of the faces in videos, to a file, which `facemargin
    evaluate` can read. For more images than fit into memory, write a folder of arrays; there an interrupted run can
    continue."""

    output: Path
    """The .npz file to write (an existing file is replaced), or a folder, given by a name without a suffix."""
    by_folder: bool = False
    """Write one embedding for all images of a folder, such as the frames of a video: their mean, weighted by
    quality."""
    video: bool = False
    """IMAGES are videos, folders of videos or lists of them: find the faces in sampled frames, link them to tracks of
    a person, and write one embedding per track, with a table of the tracks beside it."""
    save_faces: Path | None = None
    """With --video: a folder for the best aligned face of every track."""
    engine: Engine = "local"
    """What computes a folder of arrays: local, which is this process, or ray, which is the processes of this machine or
    of a Ray cluster."""
    address: str | None = None
    """With --engine ray: the Ray cluster that runs already, as HOST:PORT of its head, or auto for the one of this
    machine. By default one is started on this machine, and stopped in the end."""
    shard: str | None = None
    """K/N: compute only the K-th of N parts of a folder of arrays, beside other processes that compute the others. The
    same command without --shard then puts the parts together."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "embed", arguments)
    _check_video(args)
    check_engine(args.engine, args.address, args.shard, args.output)
    if args.output.suffix not in (".npz", ""):
        raise ConfigError(
            f"--output is {args.output}, expected a name that ends in .npz, or the name of a folder without a suffix"
        )
    if args.video:
        return _embed_videos(args)
    if args.output.suffix == "":
        return _embed_to_folder(args)
    embedded = embed_images(args)
    images, count = len(embedded.names), ""
    if args.by_folder:
        embedded = _pooled(embedded)
        count = f" of the folders of {counted(images, 'image')}"
    say_replaced(args.output)
    save_embeddings(embedded.embeddings, embedded.names, args.output)
    warn_of_unreadable(embedded.unreadable, images, args.detect)
    _say(len(embedded.names), embedded.embeddings.vectors.shape[1], count, embedded.measure, args.output)
    warn_of_quality(args.model, embedded.model)
    return 0


def _embed_to_folder(args: Arguments) -> int:
    if args.by_folder:
        raise ConfigError(
            "--by-folder writes one embedding per folder and needs an .npz file: give a name that ends in .npz as "
            "--output"
        )
    check_arguments(args)
    images = set_or_named_images(args.images)
    use_ray = args.engine == "ray"
    done = embed_with_ray(args, images, args.output, args.address) if use_ray else _embed_here(args, images)
    if done is None:
        return 0
    rows = ((index, name, done.stored.unreadable.get(index, "")) for index, name in enumerate(names_of(images)))
    write_csv(["row", "path", "problem"], rows, args.output / "images.csv")
    readable = int(np.count_nonzero(done.stored.readable_N))
    warn_of_unreadable(list(done.stored.unreadable.values()), readable, args.detect)
    _say(readable, done.stored.features_ND.shape[1], "", MEASURES[done.model.info.quality], args.output)
    warn_of_quality(args.model, done.model)
    return 0


def _embed_here(args: Arguments, images: ImageSource) -> StoredByModel | None:
    """None if only a part was computed, which is said."""
    model = load_on_device(args.model, args)
    source = faces_of(args, images)
    key = features_key(model, source, args.views, settings_key(args, model))
    if args.shard is not None:
        embed_shard(args.shard, model, source, args, args.output, key)
        return None
    with embedding_progress(Console(stderr=True), images.name) as progress:
        stored = extract_features(model, source, args.output, key, args.batch_size, args.views, progress)
    source.warn()
    return StoredByModel(stored, model)


def _say(count: int, size: int, of_what: str, measure: str, output: Path) -> None:
    say(f"{counted(count, 'embedding')}{of_what} of {size} values, quality: {measure}; {output}")


def _pooled(embedded: EmbeddedImages) -> EmbeddedImages:
    folders = [Path(name).parent.as_posix() for name in embedded.names]
    names, group_N = np.unique(folders, return_inverse=True)
    embeddings = pool_by_quality(embedded.embeddings, group_N)
    return replace(embedded, embeddings=embeddings, names=names.tolist(), paths=[Path(name) for name in names])


def _check_video(args: Arguments) -> None:
    """Raise ConfigError for options that do not go together."""
    check_video_options(args, ("save_faces",), args.video, "--video")
    if not args.video:
        return
    for option, given, why in (
        ("--by-folder", args.by_folder, "writes one embedding per track of a face"),
        ("--on-several", args.on_several != "largest", "uses all faces"),
    ):
        if given:
            raise ConfigError(f"--video {why}: remove {option}")
    if args.output.suffix != ".npz":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .npz with --video")


def _embed_videos(args: Arguments) -> int:
    check_batch_size(args.batch_size)
    videos = find_named_files(args.images, VIDEOS)
    model = load_on_device(args.model, args)
    code = embed_videos(
        videos,
        model,
        args.output,
        args.save_faces,
        detector=require_detector(args.detector),
        batch_size=args.batch_size,
        views=args.views,
        **args.tracking(),
    )
    warn_of_quality(args.model, model)
    return code
