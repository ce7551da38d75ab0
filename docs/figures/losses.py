"""Draws the figures of docs/losses.md from the library's own margins: python docs/figures/losses.py [FOLDER]

Shapes: B points of a curve or of a map; N norms (rows of a map), K angles or certainty ratios (its columns).
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from facemargin.heads import softmax_terms
from facemargin.margins import Margin, SoftmaxTerms, create_margin
from facemargin.margins.curricularface import CurricularFace, CurricularFaceConfig
from facemargin.report.style import INK, MUTED, STYLE, line_styles
from facemargin.report.svg import figure_svg

# Assumed for the figures: three standard deviations around the mean are norms of 0 to 100, near MagFace's 10 to 110,
# and certainty ratios of 0 to 4.
NORM_STATISTICS = {"initial_norm_mean": 50.0, "initial_norm_std": 50 / 3}
RATIO_STATISTICS = {"initial_ratio_mean": 2.0, "initial_ratio_std": 2 / 3}
NORM_TICKS, NORM_LABELS = [10, 50, 100], ["10", "50\nμ", "100\nμ+3σ"]
# AdaFace's figure of the gradient scale has another class there, and s = 64.
OTHER_COSINE = 0.5

WIDTH = 6.4
HEAT = LinearSegmentedColormap.from_list("heat", ["#ffffff", "#9fcbe6", "#0072b2", "#00263b"])
# One colour and dash a loss in all figures, in an order that gives different colours to losses drawn together.
STYLES = line_styles([
    "arcface", "cosface", "normface", "combined", "sphereface", "crfiqa", "mv_am", "magface", "curricularface",
    "lh2face", "adaface", "funface", "elasticface_arc", "mv_arc",
])  # fmt: skip


def terms_of(margin: Margin, target_cosine_B: Tensor, other_cosine_B: Tensor, norm_B: Tensor) -> SoftmaxTerms:
    """The head's three numbers for two classes at the given cosines: with the axes of the plane as centres, a
    sample's coordinates are its cosines."""
    x_B2 = torch.stack([target_cosine_B, other_cosine_B], 1)
    hard_negatives = margin.negatives(target_cosine_B.detach())
    y_B = torch.zeros(len(x_B2), dtype=torch.int64)
    return softmax_terms(x_B2, torch.eye(2, dtype=x_B2.dtype), y_B, margin.scale(norm_B), hard_negatives)


def target_cosine_after(margin: Margin, cosine_B: Tensor, norm_B: Tensor, other_cosine_B: Tensor) -> Tensor:
    """The target logit over the scale, (B,)."""
    terms = terms_of(margin, cosine_B, other_cosine_B, norm_B)
    labels_B = torch.zeros(len(cosine_B), dtype=torch.int64)
    return margin.target_logit(terms, norm_B, labels_B) / margin.scale(norm_B)


def penalty(margin: Margin, cosine_B: Tensor, norm_B: Tensor, other_cosine_B: Tensor) -> Tensor:
    """How much cosine the margin takes away, c_y − logit/s, (B,)."""
    return cosine_B - target_cosine_after(margin, cosine_B, norm_B, other_cosine_B)


def gradient_scale(margin: Margin, cosine_B: Tensor, norm_B: Tensor) -> tuple[Tensor, Tensor]:
    """|∂loss/∂c_y|/s and the probability of the own class, (B,) each, with another class at OTHER_COSINE."""
    cosine_B = cosine_B.clone().requires_grad_()
    terms = terms_of(margin, cosine_B, torch.full_like(cosine_B, OTHER_COSINE), norm_B)
    logit_B = margin.target_logit(terms, norm_B, torch.zeros(len(cosine_B), dtype=torch.int64))
    losses_B = torch.logaddexp(torch.zeros_like(logit_B), terms.negative_lse_B - logit_B)
    (gradient_B,) = torch.autograd.grad(losses_B.sum(), cosine_B)
    return gradient_B.abs() / margin.scale(norm_B), (-losses_B).exp().detach()


def curricularface_at(t: float) -> Margin:
    margin = CurricularFace(CurricularFaceConfig())
    margin.t.fill_(t)
    return margin


def cosines(degrees_B: Tensor) -> Tensor:
    return torch.deg2rad(degrees_B).cos()


def line(start: float, stop: float, points: int) -> Tensor:
    return torch.linspace(start, stop, points, dtype=torch.float64)


