"""NormFace (Wang et al., ACM MM 2017, arXiv 1704.06369): softmax over scaled cosines, no margin. Shapes: B samples."""

from torch import Tensor

from facemargin.margins.base import ConstantScaleMargin, SoftmaxTerms, register_margin


@register_margin("normface")
class NormFace(ConstantScaleMargin):
    """Target logit s·c_y."""

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * terms.target_cosine_B
