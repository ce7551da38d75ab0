"""A recogniser optimised for embedding: folded batch norms, channels-last memory, and a chosen precision of
convolutions."""

from itertools import chain

import numpy as np
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
        weights a second time. On a GPU the host waits once, for the outcome of all comparisons.
        """
        recognizer = self._recognizer
        parts = (recognizer.backbone, recognizer.quality, recognizer.reconstructor)
        weights = _tensors(recognizer.backbone)
        if self._folded is None or parts != self._folded_from or not _equal(weights, self._folded_weights):
            self._folded, self._folded_from = folded_recognizer(recognizer, self._precision), parts
            _compute_by_onednn(self._folded.backbone)
            self._folded_weights = [tensor.clone() for tensor in weights]
        return self._folded


class UnchangingRecognizer:
    """`recognizer`, taken to stay as it is."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    def current(self) -> Recognizer:
        """The recogniser."""
        return self._recognizer


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


def _compute_by_onednn(backbone: nn.Module) -> None:
    """Have torch give 1×1 convolutions on the CPU to oneDNN. With one thread and fewer than 16 images it takes code of
    its own, with which SFace takes 1.3 to 1.8 times as long (benchmarks/results/sface.md). It takes oneDNN where a
    kernel is dilated, and of one pixel that changes nothing."""
    if not (isinstance(backbone, FoldedBackbone) and torch.backends.mkldnn.is_available()):
        return
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and _is_float32_here(layer.weight):
            layer.dilation = (2, 2)


def _is_float32_here(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype is torch.float32


def _tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(network.parameters(), network.buffers())]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether the tensors have the same numbers, types, shapes and devices."""
    if [_kind(tensor) for tensor in some] != [_kind(tensor) for tensor in others]:
        return False
    if all(tensor.device.type == "cpu" for tensor in some):
        return all(_equal_here(tensor, other_tensor) for tensor, other_tensor in zip(some, others, strict=True))
    return _equal_at_once(some, others)


def _equal_here(ours: Tensor, theirs: Tensor) -> bool:
    """torch.equal by this thread alone: torch's threads wait for each other after every tensor, which took ten times
    the work and more on a busy machine."""
    if ours.dtype in (torch.float32, torch.float64):
        return np.array_equal(ours.numpy(), theirs.numpy())
    return torch.equal(ours, theirs)


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
