"""A recogniser made for embedding: batch norms folded, channels last, convolutions in the precision asked for."""

from itertools import chain

import torch

from facemargin.inference.folding import FoldedBackbone
from facemargin.inference.precision import Precision, convolution_type
from facemargin.inference.recogniser import Recogniser


class FastRecogniser:
    """The fast form of `recogniser`, which is left alone."""

    def __init__(self, recogniser: Recogniser, precision: Precision) -> None:
        """Raises ConfigError for an unknown precision."""
        convolution_type(precision, torch.device("cpu"))
        self._recogniser = recogniser
        self._precision: Precision = precision
        self._folded: Recogniser | None = None
        self._folded_weights: list[tuple[int, int]] = []

    def present(self) -> Recogniser:
        """It, made at the first call and again where weights have changed since."""
        weights = _state_of_weights(self._recogniser)
        if self._folded is None or weights != self._folded_weights:
            self._folded, self._folded_weights = folded_recogniser(self._recogniser, self._precision), weights
        return self._folded


def folded_recogniser(recogniser: Recogniser, precision: Precision = "float32") -> Recogniser:
    """`recogniser` with a FoldedBackbone; what it has beside its backbone is shared. A backbone without weights, that
    of an ONNX model, is left as it is."""
    backbone = recogniser.backbone
    weight = None if backbone is None else next(backbone.parameters(), None)
    if backbone is not None and weight is not None:
        bf16 = convolution_type(precision, weight.device) is torch.bfloat16
        backbone = FoldedBackbone(backbone, torch.bfloat16 if bf16 else None)
    return Recogniser(backbone, recogniser.quality, recogniser.reconstructor).eval()


def _state_of_weights(recogniser: Recogniser) -> list[tuple[int, int]]:
    """Where each tensor lies and how often it was written to: an optimizer step, loading and moving all change it."""
    tensors = chain(recogniser.parameters(), recogniser.buffers())
    return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors]
