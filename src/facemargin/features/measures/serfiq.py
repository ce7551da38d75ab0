"""SER-FIQ (Terhörst et al., CVPR 2020, arXiv 2003.09373): how much a face's embeddings agree if other parts of the
network are dropped each time.

Of m = 100 embeddings x_1 … x_m, each of length 1, computed with the dropout that the network was trained with,

    quality = 2·σ(−(2/m²)·Σ_{i<j} ‖x_i − x_j‖₂),

where the code of the authors has the mean over all pairs i < j in place of (2/m²)·Σ, which is m/(m − 1) times as much;
so has this. It is between 0.23 and 1. Shapes: N images, M passes, D embedding size.
"""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embed
from facemargin.features.measures.measure import Measure, register_measure
from facemargin.features.measures.networks import backbone_inputs, evaluating, torch_backbone
from facemargin.features.measures.repeated import DROPOUTS, RepeatedNetwork
from facemargin.models.device import full_float32
from facemargin.models.model import Model

logger = logging.getLogger(__name__)


@register_measure("serfiq", description="SER-FIQ: how well embeddings agree under dropout, where the network has it")
def serfiq(model: Model, passes: int = 100, seed: int = 0, dropout: float | None = None) -> Measure:
    """SER-FIQ of this module's equation, of one view.

    What the network computes before its first dropout is computed once for each image, the rest `passes` times. What a
    pass drops depends on (seed, pass) and is the same for every image, so that a quality depends on the image and the
    seed only, not on batches or order. `dropout` is the probability in place of the network's own, for one whose file
    does not have it (the module is there with a probability of 0). That it replaces another one is logged as a warning.

    Raises ConfigError for a network without dropout, which cannot be measured in this way.
    """
    if passes < 2:
        raise ConfigError(f"passes is {passes}, expected at least 2: SER-FIQ compares embeddings with each other")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected a whole number from 0 on")
    if dropout is not None and not 0 < dropout < 1:
        raise ConfigError(f"dropout is {dropout}, expected a number between 0 and 1")
    backbone = torch_backbone(model, "serfiq")
    rates = [module.p for module in backbone.modules() if isinstance(module, DROPOUTS)]
    if not rates:
        raise ConfigError(
            f"serfiq needs a network with dropout, and {model.info.backbone} has no module for it: choose another "
            "measure, such as norm or grafiqs"
        )
    if dropout is None and not any(0 < rate < 1 for rate in rates):
        raise ConfigError(
            f"serfiq needs a network with dropout, and the probability of every dropout of {model.info.backbone} is "
            f"{max(rates):g}: if it was trained with another one, such as 0.4, give it (serfiq:dropout=0.4); otherwise "
            "choose another measure, such as norm or grafiqs"
        )
    if dropout is not None and set(rates) != {dropout}:
        own = " and ".join(f"{rate:g}" for rate in sorted(set(rates)))
        logger.warning(
            "serfiq takes the given dropout of %g in place of that of %s, which is %s: its qualities hold only if the "
            "network was trained with %g",
            dropout, model.info.backbone, own, dropout,
        )  # fmt: skip
    with evaluating(backbone), full_float32(model.device):
        network = RepeatedNetwork(backbone, passes, seed, dropout)

    def measure(images: ImageSource, _: Embed) -> NDArray[np.float32]:
        quality_N = np.empty(len(images), np.float32)
        with evaluating(backbone):
            for batch, images_BCHW in backbone_inputs(model, images, model.batch_size):
                with torch.no_grad(), full_float32(model.device):
                    robust = [stochastic_robustness(features_MD) for features_MD in network.features(images_BCHW)]
                    quality_N[batch.start : batch.stop] = torch.stack(robust).cpu().numpy()
        return quality_N

    return measure


def stochastic_robustness(features_MD: Tensor) -> Tensor:
    """The equation of this module for the features of M passes, of any length; a scalar in float64."""
    units_MD = F.normalize(features_MD.double(), dim=1)
    return 2 * torch.sigmoid(-torch.pdist(units_MD).mean())
