"""`facemargin embed … --output FOLDER` by several processes: with Ray, or a part of the images in each of them."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from facemargin.commands._embedding import EmbeddingArguments, faces_of, warn_of_unreadable
from facemargin.commands._face_source import FaceSource
from facemargin.commands._own_network import file_key, load_model
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.formats.stored_set import stored_set
from facemargin.data.source import ImageSource
from facemargin.detection.detector import detector_settings, require_detector
from facemargin.errors import ConfigError, OutputError
from facemargin.features.pieces import Pieces
from facemargin.features.ray_cluster import Cluster
from facemargin.features.ray_engine import ModelFacts, Work, model_facts, run_pieces
from facemargin.features.store import (
    HOPELESS,
    StoredFeatures,
    compute_pieces,
    none_readable,
    stored_features,
    take_up_pieces,
)
from facemargin.features.store_files import FeatureFiles
from facemargin.models.load import named_code
from facemargin.models.model import Model

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class StoredByModel:
    """The features of a folder, and the model that they are of."""

    stored: StoredFeatures
    model: Model


def check_engine(engine: Engine, address: str | None, shard: str | None, output: Path) -> None:
    """Raise ConfigError for options that do not go together."""
    if address is not None and engine != "ray":
        raise ConfigError("--address needs --engine ray: add --engine ray, or remove --address")
    if shard is not None and engine == "ray":
        raise ConfigError("--engine ray divides the images itself: remove --shard")
    option = "--engine ray" if engine == "ray" else "--shard" if shard is not None else None
    if option is not None and output.suffix != "":
        raise ConfigError(f"{option} writes a folder of arrays, but --output is {output}: give a name without a suffix")
    if shard is not None:
        _shard(shard)


def set_or_named_images(locations: tuple[Path, ...]) -> ImageSource:
    """The images of a data set in tar, RecordIO or parquet files, or those in files, folders and lists."""
    return stored_set(locations) or NamedImages(locations)


def names_of(images: ImageSource) -> Iterable[str]:
    """The names of images in images.csv: those of files, or the records of a data set."""
    return images.names if isinstance(images, NamedImages) else map(images.describe, range(len(images)))


def settings_key(args: EmbeddingArguments, model: Model) -> str:
    """What the features depend on beside the weights, the views and the names of the images."""
    key = str(detector_settings(require_detector(args.detector))) if args.detect else ""
    key += "" if args.on_several == "largest" else args.on_several
    if not model.recognizer.state_dict() or named_code(args.model):  # what it computes is in its file
        key += file_key(args.model)
    return key


def embed_shard(shard: str, model: Model, source: FaceSource, args: EmbeddingArguments, folder: Path, key: str) -> None:
    """Compute the pieces of a part of the images, and say what is left to do."""
    number, parts = _shard(shard)
    batch_size = model.batch_size if args.batch_size is None else args.batch_size
    pieces = Pieces(folder, key, len(source), model.info.embedding_size, batch_size)
    ranges = pieces.ranges
    mine = ranges[len(ranges) * (number - 1) // parts : len(ranges) * number // parts]
    with embedding_progress(Console(stderr=True), source.name) as progress:
        unreadable = compute_pieces(model, source, pieces, mine, args.views, progress)
    source.warn()
    count = sum(map(len, mine))
    warn_of_unreadable(list(unreadable.values()), count - len(unreadable), args.detect)
    say(
        f"part {number} of {parts}: {counted(len(mine), 'piece')} of {len(ranges):,}, {counted(count, 'image')} of "
        f"{len(source):,}; when all parts are done, the same command without --shard puts them together; {folder}"
    )


def embed_with_ray(args: EmbeddingArguments, images: ImageSource, folder: Path, address: str | None) -> StoredByModel:
    """Compute the missing pieces with Ray, and put all together in `folder` as they come."""
    source = faces_of(args, images)
    with Cluster(address) as cluster:
        work = Work(
            load=partial(_load, args),
            open=partial(faces_of, args, images),
            take_notes=FaceSource.take_notes,
            key_of=partial(settings_key, args),
            views=args.views,
            folder=os.getcwd(),  # noqa: PTH109
            threads=torch.get_num_threads(),
            device=_device(args.device, cluster),
        )
        facts = model_facts(cluster, work)
        pools = cluster.pools(work.device, work.threads)
        readers = pools.readers.size
        say(
            f"{args.model} computes on {facts.where}, in {counted(pools.embedders.size, 'process', 'processes')} of "
            f"Ray; {counted(readers, 'more process reads', 'more processes read')} images",
            stderr=True,
        )
        stored = _put_together(cluster, work, facts, source, folder, args)
    source.warn()
    return StoredByModel(stored, load_model(args.model, "cpu", args))


def _put_together(
    cluster: Cluster, work: Work, facts: ModelFacts, source: FaceSource, folder: Path, args: EmbeddingArguments
) -> StoredFeatures:
    batch_size = facts.batch_size if args.batch_size is None else args.batch_size
    pieces = Pieces(folder, facts.key, len(source), facts.embedding_size, batch_size)
    files = FeatureFiles(folder, facts.key, len(source), facts.embedding_size)
    again = len(files.unreadable)
    with files:
        pieces.begin()
        missing = [piece for piece in pieces.ranges if not pieces.is_done(piece, files.done)]
        done = len(source) - sum(map(len, missing))
        unreadable: dict[int, str] = {}
        replaced: set[str] = set()
        try:
            with embedding_progress(Console(stderr=True), source.name) as progress:
                take_up_pieces(pieces, files)
                for finished in run_pieces(cluster, work, facts, pieces, missing):
                    done += len(finished.piece)
                    unreadable |= finished.messages
                    source.add_notes(finished.notes)
                    replaced |= {finished.worker} if finished.restarted else set()
                    if len(unreadable) == done >= min(HOPELESS, len(source)):
                        raise none_readable(source, done, unreadable)
                    progress(done, len(source))
                    take_up_pieces(pieces, files)
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
            of_all = f"{done:,} of {counted(len(source), 'image')}"
            say(f"interrupted; {of_all} are done, and the same command continues; {folder}", stderr=True)
            raise
        if files.done < len(source):
            raise OutputError(
                f"{folder} has no piece of image {files.done}, which another machine has computed: give a folder on a "
                "file system that all machines share"
            )
        files.save()
        pieces.remove(files.done)
    if replaced:
        say(
            f"note: Ray has replaced {counted(len(replaced), 'process', 'processes')} that ended on the way",
            stderr=True,
        )
    if again:
        say(
            f"note: {counted(again, 'image')} could not be read in an earlier run; the same command without --engine "
            "ray tries to read them again",
            stderr=True,
        )
    return stored_features(files)


def _load(args: EmbeddingArguments, device: str) -> Model:
    return load_model(args.model, device, args, args.precision)


def _device(asked: str, cluster: Cluster) -> str:
    """ "cuda" or "cpu", for every process."""
    if asked not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device is {asked}, but Ray chooses the GPU of each process: give auto, cuda or cpu")
    if asked == "cuda" and not cluster.gpus:
        raise ConfigError("--device is cuda, but the Ray cluster has no GPU: give auto or cpu")
    return "cuda" if cluster.gpus and asked != "cpu" else "cpu"


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise ConfigError(f"--shard is {text!r}, expected K/N with K from 1 to N, such as 3/8 for the third of 8 parts")
    return int(match[1]), int(match[2])
