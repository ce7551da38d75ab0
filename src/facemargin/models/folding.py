"""Folds batch norms into the neighbouring convolutions and linear layers, which gives the same features with fewer
operations.

A batch norm in evaluation mode is y = s·x + t for each channel, s = γ/√(σ² + ε), t = β − s·μ. A linear map beside it
absorbs it exactly:

    linear, norm:   s·(W x + b) + t  =  (s·W) x + (s·b + t)
    norm, linear:   W (s·x + t) + b  =  (W·s) x + (W t + b)

The first equation holds for every convolution. The second only holds without padding, because padded zeros are not
shifted by t. The units of IR and IResNet begin with a norm before a padded convolution; this norm stays. (It could be
folded as well, with W t subtracted along the border, but that gave no measurable speed-up.)

Shapes: B images, C channels, I inputs and O outputs of a linear map, H × W pixels, D embedding size.
"""

import copy

import torch
from torch import Tensor, fx, nn

from facemargin.backbones import Backbone

_NOTHING_TO_DO = (nn.Dropout, nn.Dropout2d, nn.Identity)


class FoldedBackbone(Backbone):
    """The computation of `backbone` in evaluation mode, with folded batch norms and copies of its current weights.

    The convolutions compute in `convolution_type`, the last linear layer in the type of the backbone's weights, as
    under autocast. A backbone that torch.fx cannot trace is copied without folding.

    Attributes:
        map_type: of the convolutions.
        traced: whether this is torch's operations alone, with none of the backbone's own code.
    """

    def __init__(self, backbone: Backbone, convolution_type: torch.dtype | None = None) -> None:
        super().__init__(backbone.embedding_size, backbone.input_size, backbone.in_channels)
        weight = next(backbone.parameters())
        self._feature_type = weight.dtype
        self.map_type = convolution_type or weight.dtype
        self.convolutions = fold_batch_norms(_FeatureMap(backbone)).to(self.map_type)
        self.output = fold_batch_norms(_Embed(backbone))
        self.traced = isinstance(self.convolutions, fx.GraphModule) and isinstance(self.output, fx.GraphModule)
        self.to(weight.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW: Tensor = self.convolutions(images_BCHW.to(self.map_type))
        return map_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.output(map_BCHW.to(self._feature_type))
        return features_BD


class _Tracer(fx.Tracer):
    """Traces a network down to torch's modules and to every convolution, including that of `strided_pointwise`."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)


class _FeatureMap(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.backbone.feature_map(images_BCHW)


class _Embed(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return self.backbone.embed(map_BCHW)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """A copy of `network` on the CPU, in evaluation mode, without dropout and the batch norms that can be folded. A
    plain copy if torch.fx cannot trace it."""
    network = copy.deepcopy(network).cpu().eval()  # not every device supports float64
    try:
        traced = fx.GraphModule(network, _Tracer().trace(network))
    except Exception:  # a network that branches on values or sizes may raise any error with torch.fx's placeholders
        return network
    for is_taken_over in (_is_nothing, _by_the_map_before, _by_the_map_after):
        for node in list(traced.graph.nodes):
            if is_taken_over(traced, node):
                node.replace_all_uses_with(node.args[0])
                traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced


def _is_nothing(traced: fx.GraphModule, node: fx.Node) -> bool:
    return isinstance(_module(traced, node), _NOTHING_TO_DO)


def _by_the_map_before(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Try to fold the norm `node` into the linear map before it. Returns whether that was possible: `node` is a norm,
    and nothing else uses the output of the map."""
    scale_and_shift = _scale_and_shift(_module(traced, node))
    if scale_and_shift is None:
        return False
    source = node.all_input_nodes[0]
    linear = _linear_map(traced, source)
    if linear is None or len(source.users) > 1:
        return False
    scale_O, shift_O = scale_and_shift
    weight = linear.weight.double()
    _set(linear, weight * scale_O.reshape(-1, *[1] * (weight.ndim - 1)), scale_O * _bias(linear) + shift_O)
    return True


def _by_the_map_after(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Try to fold the norm `node` into the linear map after it. Returns whether that was possible: `node` is a norm,
    and the map has no padding and is the only user of the output."""
    scale_and_shift = _scale_and_shift(_module(traced, node))
    if scale_and_shift is None or len(node.users) > 1:
        return False
    (reader,) = node.users
    if _is_flatten(traced, reader) and len(reader.users) == 1:
        (reader,) = reader.users
    linear = _linear_map(traced, reader)
    if linear is None or (isinstance(linear, nn.Conv2d) and (linear.groups > 1 or linear.padding != (0, 0))):
        return False
    weight = linear.weight.double()
    # In a flattened map, the pixels of a channel are adjacent.
    pixels = weight.shape[1] // len(scale_and_shift[0])
    scale_I, shift_I = (value_C.repeat_interleave(pixels) for value_C in scale_and_shift)
    per_input = (1, -1, *[1] * (weight.ndim - 2))
    shifted = (weight * shift_I.reshape(per_input)).flatten(1).sum(1)
    _set(linear, weight * scale_I.reshape(per_input), shifted + _bias(linear))
    return True


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _linear_map(traced: fx.GraphModule, node: fx.Node) -> nn.Conv2d | nn.Linear | None:
    """The convolution or linear layer that `node`, and no other node, calls; otherwise None."""
    module = _module(traced, node)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return None
    return module if sum(other.target == node.target for other in traced.graph.nodes) == 1 else None


def _is_flatten(traced: fx.GraphModule, node: fx.Node) -> bool:
    module = _module(traced, node)
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    return node.target in (torch.flatten, "flatten") and node.args[1:] == (1,) and not node.kwargs


def _scale_and_shift(norm: nn.Module | None) -> tuple[Tensor, Tensor] | None:
    """s and t of this module's equations, (C,) in float64; None if it is not a batch norm with running statistics."""
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        return None
    scale_C = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale_C = scale_C * norm.weight.double()
    shift_C = -norm.running_mean.double() * scale_C
    if norm.bias is not None:
        shift_C = shift_C + norm.bias.double()
    return scale_C, shift_C


def _bias(linear: nn.Conv2d | nn.Linear) -> Tensor | float:
    return 0.0 if linear.bias is None else linear.bias.double()


def _set(linear: nn.Conv2d | nn.Linear, weight: Tensor, bias_O: Tensor) -> None:
    kind = linear.weight.dtype
    linear.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    linear.bias = nn.Parameter(bias_O.to(kind), requires_grad=False)
