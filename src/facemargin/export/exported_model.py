"""Runs a file written by `export_onnx` with onnxruntime.

Shapes: N images, B images of a batch, C colours, H × W pixels, D embedding size.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.source import ImageSource
from facemargin.data.squareness import squashed_counted
from facemargin.errors import CheckpointError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.export.onnx_graph import OUTPUTS
from facemargin.extras import require_extra
from facemargin.interop.onnx_session import open_session
from facemargin.models.info import ModelInfo
from facemargin.models.input import network_input, read_pixels
from facemargin.models.read_ahead import batches_of


class ExportedModel:
    """A recogniser in a file of `facemargin export`. Its input is prepared as its metadata say. `info` describes the
    exported model; its views are those in the file."""

    def __init__(self, content: bytes | Path) -> None:
        """`file` is the content of the file, or its name. Raises CheckpointError if facemargin has not written it, and
        ConfigError if onnxruntime is not installed."""
        require_extra("export", "onnxruntime", what="running an exported model")
        name = str(content) if isinstance(content, Path) else "the exported model"
        self._session = open_session(str(content) if isinstance(content, Path) else content, name)
        try:
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{name} is damaged: its metadata are not text: {error}") from error
        if self.metadata.get("format") != "facemargin":
            raise CheckpointError(f"{name} is an ONNX model but was not written by facemargin export")
        try:
            self.info = ModelInfo(**json.loads(self.metadata["model"]))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError, CheckpointError) as error:
            raise CheckpointError(f"{name} has no valid description of its model in its metadata: {error}") from error
        self._input, self._name = self._session.get_inputs()[0].name, name

    def embed(self, images: ImageSource | GivenForm | Iterable[GivenForm], batch_size: int = 64) -> Embeddings:
        """As `Model.embed`, with the views in the file. Raises CheckpointError if the file does not run."""
        with squashed_counted(given_images(images)) as source:
            return self._embed(source, batch_size)

    def _embed(self, source: ImageSource, batch_size: int) -> Embeddings:
        if not len(source):
            empty = np.empty(0, np.float32)
            return Embeddings(np.empty((0, self.info.embedding_size), np.float32), empty, empty)
        batches = [self._run(self._fed(source, batch)) for batch in batches_of(len(source), batch_size)]
        return Embeddings(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))

    def _run(self, images: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        try:
            return list(self._session.run(list(OUTPUTS), {self._input: images}))
        except Exception as error:  # onnxruntime has a dozen types of its own
            raise CheckpointError(f"{self._name} does not run: {' '.join(str(error).split())}") from error

    def _fed(self, source: ImageSource, batch: range) -> NDArray[np.generic]:
        return feed(read_pixels(source, self.info.input_size, batch), self.info, self._input == "pixels")


def feed(pixels_BCHW: torch.Tensor, info: ModelInfo, preprocess: bool) -> NDArray[np.generic]:
    """Convert uint8 RGB pixels to the input of the graph; see `ExportedRecognizer`."""
    if preprocess:
        return np.ascontiguousarray(pixels_BCHW.permute(0, 2, 3, 1).numpy())
    return network_input(pixels_BCHW, info).numpy()
