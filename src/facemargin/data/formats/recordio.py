"""InsightFace training sets: `train.rec` + `train.idx`, images and labels in RecordIO.

A record's payload is a header (flag, label, id, id2), `flag` float32 labels that replace `label` where flag > 0, and
the JPEG. In most sets record 0 holds no image but two labels (n+1, n+1+identities): images are keys 1..n, and each
following key holds one identity's range of image keys, (first, last+1). Older sets hold images only, from key 0.
`property` (identities,height,width and perhaps a line with the number of images) is only compared with the records, for
a warning.
"""

import logging
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.identity_names import numbered_identities
from facemargin.data.formats.record_file import RecordFile
from facemargin.data.formats.record_index import record_index
from facemargin.data.formats.text_labels import UNLABELED, warn_of_unlabeled
from facemargin.data.images.decode import decode_image
from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import CorruptImageError, DataError

_HEADER = struct.Struct("<IfQQ")
_LABEL_SIZE = 4
_RANGE_LABELS = 2
_UNREADABLE, _NO_WHOLE_NUMBER, _NO_IMAGE = -2, -3, -4
_REASONS = {
    _UNREADABLE: "their record headers are corrupt",
    _NO_WHOLE_NUMBER: "their label is not a whole number below 2³¹",
    _NO_IMAGE: "they have two labels and no image, like records of identities",
}
_EXACT_LABELS = 2**24
_MOST_IDENTITIES = 2**31

logger = logging.getLogger(__name__)


