"""What a margin is: a function of a few numbers per sample that moves the target class's logit.

Shapes: B samples, D feature values, C classes.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError
from facemargin.registry import Registry, unknown_name


class SoftmaxTerms(NamedTuple):
    """The three numbers per sample that a head takes from the B×C product, and a fourth where it is asked for.

    `target_cosine_B`: cosine to the sample's own centre. `negative_lse_B`: log Σ_{j≠y} exp(scale·c_j), −inf without
    negatives. `hardest_negative_B`: the largest raw cosine to another centre, without gradient, −inf without negatives.
    `hardest_class_B`: int64, the class of that centre, the lowest of several as near; −1 without negatives or where a
    cosine is NaN. None unless it is asked for.
    """

    target_cosine_B: Tensor
    negative_lse_B: Tensor
    hardest_negative_B: Tensor
    hardest_class_B: Tensor | None = None


class BinaryTerms(SoftmaxTerms):
    """The terms of a margin of binary classification: as `SoftmaxTerms`, but that the second is Σ_{j≠y} log(1 +
    exp(scale·g(c_j) + offset)), see `BinaryNegatives`, 0 without negatives."""

    @property
    def negative_sum(self) -> Tensor:
        return self.negative_lse_B


class BinaryNegatives(NamedTuple):
    """The decisions "is the sample of class j?" for the classes that it is not of: their logits are scale·g(c_j) +
    offset, with g(c) = 2·((c + 1)/2)^exponent − 1, which is c for an exponent of 1. Gradients flow into the offset.
    `straight_through`: g has the value that it has, but the gradient of c."""

    offset_B: Tensor
    exponent: float = 1.0
    straight_through: bool = False

    def adjusted(self, cosine: Tensor) -> Tensor:
        """g of cosines of any shape."""
        if self.exponent == 1:
            return cosine
        adjusted = 2 * ((cosine + 1) / 2).clamp_min(0).pow(self.exponent) - 1
        return cosine + (adjusted - cosine).detach() if self.straight_through else adjusted

    def slope(self, cosine: Tensor) -> Tensor:
        """dg/dc, as autograd has it for `adjusted`."""
        if self.exponent == 1 or self.straight_through:
            return torch.ones_like(cosine)
        return self.exponent * ((cosine + 1) / 2).clamp_min(0).pow(self.exponent - 1)


class HardNegatives(NamedTuple):
    """Replaces a negative cosine c by αc² + βc + γ where c > `threshold_B`. No gradient flows into any of the four."""

    threshold_B: Tensor
    alpha: float | Tensor
    beta: float | Tensor
    gamma: float | Tensor


@dataclass(frozen=True, kw_only=True)
class MarginConfig:
    """Settings that every margin has; a margin's own dataclass adds its constants."""

    interclass_filtering_threshold: float | None = None
    """Negative cosines above this threshold count as 0 and pass no gradient (InsightFace's interclass filtering). A
    sample so close to another class's centre is assumed to be wrongly labelled. Without a threshold, nothing is
    filtered."""

    within_pi: ClassVar[tuple[str, ...]] = ()
    """The fields that are added to an angle, in radians, or subtracted from a cosine: beyond ±π they mean nothing."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and math.isnan(value):
                raise ConfigError(f"{name} is {value} (not a number), expected a finite number or infinity")
        for name in self.within_pi:
            value = getattr(self, name)
            if not -math.pi < value < math.pi:
                raise ConfigError(
                    f"{name} is {value:g}, expected a number between −π and π: a margin is part of a cosine, or an "
                    f"angle in radians, of which {value:g} degrees are {math.radians(value):.3g}"
                )
        threshold = self.interclass_filtering_threshold
        if threshold is not None and not 0 < threshold < 1:
            raise ConfigError(f"interclass_filtering_threshold is {threshold}, expected a cosine between 0 and 1")


class Margin(nn.Module):
    """Base of all margins. A head calls, in this order: `scale`, `observe_targets` (training only), `negatives`,
    `observe` (training only), `target_logit`, `losses`, `margin_scaler`, `extra_losses`. The head passes labelled
    samples only, those of the global batch.
    """

    Config: ClassVar[type[MarginConfig]] = MarginConfig
    #: how the authors' code initialises the class centres, "unit" or "normal"; see heads/initialization.py
    center_initialization: ClassVar[str] = "normal"
    #: whether `extra_losses` needs the centres of the samples' own classes
    needs_centers: ClassVar[bool] = False
    #: whether `target_logit` and `extra_losses` take the labels on the CPU instead of where the cosines are: what
    #: depends on their values, such as how many classes there are, then waits for no device
    takes_labels_on_host: ClassVar[bool] = False
    #: K, into how many parts of equal size features and centres are split: the K parts of a centre have equal norms
    center_blocks: int = 1
    #: whether each class is a decision of its own, with `binary_negatives` instead of a softmax
    binary: ClassVar[bool] = False
    #: random draws are a function of (seed, step); the head sets it
    seed: int = 0

    def __init__(self, config: MarginConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def uses_target_cosines(self) -> bool:
        """Whether `observe_targets` or `negatives` reads the target cosines. They must then be computed before the
        product with all centres, which costs an exchange between processes. Other margins are given NaN instead."""
        cls = type(self)
        return cls.observe_targets is not Margin.observe_targets or cls.negatives is not Margin.negatives

    def scale(self, norm_B: Tensor) -> Tensor:
        """The factor on each sample's cosines, (B,), never negative."""
        raise NotImplementedError

    def observe_targets(self, target_cosine_B: Tensor) -> None:
        """Update the running values that `negatives` depends on with this batch. The cosines carry no gradient."""

    def negatives(self, target_cosine_B: Tensor) -> HardNegatives | None:
        """How negatives above a per-sample threshold are re-weighted; None leaves them alone."""
        threshold = self.config.interclass_filtering_threshold
        if threshold is None:
            return None
        return HardNegatives(torch.full_like(target_cosine_B, threshold), alpha=0.0, beta=0.0, gamma=0.0)

    def prepare(self, classes: float) -> None:
        """Set what starts from the number of classes of a step. Called once, by the head that is made."""

    def binary_negatives(self, norm_B: Tensor) -> "BinaryNegatives":
        """How negatives count, for a margin that is `binary`: its terms are then `BinaryTerms`."""
        raise NotImplementedError

    def losses(self, terms: SoftmaxTerms, target_logit_B: Tensor) -> Tensor:
        """Every sample's loss, (B,): cross-entropy, log(exp(target) + Σ exp(negatives)) − target."""
        # Not torch's softplus, which is linear above 20.
        return torch.logaddexp(torch.zeros_like(target_logit_B), terms.negative_lse_B - target_logit_B)

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        """Update the running statistics with this batch. Called before `target_logit`, in training mode only."""

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        """The target class's logit after the margin, scale included, (B,)."""
        raise NotImplementedError

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """The number that adapts the margin to each sample, (B,): AdaFace's and FunFace's q in [-1, 1], MagFace's m(a),
        ElasticFace's draw, LH2Face's m/κ; 1 for a constant margin."""
        return torch.ones_like(terms.target_cosine_B)

    def extra_losses(
        self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor, centers_BD: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Named scalar terms, already weighted, that are added to the softmax loss. `centers_BD` are the centres of the
        samples' own classes, of unit length and with gradient; they are given if `needs_centers` is true."""
        return {}

    def extra_repr(self) -> str:
        return ", ".join(f"{field.name}={getattr(self.config, field.name)}" for field in fields(self.config))


@dataclass(frozen=True, kw_only=True)
class ConstantScaleConfig(MarginConfig):
    """Settings of the margins that use one scale for all samples."""

    scale: float = 64.0
    """s, the factor on every cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale > 0:
            raise ConfigError(f"scale is {self.scale}, expected a positive number")


class ConstantScaleMargin(Margin):
    """Base of the margins with one scale s for every sample: all margins except those whose scale is the feature
    norm."""

    Config = ConstantScaleConfig
    config: ConstantScaleConfig

    def scale(self, norm_B: Tensor) -> Tensor:
        return torch.full_like(norm_B, self.config.scale, requires_grad=False)


def refuse_interclass_filtering(name: str, config: MarginConfig) -> None:
    """Raise ConfigError if interclass filtering is set for the margin `name`, which re-weights hard negatives
    itself."""
    if config.interclass_filtering_threshold is not None:
        raise ConfigError(
            f"interclass_filtering_threshold is {config.interclass_filtering_threshold}, but {name} re-weights "
            "hard negatives itself. Remove this setting, or choose another margin"
        )


def refuse_filtering_of_binary(name: str, config: MarginConfig) -> None:
    """Raise ConfigError if interclass filtering is set for the margin `name`, which has no softmax."""
    if config.interclass_filtering_threshold is not None:
        raise ConfigError(
            f"interclass_filtering_threshold is {config.interclass_filtering_threshold}, but {name} decides on every "
            "class by itself and has no softmax to filter. Remove this setting, or choose another margin"
        )


_MARGINS: Registry[type[Margin]] = Registry("margin", "facemargin.margins")


def register_margin(*names: str) -> Callable[[type[Margin]], type[Margin]]:
    """Class decorator that registers a Margin under `names` for `create_margin`, `create_head` and recipes."""
    return _MARGINS.register(*names)


def list_margins(pattern: str = "*") -> list[str]:
    """Names that `create_head` and a recipe's `head.name` accept, sorted; `pattern` is shell-style.

    Examples:
        >>> import facemargin as fm
        >>> fm.list_margins("*face")[:3]
        ['adaface', 'arcface', 'cosface']
    """
    return _MARGINS.names(pattern)


def margin_class(name: str) -> type[Margin]:
    """The class registered under `name`. Raises ConfigError, which suggests the nearest name, if there is none."""
    return _MARGINS[name]


def margin_name(config: MarginConfig) -> str:
    """The name of the margin whose configuration it is. Raises ConfigError where several share it."""
    names = [name for name in list_margins() if margin_class(name).Config is type(config)]
    if len(names) != 1:
        whose = "no margin" if not names else " and ".join(names)
        raise ConfigError(f"{type(config).__name__} is the configuration of {whose}: name the margin instead")
    return names[0]


def reweights_negatives(margin: Margin) -> bool:
    """Whether the margin changes cosines to other classes' centers, so that its log-sum-exp is its own."""
    return type(margin).negatives is not Margin.negatives or margin.config.interclass_filtering_threshold is not None


def create_margin(name: str, **settings: Any) -> Margin:
    """Build the margin registered as `name` from its settings.

    Raises ConfigError for an unknown margin or setting (naming the nearest) and for values out of range.
    """
    cls = margin_class(name)
    check_settings(name, settings, cls)
    return cls(cls.Config(**settings))


def check_settings(name: str, settings: Mapping[str, Any], cls: type[Margin], also: tuple[str, ...] = ()) -> None:
    """Raise ConfigError for a setting that is neither a field of the margin nor in `also` (the message suggests the
    nearest name), and for a value of the wrong type."""
    known = [field.name for field in fields(cls.Config)] + list(also)
    for key in settings:
        if key not in known:
            raise ConfigError(unknown_name(f"setting of {name}", key, known))
    hints = get_type_hints(cls.Config)
    for key, value in settings.items():
        if key in hints and not _fits(value, hints[key]):
            raise ConfigError(f"{name}: {key} is {value!r} ({type(value).__name__}), expected {_words(hints[key])}")


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, member) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in (float, int):
        return isinstance(value, Real if hint is float else Integral) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _words(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_words(member) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return {float: "a number", int: "a whole number", bool: "True or False", type(None): "None"}.get(hint, str(hint))
