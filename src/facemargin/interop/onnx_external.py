"""The weights of an ONNX model that lie in files beside it ("external data", as of large models)."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from facemargin.errors import CheckpointError


def read_external_weights(model: Any, path: Path) -> None:
    """Put them into the model, an `onnx.ModelProto` that was read from `path` without them.

    Only files in the model's folder or below it are opened; in huggingface-hub's cache, where files are links, those in
    the folder that the model's own link leads to, too. Raises CheckpointError, naming the file, for one that is
    elsewhere, missing or too short.
    """
    from onnx import TensorProto

    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _file_beside(path, entries.get("location", ""))
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries["length"]) if "length" in entries else file.stat().st_size - offset
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged: where {tensor.name} lies in {file.name} is no number") from error
        if offset < 0 or length < 0 or offset + length > file.stat().st_size:
            raise CheckpointError(
                f"{file} has {file.stat().st_size} bytes, but {path.name} has its weight {tensor.name} in the bytes "
                f"{offset} to {offset + length} there: one of the two is damaged, or of another model"
            )
        with file.open("rb") as content:
            content.seek(offset)
            tensor.raw_data = content.read(length)
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT


def _file_beside(path: Path, location: str) -> Path:
    parts = PurePosixPath(location.replace("\\", "/"))
    file = path.parent / parts
    if not parts.name or parts.is_absolute() or ".." in parts.parts or Path(location).is_absolute():
        raise CheckpointError(
            f"{path} has weights in {location!r}, which is outside of its folder, and is refused: files of a model lie "
            "beside it"
        )
    if not file.is_file():
        raise CheckpointError(f"{path} has weights in the file {location} beside it, which is missing: copy it, too")
    homes = (path.parent.resolve(), path.resolve().parent)
    if not any(file.resolve().is_relative_to(home) for home in homes):
        raise CheckpointError(f"{path} has weights in {location}, a link to outside of its folder, and is refused")
    return file


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph, those in attributes of its nodes and of the graphs in them, too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)
