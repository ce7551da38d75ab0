"""A recogniser optimised for embedding: folded batch norms, channels-last memory, and a chosen precision of
convolutions."""

from itertools import chain

import torch
from torch import Tensor, nn

from facemargin.backbones.precision import Precision, convolution_type
from facemargin.models.folding import FoldedBackbone
from facemargin.models.recognizer import Recognizer


class FastRecognizer:
    """A fast copy of `recognizer`. The original is not changed."""

    def __init__(self, recognizer: Recognizer, precision: Precision) -> None:
        """Raises ConfigError for an unknown precision."""
        convolution_type(precision, torch.device("cpu"))
        self._recognizer = recognizer
        self._precision: Precision = precision
        self._folded: Recognizer | None = None
        self._folded_from: tuple[nn.Module | None, ...] = ()
        self._folded_weights: list[Tensor] = []

    def current(self) -> Recognizer:
        """The fast recogniser. It is built at the first call, and built again if a weight or statistic of the backbone
        has changed since then.

        To detect changes, every number is compared with a copy of the numbers that were folded. PyTorch's version
        counters would miss the steps of a fused optimizer and writes to `.data`. The copy takes the memory of the
        weights a second time; comparing takes 9 to 13 % of the time of one image in two views (`ir_101`, `ir_18`).
        """
        recognizer = self._recognizer
        parts = (recognizer.backbone, recognizer.quality, recognizer.reconstructor)
        weights = _tensors(recognizer.backbone)
        if self._folded is None or parts != self._folded_from or not _equal(weights, self._folded_weights):
            self._folded, self._folded_from = folded_recognizer(recognizer, self._precision), parts
            self._folded_weights = [tensor.clone() for tensor in weights]
        return self._folded


def folded_recognizer(recognizer: Recognizer, precision: Precision = "float32") -> Recognizer:
    """`recognizer` with a FoldedBackbone; what it has beside its backbone is shared. A backbone without weights, that
    of an ONNX model or none at all, is left as it is."""
    backbone = recognizer.backbone
    weight = next(backbone.parameters(), None)
    if weight is not None:
        bf16 = convolution_type(precision, weight.device) is torch.bfloat16
        backbone = FoldedBackbone(backbone, torch.bfloat16 if bf16 else None)
    return Recognizer(backbone, recognizer.quality, recognizer.reconstructor).eval()


def _tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(network.parameters(), network.buffers())]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether the tensors have the same numbers, types, shapes and devices."""
    return len(some) == len(others) and all(
        tensor.dtype == other_tensor.dtype
        and tensor.device == other_tensor.device
        and torch.equal(tensor, other_tensor)
        for tensor, other_tensor in zip(some, others, strict=True)
    )
