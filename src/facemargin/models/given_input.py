"""What a caller says of the input of a network, where its file does not say it, or says it wrongly."""

from dataclasses import dataclass, replace

from facemargin.data.images.normalization import PerChannel, given_normalization
from facemargin.errors import ConfigError
from facemargin.interop.family import ColorOrder
from facemargin.interop.onnx_signature import Layout
from facemargin.models.info import ModelInfo


@dataclass(frozen=True, kw_only=True)
class GivenInput:
    """The network reads (pixel − mean)/std of pixels 0…255 in the order of colours `color_order`, as (B, 3, H, W) or
    (B, H, W, 3) by `layout`, which only ONNX files leave open. Three numbers are in the order of `color_order`. None:
    what is known of the file."""

    color_order: ColorOrder | None = None
    mean: PerChannel | None = None
    std: PerChannel | None = None
    layout: Layout | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError for values that no network has."""
        for name, known in (("color_order", ("RGB", "BGR")), ("layout", ("NCHW", "NHWC"))):
            if (value := getattr(self, name)) is not None and value not in known:
                raise ConfigError(f"{name} is {value!r}, expected {' or '.join(known)}")
        if (self.mean is None) != (self.std is None):
            given, other = ("mean", "std") if self.std is None else ("std", "mean")
            raise ConfigError(f"{given} is given without {other}: a network reads (pixel − mean)/std, so give both")
        if self.mean is None or self.std is None:
            return
        given_normalization(self.mean, self.std)

    def applied(self, info: ModelInfo) -> ModelInfo:
        """`info` with what is given in place of what is known."""
        if self.color_order is not None:
            info = replace(info, color_order=self.color_order)
        if self.mean is not None and self.std is not None:
            mean, std = given_normalization(self.mean, self.std)
            info = replace(info, mean=_as_float(mean), std=_as_float(std))
        return info


def _as_float(value: PerChannel) -> PerChannel:
    return value if isinstance(value, tuple) else float(value)
