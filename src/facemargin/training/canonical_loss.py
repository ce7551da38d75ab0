"""What the canonical face adds to the loss of a recogniser that is trained jointly with a face reconstruction.

    L = L_FR + λ_reco·L_reco + λ_canon·L_FR(canonical face) + λ_view·L_view          (LH2Face, arXiv 2506.23555)

Here is L_FR(canonical face); the terms that need no recogniser, and their forms, are those of reconstruction/losses.py.
Shapes: M images of a pass, D embedding size.
"""

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from facemargin.heads import Head
from facemargin.models.recognizer import Recognizer
from facemargin.reconstruction import Reconstruction


def canonical_loss(recognizer: Recognizer, head: Head, reconstruction: Reconstruction, labels_M: Tensor) -> Tensor:
    """L_FR(canonical face), a scalar: the recogniser's loss with the canonical face in place of the image.

    Canonical face and depth stay beside it, so that the backbone reads the face twice. The gradient reaches backbone
    and class centres, and through face and depth the networks that made them. No running statistic, be it of a batch
    norm or of the margin, advances: they describe images. The reconstruction may have a row for no label, the black
    image of a pass without any.
    """
    inputs_MCHW = recognizer.backbone_input(reconstruction.canonical_image_BCHW, reconstruction)
    features_MD = _call_on_copied_buffers(recognizer.backbone, inputs_MCHW)[: len(labels_M)]
    loss: Tensor = _call_on_copied_buffers(head, features_MD, labels_M).loss
    return loss


def _call_on_copied_buffers(module: nn.Module, *arguments: Any) -> Any:
    """`module(*arguments)` in its present mode, with its own parameters, and without a trace in its buffers.

    In eval mode they would stand still too, but the margin and the batch norms would go by the images' statistics.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, buffers, arguments)