@mpl.rc_context(STYLE)
def angle_figure() -> Figure:
    """The target cosine with its margin against the angle: constant margins, and how each goes on where θ + m > π."""
    figure = Figure(figsize=(WIDTH, 3.9))
    left, right = figure.subplots(1, 2)
    constant = {
        "normface": ("normface", create_margin("normface")),
        "cosface": ("cosface, m .35", create_margin("cosface")),
        "arcface": ("arcface, m .5", create_margin("arcface")),
        "combined": ("combined 1, .3, .2", create_margin("combined", m1=1.0, m2=0.3, m3=0.2)),
        "sphereface": ("sphereface, m 4, λ 5", create_margin("sphereface", lambda_start=5.0)),
    }
    continued = {
        "arcface": ("arcface: clipped at π", create_margin("arcface")),
        "crfiqa": ("crfiqa, elasticface_arc: rises", create_margin("crfiqa")),
        "curricularface": ("curricularface: c − m·sin m", create_margin("curricularface")),
        "mv_arc": ("mv_arc, magface: no margin", create_margin("mv_arc", margin=0.5)),
    }
    degrees_B = line(0, 180, 181)
    low_B, high_B = (_against_angle(create_margin("elasticface_arc", margin=m).eval(), degrees_B) for m in (0.6, 0.4))
    left.fill_between(
        degrees_B, low_B, high_B, color=STYLES["elasticface_arc"].color, alpha=0.18, lw=0, label="elasticface_arc, ±2σ"
    )
    for axes, margins in ((left, constant), (right, continued)):
        for name, (label, margin) in margins.items():
            _plot(axes, name, degrees_B, _without_jumps(_against_angle(margin, degrees_B)), label)
        _legend_above(axes)
    left.set(xlim=(0, 180), ylim=(-2.1, 1.05), xticks=range(0, 181, 30), ylabel="target logit / s")
    right.set(xlim=(60, 180), ylim=(-1.35, 0.25), xticks=range(60, 181, 30))
    for axes in (left, right):
        axes.set_xlabel("target angle θ in degrees")
    return figure


def _against_angle(margin: Margin, degrees_B: Tensor) -> Tensor:
    ones_B = torch.ones_like(degrees_B)
    return target_cosine_after(margin, cosines(degrees_B), ones_B, 0 * ones_B)


