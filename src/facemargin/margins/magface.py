"""MagFace (Meng et al., CVPR 2021, arXiv 2103.06627): the margin grows with the feature norm. Shapes: B samples."""

from dataclasses import dataclass

from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.angles import add_angle_continued, add_angle_easy
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class MagFaceConfig(ConstantScaleConfig):
    """The bounds of norm and margin between which the margin grows with the norm, and the regulariser."""

    within_pi = ("lower_margin", "upper_margin")

    lower_norm: float = 10.0
    """l_a, the norm below which the margin is the smallest."""
    upper_norm: float = 110.0
    """u_a, the norm above which the margin is the largest."""
    lower_margin: float = 0.45
    """l_m, the margin at the lower norm, in radians."""
    upper_margin: float = 0.8
    """u_m, the margin at the upper norm, in radians."""
    lambda_g: float = 35.0
    """λ_g, the weight of the regulariser that rewards large norms."""
    easy_margin: bool = True
    """True leaves the target cosine alone where it is not positive (the released default); False continues the margin
    below cos(π−m) by the line c − m·sin(m), as ArcFace's first code does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lower_norm < self.upper_norm:
            raise ConfigError(
                f"lower_norm is {self.lower_norm}, upper_norm {self.upper_norm}; expected 0 < lower_norm < upper_norm"
            )


@register_margin("magface")
class MagFace(ConstantScaleMargin):
    """Target logit s·cos(θ_y + m(a)), plus the loss λ_g·mean g(a). Both m and g pass gradient to the norm a."""

    Config = MagFaceConfig
    config: MagFaceConfig
    center_initialization = "unit"

    def clamped_norm(self, norm_B: Tensor) -> Tensor:
        """a clamped to [l_a, u_a], (B,)."""
        return norm_B.clamp(self.config.lower_norm, self.config.upper_norm)

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """m(a) = (u_m − l_m)/(u_a − l_a)·(a − l_a) + l_m in radians, (B,) (equation 4)."""
        config = self.config
        slope = (config.upper_margin - config.lower_margin) / (config.upper_norm - config.lower_norm)
        return slope * (self.clamped_norm(norm_B) - config.lower_norm) + config.lower_margin

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        margin_B = self.margin_scaler(terms, norm_B)
        add = add_angle_easy if self.config.easy_margin else add_angle_continued
        return self.config.scale * add(terms.target_cosine_B, margin_B)

    def extra_losses(
        self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor, centers_BD: Tensor | None = None
    ) -> dict[str, Tensor]:
        """λ_g·mean(g), g(a) = a/u_a² + 1/a on the clamped norm (equation 5): rewards large norms."""
        norm_B = self.clamped_norm(norm_B)
        g_B = norm_B / self.config.upper_norm**2 + 1 / norm_B
        return {"magnitude": self.config.lambda_g * g_B.sum() / max(len(g_B), 1)}
