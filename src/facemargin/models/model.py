"""A trained recogniser, which computes unit vectors, norms and qualities of images.

Shapes: N images, B images of a batch, C colours, H × W pixels, D embedding size.
"""

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from facemargin.backbones import Backbone
from facemargin.backbones.precision import Precision, precision_on
from facemargin.counting import counted
from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.source import ImageSource
from facemargin.data.squareness import squashed_counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.interop.onnx_backbone import OnnxBackbone
from facemargin.models.device import device_called, device_text, full_float32
from facemargin.models.fast import FastRecognizer, UnchangingRecognizer
from facemargin.models.folding import FoldedBackbone
from facemargin.models.info import ModelInfo
from facemargin.models.input import network_input, read_pixels
from facemargin.models.read_ahead import batches_of, num_readers, read_ahead
from facemargin.models.recognizer import Recognizer
from facemargin.models.slices import in_slices, slice_size
from facemargin.models.transfer import Results, transfer_to
from facemargin.models.views import Views, image_views
from facemargin.models.wrapped_backbone import WrappedBackbone, type_of
from facemargin.reconstruction import Reconstruction

Progress = Callable[[int, int], None]
Note = TypeVar("Note")

_BATCH, _BATCH_ON_A_GPU = 64, 256

logger = logging.getLogger(__name__)


