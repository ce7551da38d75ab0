"""The training part of a report: its curves and their captions."""

from collections.abc import Iterator

import numpy as np

from facemargin.files.columns import Columns
from facemargin.report.blocks import FigureBlock
from facemargin.report.content import Validation
from facemargin.report.thinning import FloatArray
from facemargin.report.training_figures import SMOOTH_FROM_ROWS, step_figure
from facemargin.report.wording import far_text

_PANELS = {
    "target_cosine": (
        "Cosine to the own centre",
        "Mean cosine between each training face and the centre of its own identity. It rises as faces move "
        "closer to their centre.",
    ),
    "feature_norm": (
        "Feature norm",
        "Mean length of the features before normalisation. Norm-based losses use it as image quality.",
    ),
    "margin_scaler": (
        "Margin scaler",
        "Mean of the number that adapts the margin to each face. The margin changes with it.",
    ),
    "certainty_ratio": (
        "Certainty ratio",
        "Mean certainty ratio: the cosine to the own centre divided by that to the nearest other centre. Above "
        "1, a face is closer to its own centre.",
    ),
}


def training_figures(metrics: Columns) -> list[FigureBlock]:
    """Figures of the loss (with its parts if there are several), the learning rate, and the other known columns that
    vary."""
    if not len(metrics.get("step", ())):
        return []
    return [*_loss(metrics), *_learning_rate(metrics), *_panels(metrics)]


def validation_figures(validation: Validation | None) -> list[FigureBlock]:
    """One figure per data set with the results of every validation."""
    if validation is None:
        return []
    blocks = []
    for number, dataset in enumerate(dict.fromkeys(validation.datasets), start=1):
        rows = np.array([name == dataset for name in validation.datasets])
        step_R = validation.columns["step"][rows]
        lines = {
            _metric_title(name): (step_R, values[rows])
            for name, values in validation.columns.items()
            if name not in ("step", "epoch") and np.isfinite(values[rows]).any()
        }
        if lines:
            blocks.append(
                FigureBlock(
                    f"validation-{number}",
                    f"Validation on {dataset}",
                    step_figure(lines, "value"),
                    f"Results on {dataset} during training, from {len(step_R):,} validations: accuracies and TARs "
                    "should rise, error rates should fall.",
                )
            )
    return blocks


def _metric_title(column: str) -> str:
    """ "tar_at_far_0.01" as "TAR at FAR 1%", others with spaces."""
    far = column.removeprefix("tar_at_far_")
    return column.replace("_", " ") if far == column else f"TAR at {far_text(float(far))}"


def _loss(metrics: Columns) -> Iterator[FigureBlock]:
    if not _has_values(metrics, "loss"):
        return
    names = list(metrics)
    first = names.index("loss") + 1
    # the trainer writes the parts of the loss between the loss and the learning rate
    parts = names[first : names.index("learning_rate")] if "learning_rate" in names[first:] else []
    lines = {name.replace("_", " "): (metrics["step"], metrics[name]) for name in ["loss", *parts]}
    average = " (pale) and its moving average" if len(metrics["step"]) >= SMOOTH_FROM_ROWS else ""
    explained = f" It is the sum of the parts drawn with it ({len(parts)})." if parts else ""
    yield FigureBlock(
        "training-loss",
        "Training loss",
        step_figure(lines, "loss", smooth=True),
        f"Training loss at {len(metrics['step']):,} logged steps{average}: it should fall and then level off."
        f"{explained}",
    )


def _learning_rate(metrics: Columns) -> Iterator[FigureBlock]:
    if _has_values(metrics, "learning_rate"):
        yield FigureBlock(
            "training-learning-rate",
            "Learning rate",
            step_figure({"learning rate": (metrics["step"], metrics["learning_rate"])}, "learning rate"),
            "The learning rate of each step by the schedule. It controls how much the optimizer changes the weights.",
        )


def _has_values(metrics: Columns, name: str) -> bool:
    return name in metrics and bool(np.isfinite(metrics[name]).any())


def _spans_decades(values: FloatArray) -> bool:
    """Whether these positive values differ so much that a linear axis would only show the largest, as can happen with
    the certainty ratio."""
    finite = values[np.isfinite(values)]
    return bool(finite.min() > 0 and finite.max() > 20 * finite.min())


def _panels(metrics: Columns) -> Iterator[FigureBlock]:
    for name, (title, caption) in _PANELS.items():
        values = metrics.get(name, np.empty(0))
        if len(np.unique(values[np.isfinite(values)])) > 1:
            lines = {title: (metrics["step"], values)}
            figure = step_figure(lines, title.lower(), smooth=True, log=_spans_decades(values))
            yield FigureBlock(f"training-{name.replace('_', '-')}", title, figure, caption)
