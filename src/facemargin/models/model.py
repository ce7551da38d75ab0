"""A trained recogniser, which computes unit vectors, norms and qualities of images.

Shapes: N images, B images of a batch, C colours, H × W pixels, D embedding size.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.backbones import Backbone
from facemargin.backbones.precision import Precision, precision_on
from facemargin.counting import counted
from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.interop.onnx_backbone import OnnxBackbone
from facemargin.models.device import device_called, device_text
from facemargin.models.fast import FastRecognizer
from facemargin.models.info import ModelInfo
from facemargin.models.input import network_input, read_pixels
from facemargin.models.read_ahead import batches_of, read_ahead
from facemargin.models.recognizer import Recognizer
from facemargin.models.views import Views, image_views
from facemargin.reconstruction import Reconstruction

Progress = Callable[[int, int], None]

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
        self.precision: Literal["float32", "bf16"] = precision_on(self.device, asked)
        self.recognizer.to(self.device).eval()
        self._fast = FastRecognizer(self.recognizer, self.precision)
        return self

    def where(self) -> str:
        """Where and in which precision the model embeds, for people to read: "cuda:0 (NVIDIA H100 80GB HBM3), bf16"."""
        return f"{device_text(self.device)}, {self.precision}"

    @torch.inference_mode()
    def embed(
        self,
        images: ImageSource | GivenForm | Iterable[GivenForm],
        batch_size: int = 64,
        views: Views | None = None,
        progress: Progress | None = None,
    ) -> Embeddings:
        """Embed images, aligned as in training, of any size: an ImageSource; paths, (H, W, 3) uint8 RGB arrays or
        tensors, PIL images, one or a list of them; or one array (N, H, W, 3).

        The features of the `views` of an image (by default the model's own) are averaged, then normalised; `norms` are
        the lengths of these averages. `quality` is the mean of the views' predictions if the model has a layer that
        predicts it; otherwise it equals `norms`. `progress(done, all)` is called after every batch. Raises
        CorruptImageError, which names the image, if an image cannot be read, and ConfigError if the model has no
        recogniser.
        """
        source = given_images(images)
        recognizer = self._fast.current()
        features_ND = np.empty((len(source), self.info.embedding_size), np.float32)
        predicted_N = np.empty(len(source), np.float32)
        read = partial(read_pixels, source, self.info.input_size)
        for batch, pixels_BCHW in read_ahead(read, batches_of(len(source), batch_size)):
            start, stop = batch.start, batch.stop
            images_BCHW = network_input(pixels_BCHW.to(self.device), self.info)
            outputs = [
                recognizer(view.contiguous(memory_format=torch.channels_last))
                for view in image_views(images_BCHW, views or self.info.views)
            ]
            features_ND[start:stop] = _mean([output.features_BD for output in outputs])
            if qualities := [output.quality_B for output in outputs if output.quality_B is not None]:
                predicted_N[start:stop] = _mean(qualities)
            if progress is not None:
                progress(stop, len(source))
        norms_N = np.linalg.norm(features_ND, axis=1)
        vectors_ND = features_ND / np.where(norms_N > 0, norms_N, 1)[:, None]
        return Embeddings(
            vectors=vectors_ND.astype(np.float32, copy=False),
            norms=norms_N,
            quality=norms_N if self.recognizer.quality is None else predicted_N,
        )

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
        pixels_BCHW = read_pixels(source, self.info.input_size, range(len(source)))
        inputs_BCHW = network_input(pixels_BCHW.to(self.device), self.info).contiguous()
        reconstruction: Reconstruction = self.recognizer.reconstructor(inputs_BCHW)
        return reconstruction


def _mean(tensors: list[Tensor]) -> NDArray[np.float32]:
    return torch.stack(tensors).mean(0).float().cpu().numpy()