class RecordIOImages(LabeledImages):
    """The images of an InsightFace set, given its folder or its .rec file. Identity names are the stored numbers, or
    their names in identities.txt in the same folder.

    Opening reads the index and the identity records, or, if there are none, the header of every image. No image is
    decoded. If the .idx is missing or does not fit, the .rec file is read through once (see `record_index`). Images
    with a corrupt header, or with a label that is not a whole number, are left out, counted in `num_unreadable` and
    named in a logged warning. Images that are missing in a truncated file, and those with the label −1
    (`num_unlabeled`), are counted in a warning as well. Raises DataError if the file is missing or is not such a set.
    """

    has_names = False
    threadsafe = True

    def __init__(self, path: Path | str) -> None:
        rec_path = _rec_path(Path(path))
        self.name = str(path)
        self._file = RecordFile(rec_path)
        self._keys, self._offsets = record_index(self._file, rec_path.with_suffix(".idx"))
        self._positions, stored_labels = self._image_positions_and_labels()
        left_out = [self._warn_of(reason, stored_labels) for reason in _REASONS]
        self.num_unreadable = sum(left_out)
        self.num_unlabeled = int((stored_labels == UNLABELED).sum())
        warn_of_unlabeled(str(rec_path), self.num_unlabeled, len(stored_labels))
        readable = stored_labels >= 0
        self._positions = self._positions[readable]
        if len(self._positions) == 0:
            reasons = [
                f"{count} because {reason}" for count, reason in zip(left_out, _REASONS.values(), strict=True) if count
            ]
            said = f"; left out: {', '.join(reasons)}" if reasons else ""
            raise DataError(f"{rec_path}: holds no readable image{said}")
        if stored_labels.max() >= _EXACT_LABELS:
            logger.warning(
                "%s: labels go up to %d, but above %d the format can only store every second number, or fewer: "
                "people with neighbouring numbers may have become one person",
                rec_path,
                stored_labels.max(),
                _EXACT_LABELS,
            )
        self.labels, self.identity_names, self.has_names = numbered_identities(stored_labels[readable], rec_path.parent)
        self._compare_with_property(rec_path.with_name("property"))

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, index: int) -> RGBImage:
        return decode_image(self.read_encoded(index), self.describe(index))

    def read_encoded(self, index: int) -> bytes:
        where = self.describe(index)
        payload = self._file.payload(int(self._offsets[self._positions[index]]), where)
        return payload[_HEADER.size + _LABEL_SIZE * _num_labels(payload, where) :]

    def describe(self, index: int) -> str:
        return self._describe_record(int(self._positions[index]))

    def _describe_record(self, position: int) -> str:
        return f"{self._file.path} record {self._keys[position]} (byte offset {self._offsets[position]})"

    def _image_positions_and_labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The positions of the image records in the index, and their stored labels."""
        image_range = self._range(0) if self._keys[0] == 0 else None
        if image_range is None:
            positions = np.arange(len(self._keys))
            return positions, self._labels_from_headers(positions)
        first_identity, end = np.searchsorted(self._keys, image_range)
        positions = np.arange(1, first_identity)
        labels = self._labels_from_identities(np.arange(first_identity, end), image_range[0])
        return positions, self._labels_from_headers(positions) if labels is None else labels

    def _labels_from_identities(self, identities: NDArray[np.int64], end_of_images: int) -> NDArray[np.int64] | None:
        """Labels from the identity records, which takes two short reads per identity instead of one per image.

        None unless the ranges cover all images one after another and the first image of each range has the number of
        its identity. This is not so in cleaned or merged sets, and for keys that float32 cannot represent. Then the
        labels of the images are used.
        """
        try:
            ranges = np.array([self._range(int(position)) or (0, 0) for position in identities]).reshape(-1, 2)
        except CorruptImageError:
            return None
        bounds = np.append(ranges[:, 0], end_of_images)
        if bounds[0] != 1 or not np.array_equal(ranges[:, 1], bounds[1:]) or not (np.diff(bounds) > 0).all():
            return None
        starts = np.searchsorted(self._keys, bounds)
        numbers = np.arange(len(identities))
        if not np.array_equal(self._labels_from_headers(starts[:-1]), numbers):
            return None
        return np.repeat(numbers, np.diff(starts))

    def _labels_from_headers(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([self._stored_label(int(position)) for position in positions], dtype=np.int64)

    def _stored_label(self, position: int) -> int:
        """The identity number in a record's header (the first, if there are several). Below 0 if there is none:
        `UNLABELED`, or one of the reasons."""
        where = self._describe_record(position)
        size = _HEADER.size + _LABEL_SIZE * _RANGE_LABELS
        try:
            start = self._file.payload_start(int(self._offsets[position]), size + 1, where)
            count = _num_labels(start, where)
            (label,) = struct.unpack_from("<f", start, _HEADER.size if count else _LABEL_SIZE)
        except (CorruptImageError, struct.error):
            return _UNREADABLE
        if count == _RANGE_LABELS and len(start) == size:
            return _NO_IMAGE
        if not (label < _MOST_IDENTITIES and label.is_integer()):
            return _NO_WHOLE_NUMBER
        return int(label) if label >= 0 else UNLABELED

    def _range(self, position: int) -> tuple[int, int] | None:
        """The (first, end) of a record without an image. None for an image."""
        where = self._describe_record(position)
        size = _HEADER.size + _LABEL_SIZE * _RANGE_LABELS
        payload = self._file.payload_start(int(self._offsets[position]), size + 1, where)
        if len(payload) != size or _num_labels(payload, where) != _RANGE_LABELS:
            return None
        first, end = struct.unpack_from("<ff", payload, _HEADER.size)
        return (int(first), int(end)) if 0 <= first <= end < math.inf else None

    def _compare_with_property(self, path: Path) -> None:
        """Log a warning if the property file, if there is one, does not match the records."""
        try:
            lines = path.read_text(encoding="utf-8").split()
            stated = {"identities": int(lines[0].split(",")[0])} | ({"images": int(lines[1])} if lines[1:] else {})
        except FileNotFoundError:
            return
        except (OSError, ValueError, IndexError):
            logger.warning("%s cannot be read; expected identities,height,width", path)
            return
        counts = {"identities": self.num_identities, "images": len(self)}
        for what, number in stated.items():
            if number != counts[what]:
                logger.warning("%s states %d %s, but the records have %d", path, number, what, counts[what])

    def _warn_of(self, reason: int, stored_labels: NDArray[np.int64]) -> int:
        """Log the records that are left out for one reason, and return their number."""
        positions = self._positions[stored_labels == reason]
        if len(positions):
            shown = "; ".join(self._describe_record(int(position)) for position in positions[:5])
            logger.warning("%s: records left out, %s: %d (%s)", self.name, _REASONS[reason], len(positions), shown)
        return len(positions)


def _num_labels(payload: bytes, where: str) -> int:
    """The number of labels after the header."""
    if len(payload) < _HEADER.size:
        raise CorruptImageError(f"{where}: {len(payload)} bytes are too few for an image record")
    flag: int = _HEADER.unpack_from(payload)[0]
    return flag


def _rec_path(path: Path) -> Path:
    rec_path = path / "train.rec" if path.is_dir() else path
    if not rec_path.is_file():
        raise DataError(
            f"{rec_path} does not exist; expected an InsightFace set: train.rec and train.idx in one folder"
        )
    return rec_path


@register_format("recordio", "a folder with train.rec, a .rec file", order=10)
def _open(at: Location) -> RecordIOImages | None:
    if at.path is None or not (at.path.suffix == ".rec" or (at.path / "train.rec").is_file()):
        return None
    return RecordIOImages(at.path)
