"""A trained recogniser: images in, unit vectors, norms and qualities out.

Shapes: N images, B images of a batch, C colours, H × W pixels, D embedding size.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.backbones import Backbone, create_backbone
from facemargin.data.pixels import resize_square, to_tensor
from facemargin.data.source import ArrayImages, ImageSource
from facemargin.errors import CheckpointError, ConfigError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.inference.model_file import ModelInfo, read_model
from facemargin.inference.views import Views, image_views

Progress = Callable[[int, int], None]


class Model:
    """A backbone with what it needs to know to be fed: colour order, normalisation, input size, views."""

    def __init__(self, backbone: Backbone, info: ModelInfo, device: str | torch.device = "cpu") -> None:
        self.info = info
        self.device = torch.device(device)
        self.backbone = backbone.to(self.device).eval()

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
        the lengths of these averages and `quality` equals them. `progress(done, all)` is called after every batch. An
        image that cannot be read raises the CorruptImageError that names it.
        """
        source = images if isinstance(images, ImageSource) else ArrayImages(images, "the given images")
        features_ND = np.empty((len(source), self.info.embedding_size), np.float32)
        for start in range(0, len(source), batch_size):
            stop = min(start + batch_size, len(source))
            features_ND[start:stop] = self._features(source, start, stop, views or self.info.views)
            if progress is not None:
                progress(stop, len(source))
        norms_N = np.linalg.norm(features_ND, axis=1)
        vectors_ND = features_ND / np.where(norms_N > 0, norms_N, 1)[:, None]
        return Embeddings(vectors=vectors_ND.astype(np.float32, copy=False), norms=norms_N, quality=norms_N)

    def _features(self, source: ImageSource, start: int, stop: int, views: Views) -> NDArray[np.float32]:
        size = self.info.input_size
        pixels = torch.stack([to_tensor(resize_square(source.read(index), size)) for index in range(start, stop)])
        if self.info.color_order == "BGR":
            pixels = pixels.flip(1)
        images_BCHW = (pixels.to(self.device).float() - self.info.mean) / self.info.std
        features = [
            self.backbone(view.contiguous(memory_format=torch.channels_last))
            for view in image_views(images_BCHW, views)
        ]
        return torch.stack(features).mean(0).float().cpu().numpy()


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
        backbone = create_backbone(info.backbone, info.embedding_size, **info.options)
        backbone.load_state_dict(state)
    except (ConfigError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} does not fit its own description: {error}") from error
    return Model(backbone, info, device)
