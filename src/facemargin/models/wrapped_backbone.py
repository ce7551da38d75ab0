"""Anyone's network as a backbone, and its fast copy. Shapes: B images, C colours, H × W pixels, D embedding size."""

import copy
import itertools

import torch
from torch import Tensor, nn

from facemargin.backbones import Backbone
from facemargin.models.device import full_float32
from facemargin.models.folding import FoldedBackbone

_ALIKE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}


class WrappedBackbone(Backbone):
    """`module` maps images (B, 3, *`reads`) to features (B, D), or (B, D, 1, 1); `reads` is the height and width of the
    middle of the square images that the backbone is given. All of it computes in the type of its weights: nothing is
    known of its layers. `sample_BCHW` are images with which copies of it can be tried."""

    def __init__(self, module: nn.Module, embedding_size: int, reads: tuple[int, int], sample_BCHW: Tensor) -> None:
        super().__init__(embedding_size, max(reads))
        self.module = module
        self.reads = reads
        self.sample_BCHW = sample_BCHW

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """The part of the images that the module reads, in the type of its weights: `embed` does the work."""
        height, width = self.reads
        top, left = (self.input_size - height) // 2, (self.input_size - width) // 2
        return images_BCHW[:, :, top : top + height, left : left + width].to(type_of(self.module))

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.module(map_BCHW).flatten(1).float()
        return features_BD

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.forward`. The module is given images of its own, with colours first in memory, so that it may
        change them and take views of its maps, as in a program of its author's."""
        self._check(images_BCHW)
        return self.embed(self.feature_map(images_BCHW).clone(memory_format=torch.contiguous_format))


def fast_copy(backbone: WrappedBackbone) -> Backbone:
    """A FoldedBackbone of `backbone`, where that gives the same features; otherwise a copy, in evaluation mode.

    Only a trial can tell: tracing follows one path through the author's code, and some code, such as `x.view(len(x),
    -1)`, does not run with colours last in memory."""
    written = copy.deepcopy(backbone).eval()
    try:
        folded = FoldedBackbone(written)
        return folded if _is_alike(folded, written) else written
    except Exception:  # whatever somebody else's code raises in a way of running that it was not written for
        return written


@torch.no_grad()
def _is_alike(folded: Backbone, written: WrappedBackbone) -> bool:
    """Whether two images have the same features, together and one alone."""
    device, tolerance = device_of(written), _ALIKE.get(type_of(written.module), 0.0)
    images_BCHW = written.sample_BCHW.to(device).contiguous(memory_format=torch.channels_last)
    with full_float32(device):
        for images in (images_BCHW, images_BCHW[:1]):
            expected_BD = written(images)
            difference = (folded(images) - expected_BD).abs().max()
            if not difference <= tolerance * expected_BD.abs().max():
                return False
    return True


def type_of(module: nn.Module) -> torch.dtype:
    """The type of its weights, float32 for a module without any."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


def device_of(module: nn.Module) -> torch.device:
    """Where its weights are, the CPU for a module without any."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
