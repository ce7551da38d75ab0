"""Changes a network so that it reads RGB and (v − 127.5)/127.5, the input of facemargin's training, instead of its own
input convention.

With u = (v − mean)/std its own input and x ours, u = a·x + b, a = 127.5/std, b = (127.5 − mean)/std, in each channel.
Its first convolution W then becomes a·W, its colours in the other order if it read BGR, and the constant ΣbW that this
leaves out is taken off the running mean of the batch norm behind it. That is exact but at the outermost pixels, where
it is as if the picture went on in grey instead of in the value that its own zero stands for.
"""

import torch
from torch import nn

from facemargin.backbones import Backbone
from facemargin.data.images.normalization import PerChannel, channels

_MEAN = _STD = 127.5


@torch.no_grad()
def refit_input(backbone: Backbone, color_order: str, mean: PerChannel, std: PerChannel) -> None:
    """Change the first convolution of `backbone`, and the batch norm that follows it, in place."""
    convolution = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d))
    weight = convolution.weight
    if color_order == "BGR":
        weight.copy_(weight.flip(1))
    if isinstance(mean, tuple) or isinstance(std, tuple):
        assert norm.running_mean is not None
        means, stds = (weight.new_tensor(channels(value))[:, None, None] for value in (mean, std))
        if color_order == "BGR":  # their numbers are in the order of their channels
            means, stds = means.flip(0), stds.flip(0)
        norm.running_mean.sub_((weight * ((_MEAN - means) / stds)).sum((1, 2, 3)))
        weight.mul_(_STD / stds)
    elif (mean, std) != (_MEAN, _STD):
        assert norm.running_mean is not None
        norm.running_mean.sub_(weight.sum((1, 2, 3)) * ((_MEAN - mean) / std))
        weight.mul_(_STD / std)
