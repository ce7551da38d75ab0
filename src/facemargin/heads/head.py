"""The classification head: class centres, and a margin over what the features' cosines to them reduce to.

Shapes: B samples, C classes, D feature values.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError, DataError
from facemargin.heads.initialisation import initial_centres
from facemargin.heads.normalisation import nonzero, row_norms, unit_rows
from facemargin.heads.softmax_terms import IMPLEMENTATIONS, softmax_terms
from facemargin.margins.base import Margin, check_settings, create_margin, margin_class
from facemargin.margins.certainty_ratio import certainty_ratio
from facemargin.registry import unknown_name


@dataclass(frozen=True)
class HeadOutput:
    """What a head returns for a batch. `loss` is the scalar to differentiate: the sum of `parts`.

    parts: named scalar terms, "softmax" and what the margin adds, each a mean over the labelled samples.
    losses_B: cross-entropy per sample, 0 where unlabelled. The rest is without gradient and NaN where unlabelled:
    target_cosine_B, hardest_negative_B (−inf with a single class), certainty_ratio_B, feature_norm_B (known for every
    sample), margin_scaler_B (see Margin.margin_scaler).
    """

    loss: Tensor
    losses_B: Tensor
    parts: dict[str, Tensor]
    target_cosine_B: Tensor
    hardest_negative_B: Tensor
    certainty_ratio_B: Tensor
    feature_norm_B: Tensor
    margin_scaler_B: Tensor


class Head(nn.Module):
    """Cross-entropy over scaled cosines to C class centres, with a margin on the target class.

    `weight` (C, D) holds the centres. All arithmetic is in float32 whatever the features' type or the autocast context
    (float64 stays float64). In eval mode the margin's running statistics stand still.
    """

    def __init__(
        self,
        margin: Margin,
        num_classes: int,
        embedding_size: int,
        implementation: str = "auto",
        centre_initialisation: str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1 or embedding_size < 1:
            raise ConfigError(f"num_classes {num_classes} and embedding_size {embedding_size} must be positive")
        if implementation not in (*IMPLEMENTATIONS, "auto"):
            raise ConfigError(unknown_name("implementation", implementation, [*IMPLEMENTATIONS, "auto"]))
        self.margin = margin
        self.implementation = implementation
        start = centre_initialisation or margin.centre_initialisation
        self.weight = nn.Parameter(initial_centres(start, num_classes, embedding_size, generator))

    @property
    def num_classes(self) -> int:
        return self.weight.shape[0]

    def forward(self, features: Tensor, labels: Tensor) -> HeadOutput:
        """Loss of unnormalised features (B, D) with integer labels (B,) in [−1, C); −1 means unlabelled: such a sample
        is left out of the loss, its denominator and all statistics. DataError for shapes or labels that don't fit."""
        with torch.autocast(features.device.type, enabled=False):
            return self._forward(features.to(torch.promote_types(features.dtype, self.weight.dtype)), labels)

    def _forward(self, features_BD: Tensor, labels_B: Tensor) -> HeadOutput:
        self._check(features_BD, labels_B)
        all_norm_B = row_norms(features_BD)
        labelled_B = labels_B >= 0
        whole = bool(labelled_B.all())
        x_BD, norm_B, y_B = (v if whole else v[labelled_B] for v in (features_BD, all_norm_B, labels_B.long()))
        x_BD = x_BD / nonzero(norm_B)[:, None]
        weight_CD = self.weight.to(x_BD.dtype)
        with torch.no_grad():
            # Row dots alone: what decides which negatives are hard is known before the product with all centres.
            target_cosine_B = (x_BD * weight_CD[y_B]).sum(1) / nonzero(row_norms(weight_CD[y_B]))
        scale_B = self.margin.scale(norm_B)
        if self.training:
            self.margin.observe_targets(target_cosine_B)
        hard_negatives = self.margin.negatives(target_cosine_B)
        terms = softmax_terms(x_BD, weight_CD, y_B, scale_B, hard_negatives, self.implementation)
        if self.training:
            self.margin.observe(terms, norm_B)
        target_logit_B = self.margin.target_logit(terms, norm_B, y_B)
        # Cross-entropy: log(exp(target) + Σ exp(negatives)) − target. Not softplus: it turns linear at 20.
        losses_B = torch.logaddexp(torch.zeros_like(target_logit_B), terms.negative_lse_B - target_logit_B)
        parts = {"softmax": losses_B.sum() / max(len(losses_B), 1)}
        centres_BD = unit_rows(weight_CD[y_B]) if self.margin.needs_centres else None
        parts |= self.margin.extra_losses(terms, norm_B, y_B, centres_BD)

        def spread(values: Tensor, fill: float) -> Tensor:
            if whole:
                return values
            return values.new_full((len(labels_B),), fill).masked_scatter(labelled_B, values)

        nan = float("nan")
        return HeadOutput(
            loss=torch.stack(list(parts.values())).sum(),
            losses_B=spread(losses_B, 0.0),
            parts=parts,
            target_cosine_B=spread(terms.target_cosine_B.detach(), nan),
            hardest_negative_B=spread(terms.hardest_negative_B, nan),
            certainty_ratio_B=spread(certainty_ratio(terms.target_cosine_B, terms.hardest_negative_B), nan),
            feature_norm_B=all_norm_B.detach(),
            margin_scaler_B=spread(self.margin.margin_scaler(terms, norm_B).detach(), nan),
        )

    def _check(self, features_BD: Tensor, labels_B: Tensor) -> None:
        if features_BD.ndim != 2 or features_BD.shape[1] != self.weight.shape[1]:
            raise DataError(f"features have shape {tuple(features_BD.shape)}, expected (B, {self.weight.shape[1]})")
        if labels_B.shape != features_BD.shape[:1]:
            raise DataError(f"labels have shape {tuple(labels_B.shape)}, expected ({len(features_BD)},)")
        if labels_B.is_floating_point() or labels_B.dtype == torch.bool:
            raise DataError(f"labels are {labels_B.dtype}, expected integers")
        if len(labels_B):
            lowest, highest = (int(value) for value in labels_B.aminmax())
            if lowest < -1 or highest >= self.num_classes:
                raise DataError(
                    f"labels run from {lowest} to {highest}, expected 0 to {self.num_classes - 1}, or -1 for unlabelled"
                )

    def extra_repr(self) -> str:
        num_classes, embedding_size = self.weight.shape
        return f"num_classes={num_classes}, embedding_size={embedding_size}, implementation={self.implementation!r}"


def create_head(
    name: str,
    num_classes: int,
    embedding_size: int = 512,
    *,
    implementation: str = "auto",
    centre_initialisation: str | None = None,
    generator: torch.Generator | None = None,
    seed: int = 0,
    **settings: Any,
) -> Head:
    """A head with the margin registered as `name`; `settings` are the margin's own fields (`list_margins()` names the
    margins, a margin's `Config` its fields).

    implementation: "auto", or one of `softmax_terms`. centre_initialisation: "unit" or "normal", by default what the
    margin's authors use. generator: draws the centres. seed: a margin's own draws are a function of it and the step.
    Raises ConfigError for an unknown margin, setting or value.
    """
    own = ("implementation", "centre_initialisation", "generator", "seed")
    check_settings(name, settings, margin_class(name), also=own)
    margin = create_margin(name, **settings)
    margin.seed = seed
    return Head(margin, num_classes, embedding_size, implementation, centre_initialisation, generator)
