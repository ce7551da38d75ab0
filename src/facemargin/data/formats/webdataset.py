"""WebDataset shards: tar files with samples of an image and a `cls` file, which contains the person's number or name.

Shapes: N images.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from facemargin.data.formats.block_images import BlockImages, Encoded, cut_into_blocks
from facemargin.data.formats.blocks import Blocks
from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.shard_samples import Samples
from facemargin.data.formats.tar import TarShard
from facemargin.data.images.decode import decode_image
from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import CorruptImageError, DataError

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:(?!:)")
_MOST_SHARDS = 1_000_000


def open_shards(location: str | Path) -> LabeledImages:
    """The images of a shard, of a pattern `train-{000000..000012}.tar`, of several of these joined by `::`, or of a
    folder of shards. Raises DataError for missing shards, and for anything that is not a local file."""
    shards = [TarShard(path) for path in shard_paths(location)]
    if not shards:
        raise DataError(f"{location} holds no shards; expected files that end in {', '.join(SHARD_SUFFIXES)}")
    compressed = any(shard.compressed for shard in shards)
    return CompressedShardImages(shards, str(location)) if compressed else ShardImages(shards, str(location))


def shard_paths(location: str | Path) -> list[Path]:
    """The shards at `location`, in order; see `open_shards`."""
    is_pattern = "{" in str(location) or "::" in str(location)
    if not is_pattern and Path(location).is_dir():
        return sorted(path for path in Path(location).iterdir() if _is_shard(path))
    paths = [Path(name) for part in str(location).split("::") for name in _expanded(part)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"shards do not exist: {len(missing):,} of {len(paths):,}; the first is {missing[0]}")
    return paths


def _is_shard(path: Path) -> bool:
    return path.name.lower().endswith(SHARD_SUFFIXES) and path.is_file()


def _expanded(pattern: str) -> list[str]:
    if _SCHEME.match(pattern):
        raise DataError(
            f"{pattern}: shards are only read from local files, never from commands or URLs; download them first"
        )
    parts = _BRACES.split(pattern)
    choices: list[Sequence[str]] = [[parts[0]]]
    total = 1
    for first, last, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        count = int(last) - int(first) + 1 if len(last) < 19 else 0
        total *= count
        if count < 1 or total > _MOST_SHARDS:
            raise DataError(f"{pattern}: {{{first}..{last}}} must ascend and name at most {_MOST_SHARDS:,} shards")
        choices.append([f"{number:0{len(first)}d}{rest}" for number in range(int(first), int(last) + 1)])
    return ["".join(choice) for choice in itertools.product(*choices)]


class ShardImages(LabeledImages):
    """The images of uncompressed shards, which can be read in any order. Identity names are the stored names, the
    stored numbers, or the names of these numbers in identities.txt in the folder of the shards (see `Samples`)."""

    threadsafe = True

    def __init__(self, shards: Sequence[TarShard], name: str) -> None:
        self.name = name
        self._samples = samples = Samples(shards, name)
        self.labels, self.num_unlabeled = samples.labels, samples.num_unlabeled
        self.identity_names, self.has_names = samples.identity_names, samples.has_names

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> RGBImage:
        return decode_image(self.read_encoded(index), self.describe(index))

    def read_encoded(self, index: int) -> bytes:
        shard, position = self._samples.member(index)
        return shard.read(position)

    def describe(self, index: int) -> str:
        shard, position = self._samples.member(index)
        return shard.describe(position)


class CompressedShardImages(BlockImages):
    """The images of shards of which some are compressed. Each shard is a stream that is read from its beginning."""

    def __init__(self, shards: Sequence[TarShard], name: str) -> None:
        super().__init__()
        self.name = name
        self._samples = samples = Samples(shards, name)
        self.labels, self.num_unlabeled = samples.labels, samples.num_unlabeled
        self.identity_names, self.has_names = samples.identity_names, samples.has_names
        starts: list[int] = []
        streams: list[int] = []
        for number, shard in enumerate(shards):
            first, end = np.searchsorted(samples.shard_N, [number, number + 1])
            block_starts = cut_into_blocks([shard.sizes[position] for position in samples.position_N[first:end]])
            starts += [int(first) + start for start in block_starts]
            streams += [number] * len(block_starts)
        self.blocks = Blocks(np.array(starts, dtype=np.int64), np.array(streams, dtype=np.int64), len(self.labels))

    def describe(self, index: int) -> str:
        shard, position = self._samples.member(index)
        return shard.describe(position)

    def _stream(self, stream: int) -> Iterator[list[Encoded]]:
        first_block, end_block = np.searchsorted(self.blocks.streams_K, [stream, stream + 1])
        bounds = [self.blocks.bounds(block) for block in range(first_block, end_block)]
        wanted = self._samples.position_N[bounds[0][0] : bounds[-1][1]].tolist()
        contents = _or_error(self._samples.shards[stream].contents(wanted))
        for first, end in bounds:
            yield list(itertools.islice(contents, end - first))


def _or_error(contents: Iterator[bytes]) -> Iterator[Encoded]:
    """Yields the contents. After the first that cannot be read, yields its error forever."""
    try:
        yield from contents
    except CorruptImageError as error:
        yield from itertools.repeat(error)


@register_format("webdataset", ".tar or .tar.gz shards (a folder of them, train-{000..012}.tar)", order=30)
def _open(at: Location) -> LabeledImages | None:
    if at.text.lower().endswith(SHARD_SUFFIXES):
        return open_shards(at.given)
    return open_shards(at.path) if at.path is not None and at.path.is_dir() and shard_paths(at.path) else None
