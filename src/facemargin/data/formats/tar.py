"""Reads the files of a tar shard by position. The positions are found once and saved; then each file is one positioned
read.

`.tar.gz` shards have no random access: their members can only be read one after another.
"""

import gzip
import json
import logging
import math
import tarfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from facemargin.counting import counted
from facemargin.data.images.decode import LARGEST_ENCODED
from facemargin.errors import CorruptImageError, DataError
from facemargin.files.listing import is_system_name
from facemargin.files.packed_strings import PackedStrings
from facemargin.files.positioned_file import PositionedFile
from facemargin.files.saved_scan import saved_scan

_BLOCK = 512
_LONGEST_HEADER = 1 << 20
_LONGEST_LABEL = 256
_LONGEST_JSON = 4096
_JSON_LABELS = ("label", "cls", "class", "identity", "identity_id", "person", "person_id", "subject", "subject_id")
LABEL_EXTENSIONS = ("cls", "json", "txt")
"""The extensions of files that may contain the label of a sample."""
_LARGEST = 2**62

logger = logging.getLogger(__name__)


class TarShard:
    """The regular files in a .tar or .tar.gz file, in their order.

    `names` are the stored paths inside the archive, which are never written to. `sizes` are in bytes. `labels` has, by
    position, the content of short `.cls` and `.txt` members and the entry like "label" of small `.json` members, so
    that opening a set again does not read these members. `compressed` shards only support `contents`. A damaged or
    truncated end is left out, which `damage` and a logged warning report. Raises DataError if the file is missing or is
    not a tar archive.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{self.path} does not exist; expected a .tar or .tar.gz file")
        self.compressed = self.path.suffix.lower() in (".gz", ".tgz")
        self._file = PositionedFile(self.path)
        scan = saved_scan(self.path, lambda: _scan(self.path, self.compressed), self._is_valid)
        self.names: Sequence[str] = PackedStrings(scan["names"])
        self.sizes = np.array(scan["sizes"], dtype=np.int64)
        self.labels = {position: text for position, text in enumerate(scan["labels"]) if text is not None}
        self.damage: str | None = scan["damage"]
        self._offsets = np.array(scan["offsets"], dtype=np.int64)
        if self.damage:
            logger.warning(
                "%s: %s; the members before this point are kept: %s",
                self.path,
                self.damage,
                counted(len(self.names), "member"),
            )

    def __len__(self) -> int:
        return len(self.names)

    def read(self, position: int) -> bytes:
        """The content of member `position`. Raises CorruptImageError if the file has changed and is now too short, and
        DataError for a compressed shard."""
        if self.compressed:
            raise DataError(f"{self.path}: a compressed shard can only be read from the start; unpack it first")
        self._require_image_size(position)
        content = self._file.read(int(self._offsets[position]), int(self.sizes[position]))
        if len(content) != self.sizes[position]:
            raise CorruptImageError(f"{self.describe(position)}: the file ends inside it")
        return content

    def contents(self, wanted: Sequence[int]) -> Iterator[bytes]:
        """Yields the contents of the members at the ascending positions `wanted`, in one pass over the file. Raises
        CorruptImageError at the first member that cannot be read."""
        with _open(self.path, self.compressed) as file:
            for position in wanted:
                self._require_image_size(position)
                try:
                    file.seek(int(self._offsets[position]))
                    content = file.read(int(self.sizes[position]))
                except (OSError, EOFError, zlib.error) as error:
                    raise CorruptImageError(f"{self.describe(position)}: cannot be read: {error}") from error
                if len(content) != self.sizes[position]:
                    raise CorruptImageError(f"{self.describe(position)}: the file ends inside it")
                yield content

    def _require_image_size(self, position: int) -> None:
        if self.sizes[position] > LARGEST_ENCODED:
            raise CorruptImageError(
                f"{self.describe(position)}: the member has {self.sizes[position]:,} bytes, too many for an image"
            )

    def describe(self, position: int) -> str:
        """The names of shard and member, for messages."""
        return f"{self.path} member {self.names[position]}"

    def _is_valid(self, content: dict[str, Any]) -> bool:
        """Whether a saved index is a possible result of `_scan`."""
        columns = [content.get(name) for name in ("names", "offsets", "sizes", "labels")]
        if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:  # type: ignore[arg-type]
            return False
        end = _LARGEST if self.compressed else self._file.size
        return (
            "damage" in content
            and isinstance(content["damage"], str | None)
            and all(
                isinstance(name, str)
                and type(offset) is int
                and type(size) is int
                and min(offset, size) >= 0
                and offset + size <= end
                and isinstance(label, str | None)
                for name, offset, size, label in zip(*columns, strict=True)
            )
        )


@dataclass
class GroupedMembers:
    """The samples of a shard, each {extension: position}; the positions of members with the name of an earlier member;
    and those of images whose name is cut at its last dot instead of its first."""

    samples: list[dict[str, int]]
    repeated: list[int] = field(default_factory=list)
    dotted: list[int] = field(default_factory=list)


def group_samples(names: Sequence[str], image_extensions: Collection[str]) -> GroupedMembers:
    """The samples of a WebDataset shard, as in `group_by_key`, except for images and labels that cutting at the first
    dot would hide: "a/v1.3.jpg" with "a/v1.3.cls" is a separate sample; "0001.seg.png" without a label is not."""
    repeated: list[int] = []
    by_key = group_by_key(names, repeated)
    dotted: list[int] = []
    separate: list[dict[str, int]] = []
    for key, sample in by_key.items():
        longer: dict[str, dict[str, int]] = {}
        for extension, position in sample.items():
            rest, dot, last = extension.rpartition(".")
            if dot:
                longer.setdefault(rest, {})[last] = position
        for rest, positions in longer.items():
            if not positions.keys().isdisjoint(image_extensions) and not positions.keys().isdisjoint(LABEL_EXTENSIONS):
                separate.append(positions)
                dotted += [position for last, position in positions.items() if last in image_extensions]
                for last in positions:
                    del by_key[key][f"{rest}.{last}"]
    return GroupedMembers([sample for sample in by_key.values() if sample] + separate, repeated, dotted)


def group_by_key(names: Sequence[str], repeated: list[int] | None = None) -> dict[str, dict[str, int]]:
    """The samples of a WebDataset shard: {key: {extension: position in `names`}}.

    The key is the path up to the first dot of its last part. The extension is the rest in lower case: "a/0001.seg.PNG"
    is the `seg.png` of sample "a/0001", as is "./a/0001.seg.PNG". Names without an extension and files of the system
    (see `is_system_name`) do not belong to a sample. If a name occurs twice, the first is used, and the positions of
    the others are added to `repeated`.
    """
    samples: dict[str, dict[str, int]] = {}
    is_system: dict[str, bool] = {}
    for position, name in enumerate(names):
        folder, slash, last = name.removeprefix("./").rpartition("/")
        stem, dot, extension = last.partition(".")
        if folder not in is_system:
            is_system[folder] = any(part not in (".", "..") and is_system_name(part) for part in folder.split("/"))
        if not stem or not dot or is_system[folder] or is_system_name(last):
            continue
        sample = samples.setdefault(folder + slash + stem, {})
        if sample.setdefault(extension.lower(), position) != position and repeated is not None:
            repeated.append(position)
    return samples


class _ForwardFile:
    """The file that tarfile reads. It refuses to go back, and to read a header whose size can only be damage."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last_read = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise DataError(f"a header claims {size} bytes")
        self.last_read = self._file.read(size)
        return self.last_read

    def seek(self, position: int) -> int:
        if position < self._file.tell():
            raise DataError("a member claims a negative size")
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _open(path: Path, compressed: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if compressed else path.open("rb")


def _scan(path: Path, compressed: bool) -> dict[str, Any]:
    """Names, offsets and sizes of the regular members, the contents of short labels, and the damage at the end, if
    any."""
    members: list[tuple[str, int, int, str | None]] = []
    damage: str | None = None
    end = _LARGEST if compressed else path.stat().st_size
    with _open(path, compressed) as file:
        forward = _ForwardFile(file)
        try:
            with tarfile.open(fileobj=cast(IO[bytes], forward), mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it keeps every member it has seen
                    if not member.isreg() or member.sparse is not None:
                        continue
                    if member.offset_data + member.size > end:
                        raise DataError(f"the file ends inside the member {member.name}")
                    members.append((member.name, member.offset_data, member.size, _label(member, file)))
            damage = _damage_at_end(forward.last_read)
        except Exception as error:  # a damaged archive can raise any error, and users need no traceback
            damage = f"damaged or truncated: {error}"
            # A compressed file that ends inside its last member only shows this when the next member is read.
            members = [member for member in members if member[1] + member[2] <= _reached(file)]
    if damage and not members:
        raise DataError(f"{path} is not a tar archive that can be read: {damage}")
    names, offsets, sizes, labels = (list(column) for column in zip(*members, strict=True)) if members else ([],) * 4
    return {"names": names, "offsets": offsets, "sizes": sizes, "labels": labels, "damage": damage}


def _label(member: tarfile.TarInfo, file: IO[bytes]) -> str | None:
    """The content of a short label. None for any other member."""
    extension = member.name.rpartition(".")[2].lower()
    if extension not in LABEL_EXTENSIONS or member.size > (_LONGEST_JSON if extension == "json" else _LONGEST_LABEL):
        return None
    try:
        text = file.read(member.size).decode("utf-8-sig")
        return _json_label(json.loads(text)) if extension == "json" else text
    except (ValueError, RecursionError):
        return None


def _json_label(content: Any) -> str | None:
    """The label in the JSON of a sample, if there is one."""
    values = [content.get(name) for name in _JSON_LABELS] if isinstance(content, dict) else [content]
    value = next(
        (
            value
            for value in values
            if isinstance(value, str | int | float) and value is not True and value is not False
        ),
        None,
    )
    if value is None:
        return None
    text = str(value)
    text.encode()  # ValueError: a lone surrogate
    return text


def _damage_at_end(block: bytes) -> str | None:
    """The damage at the end of the archive, judged by the last block that was read as a header."""
    if block == bytes(_BLOCK):
        return None
    return "no end-of-archive marker; it may be truncated" if block == b"" else "damaged or truncated: a bad header"


def _reached(file: IO[bytes]) -> float:
    return file.tell() if isinstance(file, gzip.GzipFile) else math.inf
