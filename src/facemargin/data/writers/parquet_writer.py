"""Writes parquet files as the Hugging Face Hub and `datasets` read them: columns `image` and `label`."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.parquet import import_parquet
from facemargin.data.writers.base import ImageWriter, register_writer, remove_from
from facemargin.files.atomic import flush

FILE_IMAGES = 5_000
FILE_BYTES = 1 << 28
_ROWS = 100
_GROUP_BYTES = 1 << 25


@register_writer("parquet", "train-*.parquet")
class ParquetWriter(ImageWriter):
    """A file is full at 5,000 images or 256 MiB, a row group at 100 images or 32 MiB. Files are written completely or
    not at all. After an interruption, the last file is written again."""

    @property
    def stored_names(self) -> list[str]:
        return self.identity_names

    def _resume(self, state: dict[str, Any]) -> None:
        self._parquet = import_parquet()
        self._files = state.get("files", 0)
        remove_from(self.folder.glob("train-*"), self._files)
        self._written = state.get("images", 0)
        self._added = self._written
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = 0
        self._file_bytes = 0
        self._file: Any = None

    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        self._rows.append({"image": {"bytes": encoded, "path": f"{number:09d}{suffix}"}, "label": label})
        self._row_bytes += len(encoded)
        self._file_bytes += len(encoded)
        self._added += 1
        if len(self._rows) == _ROWS or self._row_bytes >= _GROUP_BYTES:
            self._write_rows()
        if self._added - self._written == FILE_IMAGES or self._file_bytes >= FILE_BYTES:
            self._close()

    def commit(self) -> tuple[int | None, dict[str, Any]]:
        return self._written, {"files": self._files, "images": self._written}

    def finish(self, labels_N: NDArray[np.int64]) -> None:
        self._close()

    def _write_rows(self) -> None:
        import pyarrow as pa

        if self._file is None:
            self._path = self.folder / f"train-{self._files:05d}.parquet"
            # Images are compressed already and all different, so neither compression nor a dictionary helps.
            options = {"compression": "none", "use_dictionary": False}
            self._file = self._parquet.ParquetWriter(self._path, self._schema(), **options)
        self._file.write_table(pa.Table.from_pylist(self._rows, self._schema()), row_group_size=len(self._rows))
        self._rows, self._row_bytes = [], 0

    def _close(self) -> None:
        if self._rows:
            self._write_rows()
        if self._file is not None:
            self._file.close()
            self._file = None
            flush(self._path)
            self._files += 1
        self._written, self._file_bytes = self._added, 0

    def _schema(self) -> Any:
        import pyarrow as pa

        label = {"names": self.identity_names, "_type": "ClassLabel"}
        if all(name == str(number) for number, name in enumerate(self.identity_names)):
            label = {"dtype": "int64", "_type": "Value"}
        features = {"image": {"_type": "Image"}, "label": label}
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        return pa.schema([("image", image), ("label", pa.int64())]).with_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
