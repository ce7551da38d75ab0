"""Writers of data sets, one format a file. `data/conversion.py` drives them."""

from facemargin.data.writers.base import ImageWriter
from facemargin.data.writers.folder_writer import FolderWriter
from facemargin.data.writers.list_writer import ListWriter
from facemargin.data.writers.parquet_writer import ParquetWriter
from facemargin.data.writers.recordio_writer import RecordIOWriter
from facemargin.data.writers.shard_writer import ShardWriter

WRITERS: dict[str, type[ImageWriter]] = {
    "recordio": RecordIOWriter,
    "folder": FolderWriter,
    "list": ListWriter,
    "webdataset": ShardWriter,
    "parquet": ParquetWriter,
}
