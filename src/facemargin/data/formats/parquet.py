"""Images in parquet files of the Hugging Face Hub: a column of images and a column of labels.

An image is a struct with `bytes`, or the bytes themselves. A label is a whole number (the schema may contain names, as
with ClassLabel) or a text. Shapes: N images, R rows.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.block_images import BLOCK_BYTES, BLOCK_IMAGES, BlockImages, Encoded
from facemargin.data.formats.blocks import Blocks
from facemargin.data.formats.data_format import Location, register_format
from facemargin.errors import ConfigError, CorruptImageError, DataError
from facemargin.extras import require_extra
from facemargin.files.listing import is_system_name
from facemargin.files.plain_numbers import is_digits, is_negative

_LABEL_COLUMNS = ("label", "labels", "cls", "identity", "identity_id", "person", "id", "target")
_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "bytes")
_READ_AHEAD = 1 << 20
_NO_LABEL = -1
_SPLITS = frozenset({"train", "test", "validation", "val", "valid", "dev"})

logger = logging.getLogger(__name__)


def import_parquet() -> Any:
    """The pyarrow.parquet module. Raises ConfigError, which names the extra to install, if it is missing."""
    require_extra("parquet", "pyarrow", what="reading and writing parquet files")
    import pyarrow.parquet

    return pyarrow.parquet


class ParquetImages(BlockImages):
    """The images of parquet files with the same columns. Each row group is a stream that is read from its beginning.

    Opening reads the labels. Rows without a label are left out with a logged warning. Raises DataError for files that
    are damaged or without such columns, ConfigError without pyarrow.
    """

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        super().__init__()
        self.name = name
        if not paths:
            raise DataError(f"{name}: there are no parquet files; expected names that end in .parquet")
        self._paths = list(paths)
        files = [_open(path) for path in self._paths]
        self._image_columns, label_column = _columns(self._paths[0], files[0].schema_arrow)
        stored: list[NDArray[Any]] = []
        self._groups: list[tuple[int, int, int]] = []  # file, row group, rows of a block
        rows_of_blocks: list[int] = []
        streams: list[int] = []
        for number, (path, file) in enumerate(zip(self._paths, files, strict=True)):
            if _columns(path, file.schema_arrow) != (self._image_columns, label_column):
                raise DataError(f"{path}: the columns differ from those of {self._paths[0]}: open the two separately")
            # A damaged or harmful file of a few bytes can claim any number of equal rows.
            if file.metadata.num_rows > path.stat().st_size:
                raise DataError(f"{path}: the file is too small for {file.metadata.num_rows:,} rows of images")
            stored.append(_labels(path, file, label_column))
            for group in range(file.metadata.num_row_groups):
                metadata = file.metadata.row_group(group)
                size = metadata.total_byte_size // max(metadata.num_rows, 1)
                rows = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // max(size, 1)))
                blocks = range(0, metadata.num_rows, rows)
                rows_of_blocks += [min(rows, metadata.num_rows - start) for start in blocks]
                streams += [len(self._groups)] * len(blocks)
                self._groups.append((number, group, rows))
        names = _class_names(files[0].schema_arrow, label_column)
        self._require_the_same_names(files, label_column)
        label_R, self.identity_names, self.has_names = _identities(name, np.concatenate(stored), names)
        self._row_N = np.flatnonzero(label_R != _NO_LABEL)
        self.num_unlabeled = len(label_R) - len(self._row_N)
        self.labels = label_R[self._row_N]
        self._first_rows = np.concatenate([[0], np.cumsum(rows_of_blocks)]).astype(np.int64)
        if self._first_rows[-1] != len(label_R):
            raise DataError(f"{name}: {counted(len(label_R), 'label')} for {counted(int(self._first_rows[-1]), 'row')}")
        starts = np.searchsorted(self._row_N, self._first_rows[:-1])
        self.blocks = Blocks(starts.astype(np.int64), np.array(streams, dtype=np.int64), len(self.labels))

    def _require_the_same_names(self, files: Sequence[Any], label_column: str) -> None:
        """Raise DataError if the same number is one person in one file and another person in the next."""
        first = _class_names(files[0].schema_arrow, label_column)
        for path, file in zip(self._paths, files, strict=True):
            if _class_names(file.schema_arrow, label_column) != first:
                raise DataError(
                    f"{path}: the names of the labels differ from those of {self._paths[0]}, so the same number "
                    "would mean two people: open the two separately"
                )

    def describe(self, index: int) -> str:
        row = int(self._row_N[index])
        block = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        stream = int(self.blocks.streams_K[block])
        file, group, _ = self._groups[stream]
        first = self._first_rows[int(self.blocks.streams_K.searchsorted(stream))]
        return f"{self._paths[file]} row group {group} row {row - first}"

    def _stream(self, stream: int) -> Iterator[list[Encoded]]:
        rows = self._rows(stream)
        first_block, end_block = np.searchsorted(self.blocks.streams_K, [stream, stream + 1])
        for block in range(int(first_block), int(end_block)):
            first, end = self.blocks.bounds(block)
            kept = set((self._row_N[first:end] - self._first_rows[block]).tolist())
            number = int(self._first_rows[block + 1] - self._first_rows[block])
            encoded = [next(rows) for _ in range(number)]
            yield [image for row, image in enumerate(encoded) if row in kept]

    def _rows(self, stream: int) -> Iterator[Encoded]:
        """Yields all images of a row group. After the first image that cannot be read, yields its error forever."""
        number, group, rows = self._groups[stream]
        where = f"{self._paths[number]} row group {group}"
        try:
            with _open(self._paths[number]) as file:
                for batch in file.iter_batches(rows, [group], self._image_columns, use_threads=False):
                    column = batch.column(0)
                    for value in column.field("bytes") if "." in self._image_columns[0] else column:
                        encoded = value.as_py()
                        yield (
                            CorruptImageError(f"{where}: the row has no image bytes") if encoded is None else encoded
                        )
            problem = "it has fewer rows than it states"
        except Exception as error:  # pyarrow's errors for damaged pages have no common base
            problem = f"cannot be read: {error}"
        while True:
            yield CorruptImageError(f"{where}: {problem}")


def parquet_paths(location: str | Path) -> list[Path]:
    """The parquet files of a location: a file, a folder (or its folder `data`), or a pattern such as
    `data/train-*.parquet`."""
    path = Path(location)
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [file for pattern in ("*.parquet", "data/*.parquet") for file in path.glob(pattern)]
        files = sorted(file for file in files if file.is_file() and not is_system_name(file.name))
        splits = sorted(_SPLITS & {re.split("[-._]", file.name)[0] for file in files})
        if len(splits) > 1:
            logger.warning(
                "%s contains several splits, all of which are read: %s. To read one of them, use a pattern: "
                    "%s/%s-*.parquet",
                path, ", ".join(splits), files[0].parent, splits[-1],
            )  # fmt: skip
        return files
    anchor = Path(path.anchor)
    named = anchor.glob(str(path.relative_to(anchor))) if "*" in str(location) else []
    return sorted(file for file in named if not is_system_name(file.name))


def _open(path: Path) -> Any:
    try:
        return import_parquet().ParquetFile(path, buffer_size=_READ_AHEAD, pre_buffer=False)
    except ConfigError:
        raise
    except Exception as error:  # pyarrow's errors for damaged files have no common base class
        raise DataError(f"{path} is not a parquet file that can be read: {error}") from error


def _columns(path: Path, schema: Any) -> tuple[list[str], str]:
    """The path of the column with the image bytes, as a list, and the column of the labels."""
    import pyarrow.types as types

    def is_binary(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    def bytes_of(field: Any) -> str | None:
        if is_binary(field.type):
            return str(field.name)
        if types.is_struct(field.type) and any(part.name == "bytes" and is_binary(part.type) for part in field.type):
            return f"{field.name}.bytes"
        return None

    images = {field.name: column for field in schema if (column := bytes_of(field)) is not None}
    labels = [field.name for field in schema if types.is_integer(field.type) or _is_text(field.type)]
    image = next((name for name in _IMAGE_COLUMNS if name in images), None) or _only(list(images))
    label = next((name for name in _LABEL_COLUMNS if name in labels), None) or _only(labels)
    if image is None or label is None:
        described = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise DataError(
            f"{path}: expected a column of image bytes (called {', '.join(_IMAGE_COLUMNS)} if there are several) and "
            f"one of whole numbers or texts ({', '.join(_LABEL_COLUMNS)}); found {described[:500]}"
        )
    return [images[image]], label


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or (types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _labels(path: Path, file: Any, column: str) -> NDArray[Any]:
    """The labels of a file: int64 with −1 for a missing label, or texts with None for a missing label."""
    is_text = _is_text(file.schema_arrow.field(column).type)
    parts: list[NDArray[Any]] = [np.array([], dtype=object if is_text else np.int64)]
    try:
        for batch in file.iter_batches(1 << 16, columns=[column]):
            values = batch.column(0)
            texts = np.array(values.to_pylist(), dtype=object) if is_text else None
            parts.append(values.cast("int64").fill_null(_NO_LABEL).to_numpy() if texts is None else texts)
        return np.concatenate(parts)
    except Exception as error:  # pyarrow's errors for damaged pages have no common base
        raise DataError(f"{path}: the column {column} cannot be read: {error}") from error


def _class_names(schema: Any, column: str) -> list[str] | None:
    """The names of a ClassLabel, which `datasets` stores in the schema."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        names = feature["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _identities(
    name: str, stored_R: NDArray[Any], class_names: Sequence[str] | None
) -> tuple[NDArray[np.int64], list[str], bool]:
    """Labels (R,) without gaps, −1 for a row without a label; the names of the labels; and whether these are real
    names."""
    is_text = stored_R.dtype == object
    if is_text:
        has_label_R = np.array(
            [bool(label and label.strip()) and not is_negative(label) for label in stored_R], dtype=bool
        )
    else:
        has_label_R = stored_R >= 0
    if not has_label_R.any():
        raise DataError(f"{name}: no row has a label")
    known, labels = np.unique(stored_R[has_label_R], return_inverse=True)
    label_R = np.full(len(stored_R), _NO_LABEL, dtype=np.int64)
    label_R[has_label_R] = labels
    missing = int((~has_label_R).sum())
    if missing:
        logger.warning(
            "%s: rows left out because they have no label (none, -1, or below): %d of %d", name, missing, len(stored_R)
        )
    if class_names is not None and not is_text and known[-1] < len(class_names):
        names = [class_names[label] for label in known]
    else:
        names = [str(label) for label in known]
    return label_R, names, not all(map(is_digits, names))


@register_format("parquet", ".parquet files (a folder of them, data/train-*.parquet)", order=40)
def _open_images(at: Location) -> ParquetImages | None:
    if "*" in at.text and (paths := parquet_paths(at.given)):
        return ParquetImages(paths, at.text)
    if at.path is None:
        return None
    if at.path.suffix == ".parquet":
        return ParquetImages([at.path], str(at.path))
    paths = parquet_paths(at.path) if at.path.is_dir() else []
    return ParquetImages(paths, str(at.path)) if paths else None
