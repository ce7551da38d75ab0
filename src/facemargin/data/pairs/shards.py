"""Pairs in WebDataset shards. Each sample has two images, `img1` and `img2`, or `jpg` (the first) and `png`, and a
`cls` file that says whether both show the same person (1) or not (0). Without `cls`, samples in the folder `genuine`
do.

Shapes: K pairs; pair k consists of images 2k and 2k+1, in the order of the shards.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.data_format import Location
from facemargin.data.formats.tar import TarShard, group_by_key
from facemargin.data.formats.webdataset import SHARD_SUFFIXES, shard_paths
from facemargin.data.images.decode import decode_image
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import DataError
from facemargin.files.plain_numbers import whole_number

_FIELDS = (("img1", "img2"), ("jpg", "png"))
_LARGEST_UNPACKED = 1 << 30
_NUM_FOLDS = 10

logger = logging.getLogger(__name__)


class ShardMembers(ImageSource):
    """The images at `members`, which are (shard, position in the shard). Images of compressed shards are kept in
    memory, encoded."""

    threadsafe = True

    def __init__(self, shards: Sequence[TarShard], members: Sequence[tuple[int, int]], name: str) -> None:
        self.name = name
        self._shards = shards
        self._members = members
        self._unpacked: dict[tuple[int, int], bytes] = {}
        compressed = sorted(member for member in members if shards[member[0]].compressed)
        size = sum(shards[shard].sizes[position] for shard, position in compressed)
        if size > _LARGEST_UNPACKED:
            raise DataError(
                f"{name}: the compressed shards have {size / 2**30:.1f} GiB of images, too much to keep in "
                "memory; decompress them with gunzip"
            )
        for number, shard in enumerate(shards):
            wanted = [position for of_shard, position in compressed if of_shard == number]
            for position, content in zip(wanted, shard.contents(wanted), strict=True):
                self._unpacked[number, position] = content

    def __len__(self) -> int:
        return len(self._members)

    def read(self, index: int) -> RGBImage:
        return decode_image(self.read_encoded(index), self.describe(index))

    def read_encoded(self, index: int) -> bytes:
        shard, position = self._members[index]
        if (shard, position) in self._unpacked:
            return self._unpacked[shard, position]
        return self._shards[shard].read(position)

    def describe(self, index: int) -> str:
        shard, position = self._members[index]
        return self._shards[shard].describe(position)


def load_pair_shards(location: Path | str) -> VerificationSet:
    """The pairs in a shard, in `shard-{000000..000002}.tar`, or in a folder of shards, with ten folds. The genuine and
    the impostor pairs are each cut into ten blocks, which are the original folds if the set is in the order of its
    folds.

    Raises DataError, which names the sample, for a sample without two images or with another label.
    """
    shards = [TarShard(path) for path in shard_paths(location)]
    if not shards:
        raise DataError(f"{location} holds no shards; expected files that end in {', '.join(SHARD_SUFFIXES)}")
    members: list[tuple[int, int]] = []
    same: list[bool] = []
    for number, shard in enumerate(shards):
        repeated: list[int] = []
        for key, sample in group_by_key(shard.names, repeated).items():
            fields = next((pair for pair in _FIELDS if set(pair) <= sample.keys()), None)
            if fields is None:
                raise DataError(
                    f"{shard.path} sample {key}: has {', '.join(sorted(sample))}, expected img1 and img2, or jpg "
                    "and png, the two images of a pair"
                )
            members += [(number, sample[field]) for field in fields]
            same.append(_is_same(shard, key, sample.get("cls")))
        if repeated:
            logger.warning(
                "%s: members with the name of an earlier member, which are not read: %d (%s, …)",
                shard.path, len(repeated), shard.names[repeated[0]],
            )  # fmt: skip
    if not same:
        raise DataError(f"{location}: its shards hold no pairs")
    same_K = np.array(same, dtype=np.bool_)
    first_K = np.arange(0, len(members), 2, dtype=np.int64)
    return VerificationSet(
        name=_name(Path(location)),
        images=ShardMembers(shards, members, str(location)),
        first_K=first_K,
        second_K=first_K + 1,
        same_K=same_K,
        folds_K=_blocks_of_each_kind(same_K),
    )


def _is_same(shard: TarShard, key: str, cls: int | None) -> bool:
    if cls is None:
        folder, slash, _ = key.partition("/")
        if not slash:
            raise DataError(
                f"{shard.path} sample {key}: has neither a cls file nor a folder; expected a cls file with 1 for "
                "the same person or 0, or a folder, which is called genuine for pairs of the same person"
            )
        return folder == "genuine"
    label = shard.labels.get(cls, "").strip()
    if whole_number(label) not in (0, 1):
        raise DataError(f"{shard.path} sample {key}: cls is {label!r}, expected 1 for the same person or 0")
    return whole_number(label) == 1


def _blocks_of_each_kind(same_K: NDArray[np.bool_]) -> NDArray[np.int64]:
    folds_K = np.empty(len(same_K), dtype=np.int64)
    for kind_K in (same_K, ~same_K):
        count = int(kind_K.sum())
        folds_K[kind_K] = np.arange(count) * _NUM_FOLDS // max(count, 1)
    return folds_K


def _name(location: Path) -> str:
    """The name of the folder or the shard, without "-{000000..000002}.tar"."""
    return location.resolve().name if location.is_dir() else location.name.split(".")[0].split("-{")[0]


@register_pair_format("shards", ".tar or .tar.gz shards of pairs, or a folder of them", order=30)
def _open(at: Location) -> VerificationSet | None:
    if at.text.lower().endswith(SHARD_SUFFIXES):
        return load_pair_shards(at.given)
    is_folder = at.path is not None and at.path.is_dir()
    return load_pair_shards(at.path) if at.path is not None and is_folder and shard_paths(at.path) else None
