"""The networks of a model, which are trained, averaged, saved and exported together.

Shapes: B images, C colours, H × W pixels, D embedding size.
"""

from typing import NamedTuple

from torch import Tensor, nn

from facemargin.backbones import Backbone, create_backbone
from facemargin.backbones.base import IMAGE_CHANNELS
from facemargin.errors import ConfigError
from facemargin.models.info import ModelInfo
from facemargin.quality.crfiqa import CertaintyRatioLayer
from facemargin.reconstruction import RECOGNIZER_CHANNELS, FaceReconstructor, Reconstruction, ReconstructionConfig


class RecognizerOutput(NamedTuple):
    """`features_BD`, not normalised to length 1, the predicted quality (B,) and the reconstruction of the faces. A
    value is None if the model has no network for it."""

    features_BD: Tensor
    quality_B: Tensor | None
    reconstruction: Reconstruction | None


class NoBackbone(Backbone):
    """The backbone of a model that only has a face reconstruction. It raises ConfigError if it is used."""

    def __init__(self, input_size: int) -> None:
        nn.Module.__init__(self)  # Backbone.__init__ refuses an embedding size of 0
        self.embedding_size, self.input_size, self.in_channels = 0, input_size, RECOGNIZER_CHANNELS

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """Raises ConfigError."""
        raise ConfigError(
            "this model only has a face reconstruction and cannot recognise people: use Model.reconstruct, or "
            "train a recogniser with reconstruction.mode joint"
        )

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """Never called, because `feature_map` raises ConfigError first."""
        return map_BCHW


class Recognizer(nn.Module):
    """A backbone and up to two other networks: `quality` is CR-FIQA's layer or None; `reconstructor` is LH2Face's face
    reconstruction or None. If there is a reconstructor, the backbone reads its canonical face and depth in addition to
    the image. The class head is not part of the recogniser, because it is only needed in training.
    """

    def __init__(
        self,
        backbone: Backbone,
        quality: CertaintyRatioLayer | None = None,
        reconstructor: FaceReconstructor | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.quality = quality
        self.reconstructor = reconstructor

    def forward(self, images_BCHW: Tensor) -> RecognizerOutput:
        """The outputs of all networks for normalised images in [-1, 1]. Raises ConfigError if the backbone is a
        NoBackbone."""
        reconstruction = None if self.reconstructor is None else self.reconstructor(images_BCHW)
        features_BD = self.backbone(self.backbone_input(images_BCHW, reconstruction))
        quality_B = None if self.quality is None else self.quality(features_BD)
        return RecognizerOutput(features_BD, quality_B, reconstruction)

    def backbone_input(self, images_BCHW: Tensor, reconstruction: Reconstruction | None) -> Tensor:
        """The input of the backbone: the images, stacked with the canonical face and depth if there is a
        reconstruction."""
        if self.reconstructor is None or reconstruction is None:
            return images_BCHW
        return self.reconstructor.recognizer_input(images_BCHW, reconstruction)


def create_recognizer(info: ModelInfo) -> Recognizer:
    """The networks that `info` describes, freshly initialised. Raises ConfigError or TypeError if such networks do not
    exist."""
    reconstructor = None
    if info.reconstruction is not None:
        reconstructor = FaceReconstructor(ReconstructionConfig(**info.reconstruction), info.input_size)
    if info.backbone is None:
        return Recognizer(NoBackbone(info.input_size), reconstructor=reconstructor)
    channels = IMAGE_CHANNELS if reconstructor is None else RECOGNIZER_CHANNELS
    backbone = create_backbone(info.backbone, info.embedding_size, channels, **info.options)
    quality = CertaintyRatioLayer(info.embedding_size) if info.quality == "crfiqa" else None
    return Recognizer(backbone, quality, reconstructor)
