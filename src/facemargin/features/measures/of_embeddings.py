"""Measures that the embeddings have already. Shapes: N images."""

from facemargin.errors import ConfigError
from facemargin.features.measures.measure import Measure, register_measure
from facemargin.models.model import Model


@register_measure("norm", description="the length of the network's feature, averaged over views")
def norm(_: Model) -> Measure:
    """The norms of the embeddings: how much of a face the network finds, for networks whose loss lets it grow with
    quality (MagFace's, AdaFace's), and for many others."""
    return lambda images, embed: embed(images).norms


@register_measure("crfiqa", description="the prediction of CR-FIQA's layer, where a model was trained with it")
def crfiqa(model: Model) -> Measure:
    """The certainty ratio that the model's own layer predicts (quality/crfiqa.py)."""
    if model.info.quality != "crfiqa":
        raise ConfigError(
            "this model has no layer that predicts quality: train with --quality.name crfiqa, or choose another measure"
        )
    return lambda images, embed: embed(images).quality


@register_measure("certainty-ratio", description="how much nearer an image is to its own class centre; of a run only")
def certainty_ratio(_: Model) -> Measure:
    """Raises ConfigError: a class centre is not part of a model."""
    raise ConfigError(
        "certainty-ratio needs the class centres of a run and people of its training set: use it with facemargin "
        "evaluate RUN --quality certainty-ratio, or choose another measure"
    )
