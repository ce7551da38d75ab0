"""Where galleries are kept: in a folder, or in Milvus."""

from pathlib import Path

from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_store import FolderStore
from facemargin.gallery.milvus_place import is_milvus, milvus_place
from facemargin.gallery.milvus_store import MilvusStore
from facemargin.gallery.store import Store


def open_store(path: Path | str) -> Store:
    """The store of a gallery that is there already."""
    return MilvusStore(milvus_place(path)) if is_milvus(path) else FolderStore(Path(path))


def create_store(path: Path | str, binding: Binding) -> Store:
    """A store without people."""
    if is_milvus(path):
        return MilvusStore.create(milvus_place(path), binding)
    return FolderStore.create(Path(path), binding)