@mpl.rc_context(STYLE)
def quality_figure() -> Figure:
    """The penalty against the norm for an easy and a hard sample, and FunFace's against norm and certainty ratio."""
    figure = Figure(figsize=(WIDTH, 6.0))
    (easy, hard), maps = figure.subplots(2, 2)
    margins = {
        "adaface": create_margin("adaface", **NORM_STATISTICS),
        "funface": create_margin("funface", **NORM_STATISTICS, **RATIO_STATISTICS),
        "magface": create_margin("magface"),
        "lh2face": create_margin("lh2face", initial_norm_mean=NORM_STATISTICS["initial_norm_mean"]),
        "arcface": create_margin("arcface"),
    }
    norm_B = line(2, 118, 117)
    for axes, degrees in ((easy, 30), (hard, 75)):
        cosine_B = cosines(torch.full_like(norm_B, degrees))
        for name, margin in margins.items():
            mean_ratio = RATIO_STATISTICS["initial_ratio_mean"]
            _plot(axes, name, norm_B, penalty(margin, cosine_B, norm_B, cosine_B / mean_ratio), name)
        axes.set(xlim=(2, 118), ylim=(0, 1.02), title=f"target angle {degrees}°")
        _norm_ticks(axes)
    easy.set_ylabel("cosine taken away")
    figure.legend(*easy.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    for axes, mixing in zip(maps, (0.1, 0.5), strict=True):
        funface = create_margin("funface", mixing_factor=mixing, **NORM_STATISTICS, **RATIO_STATISTICS)
        _ratio_map(axes, funface)
        axes.set_title(f"funface at 30°, λ = {mixing}" + (" (default)" if mixing == 0.1 else ""))
    return figure


def _ratio_map(axes: Axes, funface: Margin) -> None:
    """The penalty at 30 degrees over norm and certainty ratio, which the other class's cosine, 1 at most, decides."""
    norm_N, ratio_K = line(2, 118, 60), line(0.9, 4.5, 38)
    norm_B, ratio_B = (grid.flatten() for grid in torch.meshgrid(norm_N, ratio_K, indexing="ij"))
    cosine_B = cosines(torch.full_like(norm_B, 30))
    penalty_NK = penalty(funface, cosine_B, norm_B, cosine_B / ratio_B).view(len(norm_N), len(ratio_K))
    levels = np.arange(0.2, 0.75, 0.05)
    axes.contourf(norm_N, ratio_K, penalty_NK.T, levels, cmap=HEAT)
    labeled = axes.contour(norm_N, ratio_K, penalty_NK.T, levels[1::2], colors=INK, linewidths=0.7)
    for text in axes.clabel(labeled, fmt=lambda level: f"{level:.2f}".lstrip("0"), fontsize=9):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    axes.set(ylabel="certainty ratio", yticks=[1, 2, 4], yticklabels=["1", "2 = μ", "μ+3σ"])
    axes.grid(visible=False)
    _norm_ticks(axes)


@mpl.rc_context(STYLE)
def gradient_figure() -> Figure:
    """|∂loss/∂c_y|/s over angle and norm, two classes, the other one 60 degrees away."""
    figure = Figure(figsize=(WIDTH, 4.9))
    panels = {
        "arcface": create_margin("arcface"),
        "cosface": create_margin("cosface"),
        "curricularface, t .6": curricularface_at(0.6),
        "magface": create_margin("magface"),
        "adaface": create_margin("adaface", **NORM_STATISTICS),
        "funface": create_margin("funface", **NORM_STATISTICS, **RATIO_STATISTICS),
    }
    degrees_K, norm_N = line(0, 120, 121), line(2, 118, 30)
    norm_B, degrees_B = (grid.flatten() for grid in torch.meshgrid(norm_N, degrees_K, indexing="ij"))
    levels = [0.0, *np.arange(0.1, 2.2, 0.2)]
    subplots = figure.subplots(2, 3, sharex=True, sharey=True)
    for axes, (name, margin) in zip(subplots.flat, panels.items(), strict=True):
        scale_B, probability_B = gradient_scale(margin, cosines(degrees_B), norm_B)
        scale_NK, probability_NK = (values.view(len(norm_N), len(degrees_K)) for values in (scale_B, probability_B))
        filled = axes.contourf(degrees_K, norm_N, scale_NK, levels, cmap=HEAT, extend="max")
        axes.contour(degrees_K, norm_N, probability_NK, [0.5], colors="#d55e00", linewidths=1.6, linestyles="--")
        axes.set(title=name, xticks=range(0, 121, 30), xlim=(0, 120))
        axes.grid(visible=False)
    for axes in subplots[:, 0]:
        axes.set(ylabel="feature norm a", yticks=NORM_TICKS, yticklabels=NORM_LABELS)
    figure.supxlabel("target angle θ in degrees", fontsize=STYLE["font.size"], color=INK)
    bar = figure.colorbar(filled, ax=subplots, ticks=[0, 0.5, 1, 1.5, 2], shrink=0.8, aspect=30)
    bar.set_label("|∂loss/∂cos θ| / s")
    return figure


@mpl.rc_context(STYLE)
def negatives_figure() -> Figure:
    """Negative cosines in and out: CurricularFace, and MV-Softmax beside interclass filtering."""
    figure = Figure(figsize=(WIDTH, 3.9))
    left, right = figure.subplots(1, 2, sharey=True)
    curricular = {f"curricularface, t {t}": curricularface_at(t) for t in (0.0, 0.3, 0.6)}
    others = {
        "mv_am, t 1.2": create_margin("mv_am"),
        "mv_arc, t 1.2": create_margin("mv_arc"),
        "filtered above .4": create_margin("arcface", interclass_filtering_threshold=0.4),
    }
    in_B = line(-0.2, 1.0, 241)
    for axes, margins in ((left, curricular), (right, others)):
        axes.plot(in_B, in_B, color=MUTED, linewidth=0.9, label="unchanged")
        for name, style in line_styles(margins).items():
            out_B = _without_jumps(_negative_after(margins[name], in_B))
            axes.plot(in_B, out_B, color=style.color, linestyle=style.linestyle, label=name)
        axes.set(xlim=(-0.2, 1), ylim=(-0.2, 1.62), xlabel="cosine to another class's centre")
        _legend_above(axes)
    left.set_ylabel("negative logit / s")
    return figure


def _negative_after(margin: Margin, in_B: Tensor) -> Tensor:
    """The negative cosine that the softmax sees where the target cosine is .6: with one negative, its log-sum-exp over
    the scale."""
    ones_B = torch.ones_like(in_B)
    terms = terms_of(margin, 0.6 * ones_B, in_B, ones_B)
    return terms.negative_lse_B / margin.scale(ones_B)


def _plot(axes: Axes, name: str, x_B: Tensor, y_B: Tensor, label: str) -> None:
    axes.plot(x_B, y_B, color=STYLES[name].color, linestyle=STYLES[name].linestyle, label=label)


def _without_jumps(y_B: Tensor) -> Tensor:
    """NaN before a jump, so that no line is drawn across it."""
    jump_B = (y_B.diff().abs() > 0.03).nonzero().squeeze(1)
    return y_B.index_fill(0, jump_B, torch.nan)


def _norm_ticks(axes: Axes) -> None:
    axes.set_xticks(NORM_TICKS, labels=NORM_LABELS)
    axes.set_xlabel("feature norm a")


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0, fontsize=8.5)


FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "losses_angle": (
        angle_figure,
        "Target logit against the target angle for margins that are the same for all samples",
    ),
    "losses_quality": (quality_figure, "Cosine taken away against feature norm and certainty ratio"),
    "losses_gradient": (gradient_figure, "Size of the gradient over target angle and feature norm for six losses"),
    "losses_negatives": (negatives_figure, "Negative cosines before and after re-weighting"),
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, (draw, label) in FIGURES.items():
        (folder / f"{name}.svg").write_text(f"{_short(figure_svg(draw(), name, label))}\n", encoding="utf-8")


def _short(svg: str) -> str:
    """The same picture in a smaller file: hundredths of a point in the curves, which come with six decimals."""
    return re.sub(r'\bd="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)


if __name__ == "__main__":
    main()
