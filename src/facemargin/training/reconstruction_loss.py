"""What the face reconstruction adds to a recogniser's loss.

    L = L_FR + λ_reco·L_reco + λ_canon·L_FR(canonical face) + λ_view·L_view          (LH2Face, arXiv 2506.23555)

The terms that need no recogniser, and their forms, are those of reconstruction/losses.py; here is L_FR(canonical face).
Shapes: M images of a pass, C colours, H × W pixels, D embedding size.
"""

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from facemargin.reconstruction import Reconstruction
from facemargin.training.state import TrainingState


def canonical_loss(state: TrainingState, reconstruction: Reconstruction, labels_M: Tensor) -> Tensor:
    """λ_canon·L_FR(canonical face), a scalar: the recogniser's loss with the canonical face in place of the image.

    Canonical face and depth stay beside it, so that the backbone reads the face twice. The gradient reaches backbone
    and class centres, and through face and depth the networks that made them. No running statistic, be it of a batch
    norm or of the margin, advances: they describe images.
    """
    backbone, head = state.recognizer.backbone, state.head
    assert backbone is not None and head is not None
    with state.autocast():
        inputs_MCHW = state.recognizer.backbone_input(reconstruction.canonical_image_BCHW, reconstruction)
        features_MD = _call_on_copied_buffers(backbone, inputs_MCHW)
    loss: Tensor = _call_on_copied_buffers(head, features_MD, labels_M).loss
    return state.recipe.reconstruction.lambda_canon * loss


def _call_on_copied_buffers(module: nn.Module, *arguments: Any) -> Any:
    """`module(*arguments)` in its present mode, with its own parameters, and without a trace in its buffers.

    In eval mode they would stand still too, but the margin and the batch norms would go by the images' statistics.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, buffers, arguments)