class Model:
    """A recogniser with the description of its input: colour order, normalisation, input size, views.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> model.embed(fm.open_images("orl:1")).vectors.shape
        (10, 64)
        >>> model.to("cpu").backbone.embedding_size
        64
    """

    def __init__(
        self,
        recognizer: Recognizer,
        info: ModelInfo,
        device: str | torch.device = "cpu",
        precision: Precision | None = None,
    ) -> None:
        """`precision` is that of the convolutions when embedding. bf16 is several times as fast if the device has
        instructions for it, and changes the vectors a little (docs/export.md). "auto" uses it on every such device,
        None only on GPUs. The attribute `precision` says which one was chosen.
        """
        self.info = info
        self.recognizer = recognizer
        self._asked_precision = precision
        self.to(device)

    def __repr__(self) -> str:
        info = self.info
        what = f"{info.backbone}: {counted(info.embedding_size, 'value')}" if info.backbone else "a face reconstruction"
        feed = f"{info.input_size} × {info.input_size} pixels {info.color_order}, views {info.views}"
        origin = f"{info.family}, " if info.family else ""
        return f"<facemargin.Model {what} of {feed}; {origin}loss {info.loss}, quality {info.quality}; {self.device}>"

    @property
    def backbone(self) -> Backbone:
        """The network itself, a torch.nn.Module: normalised images → features, not of length 1."""
        return self.recognizer.backbone

    def to(self, device: str | torch.device) -> "Model":
        """Move the networks to a device, such as "cuda", or "auto" for a GPU where there is one; returns the model
        itself. Raises ConfigError for a device that is not here. An ONNX model stays on the CPU, with a warning."""
        self.device = device_called(device)
        asked = self._asked_precision
        if isinstance(self.recognizer.backbone, OnnxBackbone):
            if self.device.type != "cpu":
                logger.warning("an ONNX model is computed by onnxruntime on the CPU, not on %s", self.device)
            self.device, asked = torch.device("cpu"), "float32"
        if isinstance(self.recognizer.backbone, WrappedBackbone):
            asked = "float32"  # or the type of its weights, which its author chose
        self.precision: Literal["float32", "bf16"] = precision_on(self.device, asked)
        self.recognizer.to(self.device).eval()
        self._fast: FastRecognizer | UnchangingRecognizer = FastRecognizer(self.recognizer, self.precision)
        return self

    def unchanging(self) -> "Model":
        """This model with the weights that it has now, for a program that changes none: they are not compared with the
        folded ones each time that something is embedded, which for SFace takes as long as a third of an image."""
        model = copy.copy(self)
        model._fast = UnchangingRecognizer(self._fast.current())
        return model

    def where(self) -> str:
        """Where and in which precision the model embeds, for people to read: "cuda:0 (NVIDIA H100 80GB HBM3), bf16"."""
        backbone = self.recognizer.backbone
        written = str(type_of(backbone.module)).removeprefix("torch.") if isinstance(backbone, WrappedBackbone) else ""
        return f"{device_text(self.device)}, {written or self.precision}"

    @property
    def batch_size(self) -> int:
        """The number of images that are embedded at a time, if the caller does not choose it."""
        return _BATCH_ON_A_GPU if self.device.type == "cuda" else _BATCH

    def embed(
        self,
        images: ImageSource | GivenForm | Iterable[GivenForm],
        batch_size: int | None = None,
        views: Views | None = None,
        progress: Progress | None = None,
    ) -> Embeddings:
        """Embed images, aligned as in training, of any size: an ImageSource; paths, (H, W, 3) uint8 RGB arrays or
        tensors, PIL images, one or a list of them; or one array (N, H, W, 3).

        The features of the `views` of an image (by default the model's own) are averaged, then normalised; `norms` are
        the lengths of these averages. `quality` is the mean of the views' predictions if the model has a layer that
        predicts it; otherwise it equals `norms`. `batch_size` is by default 64 on the CPU and 256 on a GPU.
        `progress(done, all)` is called after every batch. Raises CorruptImageError, which names the image, if an image
        cannot be read, and ConfigError if the model has no recogniser. Images that are not square are squashed to a
        square, and a warning counts them.
        """
        with squashed_counted(given_images(images)) as source:
            return self._embed(source, batch_size, views, progress)

    def _embed(
        self, source: ImageSource, batch_size: int | None, views: Views | None, progress: Progress | None
    ) -> Embeddings:
        features_ND = np.empty((len(source), self.info.embedding_size), np.float32)
        predicted_N = np.empty(len(source), np.float32)
        batches = batches_of(len(source), self.batch_size if batch_size is None else batch_size)
        readers = num_readers(source, self.device)

        def read(batch: range) -> tuple[Tensor, None]:
            return read_pixels(source, self.info.input_size, batch), None

        for batch, _, (features_BD, *predicted) in self.features_of(read, batches, readers, views):
            features_ND[batch.start : batch.stop] = features_BD
            if predicted:
                predicted_N[batch.start : batch.stop] = predicted[0]
            if progress is not None:
                progress(batch.stop, len(source))
        return self.embeddings([features_ND] if self.recognizer.quality is None else [features_ND, predicted_N])

    def features_of(
        self,
        read: Callable[[range], tuple[Tensor | None, Note]],
        batches: Sequence[range],
        readers: int,
        views: Views | None = None,
    ) -> Iterator[tuple[range, Note, Results]]:
        """Yields every batch, in order, with the note of `read` and the features (B, D), not normalised, and predicted
        qualities (B,), if the model predicts them, of the pixels of `read`: (B, C, H, W) uint8 RGB, or None for a batch
        without an image, which has no features.

        As many threads as `readers` call `read`, ahead of the network. On a GPU nothing waits for the results of a
        batch before the next one is queued.
        """
        recognizer, transfer = self._fast.current(), transfer_to(self.device)

        def ready(batch: range) -> tuple[Tensor | None, Note]:
            pixels_BCHW, note = read(batch)
            return None if pixels_BCHW is None else transfer.ready(pixels_BCHW), note

        queued: deque[tuple[range, Note, Callable[[], Results]]] = deque()
        for batch, (pixels_BCHW, note) in read_ahead(ready, batches, readers):
            if pixels_BCHW is None:
                outputs = self._no_images()
            else:
                outputs = self._run(recognizer, transfer.send(pixels_BCHW), views)
            queued.append((batch, note, transfer.bring_back(outputs)))
            if len(queued) > transfer.late:
                yield _arrived(*queued.popleft())
        for waiting in queued:
            yield _arrived(*waiting)

    def embeddings(self, results: Results) -> Embeddings:
        """Features (N, D) and predicted qualities (N,), if the model predicts them, as Embeddings."""
        features_ND, *predicted = results
        norms_N = np.linalg.norm(features_ND, axis=1)
        vectors_ND = features_ND / np.where(norms_N > 0, norms_N, 1)[:, None]
        return Embeddings(
            vectors=vectors_ND.astype(np.float32, copy=False),
            norms=norms_N,
            quality=predicted[0] if predicted else norms_N,
        )

    def _no_images(self) -> list[Tensor]:
        features_0D = torch.empty(0, self.info.embedding_size, device=self.device)
        return [features_0D] if self.recognizer.quality is None else [features_0D, features_0D.new_empty(0)]

    def _run(self, recognizer: Recognizer, pixels_BCHW: Tensor, views: Views | None) -> list[Tensor]:
        run = partial(self._compute, recognizer, views)
        backbone = recognizer.backbone
        if self.device.type != "cpu" or not (isinstance(backbone, FoldedBackbone) and backbone.traced):
            return run(pixels_BCHW)  # a program of its author's may not do with several threads
        return in_slices(run, pixels_BCHW, slice_size(self.info.input_size, backbone.map_type))

    @torch.inference_mode()
    def _compute(self, recognizer: Recognizer, views: Views | None, pixels_BCHW: Tensor) -> list[Tensor]:
        images_BCHW = network_input(pixels_BCHW, self.info)
        with full_float32(self.device):
            outputs = [
                recognizer(view.contiguous(memory_format=torch.channels_last))
                for view in image_views(images_BCHW, views or self.info.views)
            ]
        qualities = [output.quality_B for output in outputs if output.quality_B is not None]
        return [_mean([output.features_BD for output in outputs]), *([_mean(qualities)] if qualities else [])]

    @torch.inference_mode()
    def reconstruct(self, images: ImageSource | GivenForm | Iterable[GivenForm]) -> Reconstruction:
        """Reconstruct the faces of all images, of any size, in one batch, with colours in the order of the model.

        `recognizer.reconstructor` renders them again, from any view and in any light. Raises ConfigError if the model
        has no reconstructor, and DataError if there are no images.
        """
        if self.recognizer.reconstructor is None:
            raise ConfigError(
                f"this model ({self.info.backbone}, {self.info.loss}) has no face reconstruction: train one with "
                "reconstruction.mode joint or alone"
            )
        source = given_images(images)
        if not len(source):
            raise DataError("there are no images to reconstruct")
        with squashed_counted(source) as images:
            pixels_BCHW = read_pixels(images, self.info.input_size, range(len(source)))
        inputs_BCHW = network_input(pixels_BCHW.to(self.device), self.info).contiguous()
        reconstruction: Reconstruction = self.recognizer.reconstructor(inputs_BCHW)
        return reconstruction


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(0).float()


def _arrived(batch: range, note: Note, results: Callable[[], Results]) -> tuple[range, Note, Results]:
    return batch, note, results()
