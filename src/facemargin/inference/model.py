"""A trained recogniser: images in, unit vectors, norms and qualities out.

Shapes: N images, B images of a batch, C colours, H × W pixels, D embedding size.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.data.pixels import resize_square, to_tensor
from facemargin.data.source import ArrayImages, ImageSource
from facemargin.errors import CheckpointError, ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.inference.model_file import ModelInfo, read_model
from facemargin.inference.recogniser import Recogniser, RecogniserOutput, create_recogniser
from facemargin.inference.views import Views, image_views
from facemargin.reconstruction import Reconstruction

Progress = Callable[[int, int], None]


class Model:
    """A recogniser with what it needs to know to be fed: colour order, normalisation, input size, views."""

    def __init__(self, recogniser: Recogniser, info: ModelInfo, device: str | torch.device = "cpu") -> None:
        self.info = info
        self.device = torch.device(device)
        self.recogniser = recogniser.to(self.device).eval()

    @torch.inference_mode()
    def embed(
        self,
        images: ImageSource | Sequence[NDArray[np.uint8]],
        batch_size: int = 64,
        views: Views | None = None,
        progress: Progress | None = None,
    ) -> Embeddings:
        """Embed images: (H, W, 3) uint8 RGB arrays of any size, or an ImageSource, aligned as in training.

        The features of the `views` of an image (by default the model's own) are averaged, then normalised; `norms` are
        the lengths of these averages. `quality` is the mean of the views' predictions where the model has a layer that
        predicts it, and equals `norms` elsewhere. `progress(done, all)` is called after every batch. An image that
        cannot be read raises the CorruptImageError that names it, and a model that recognises nobody ConfigError.
        """
        source = images if isinstance(images, ImageSource) else ArrayImages(images, "the given images")
        features_ND = np.empty((len(source), self.info.embedding_size), np.float32)
        predicted_N = np.empty(len(source), np.float32)
        for start in range(0, len(source), batch_size):
            stop = min(start + batch_size, len(source))
            outputs = self._outputs(source, start, stop, views or self.info.views)
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
            quality=norms_N if self.recogniser.quality is None else predicted_N,
        )

    @torch.inference_mode()
    def reconstruct(self, images: ImageSource | Sequence[NDArray[np.uint8]]) -> Reconstruction:
        """Take the faces of all the images, of any size, apart: one batch, colours in the order of the model.

        `recogniser.reconstructor` renders them again, from any view and in any light. Raises ConfigError where the
        model has no reconstructor, and DataError where there are no images.
        """
        if self.recogniser.reconstructor is None:
            raise ConfigError(
                f"this model ({self.info.backbone}, {self.info.loss}) holds no face reconstruction: train one with "
                "reconstruction.mode joint or alone"
            )
        source = images if isinstance(images, ImageSource) else ArrayImages(images, "the given images")
        if not len(source):
            raise DataError("there are no images to reconstruct")
        return self.recogniser.reconstructor(self._read(source, 0, len(source)))

    def _outputs(self, source: ImageSource, start: int, stop: int, views: Views) -> list[RecogniserOutput]:
        """One output a view of the images `start` to `stop`."""
        return [
            self.recogniser(view.contiguous(memory_format=torch.channels_last))
            for view in image_views(self._read(source, start, stop), views)
        ]

    def _read(self, source: ImageSource, start: int, stop: int) -> Tensor:
        """The images `start` to `stop` as the networks read them, (B, C, H, W)."""
        size = self.info.input_size
        pixels = torch.stack([to_tensor(resize_square(source.read(index), size)) for index in range(start, stop)])
        if self.info.color_order == "BGR":
            pixels = pixels.flip(1)
        return (pixels.to(self.device).float() - self.info.mean) / self.info.std


def _mean(tensors: list[Tensor]) -> NDArray[np.float32]:
    return torch.stack(tensors).mean(0).float().cpu().numpy()


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """The recogniser in a facemargin model file, or in a run folder (its `model.safetensors`).

    Raises CheckpointError, naming the file, if it is missing, damaged or does not fit its own description.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}; a run folder holds one once training has ended")
    state, info = read_model(path)
    try:
        recogniser = create_recogniser(info)
        recogniser.load_state_dict(state)
    except (ConfigError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} does not fit its own description: {error}") from error
    return Model(recogniser, info, device)
