"""A recogniser optimised for embedding: folded batch norms, channels-last memory, and a chosen precision of
convolutions."""

from itertools import chain

import torch
from torch import Tensor, nn

from facemargin.backbones.precision import Precision, convolution_type
from facemargin.models.folding import FoldedBackbone
from facemargin.models.recognizer import Recognizer
from facemargin.models.wrapped_backbone import WrappedBackbone, fast_copy


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
        weights a second time; comparing takes 9 to 13 % of the time of one image in two views (`ir_101`, `ir_18`) on
        the CPU. On a GPU the host waits once, for the outcome of all comparisons.
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
    of an ONNX model or none at all, is left as it is. Of a wrapped network the fast copy is tried first."""
    backbone = recognizer.backbone
    weight = next(backbone.parameters(), None)
    if isinstance(backbone, WrappedBackbone):
        backbone = fast_copy(backbone)
    elif weight is not None:
        bf16 = convolution_type(precision, weight.device) is torch.bfloat16
        backbone = FoldedBackbone(backbone, torch.bfloat16 if bf16 else None)
    return Recognizer(backbone, recognizer.quality, recognizer.reconstructor).eval()


def _tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(network.parameters(), network.buffers())]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether the tensors have the same numbers, types, shapes and devices."""
    if [_kind(tensor) for tensor in some] != [_kind(tensor) for tensor in others]:
        return False
    if all(tensor.device.type == "cpu" for tensor in some):
        return all(torch.equal(tensor, other_tensor) for tensor, other_tensor in zip(some, others, strict=True))
    return _equal_at_once(some, others)


def _equal_at_once(some: list[Tensor], others: list[Tensor]) -> bool:
    """As torch.equal for every pair of tensors, on their devices, with one wait for each device."""
    outcomes: dict[torch.device, list[Tensor]] = {}
    both = [(ours, theirs) for ours, theirs in zip(some, others, strict=True) if ours.numel()]
    for device, dtype in sorted({(ours.device, ours.dtype) for ours, _ in both}, key=str):
        pairs = [pair for pair in both if (pair[0].device, pair[0].dtype) == (device, dtype)]
        if dtype.is_floating_point:
            differences = torch._foreach_sub([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
            # ord=inf: a NaN stays one, and is not 0
            norms = torch._foreach_norm(list(differences), float("inf"))
            outcomes.setdefault(device, []).append((torch.stack(list(norms)) == 0).all())
        else:
            ours, theirs = (torch.cat([tensor.flatten() for tensor in tensors]) for tensors in zip(*pairs, strict=True))
            outcomes.setdefault(device, []).append((ours == theirs).all())
    return all(bool(torch.stack(alike).all()) for alike in outcomes.values())


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.device, torch.Size]:
    return tensor.dtype, tensor.device, tensor.shape
