"""The facts about a project's released checkpoints: how to recognise them, and the input of their networks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from facemargin.data.images.normalization import PerChannel
from facemargin.registry import NameOf, Registry

ColorOrder = Literal["RGB", "BGR"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """layouts: names in `layouts.LAYOUTS`. prefixes: the prefixes of its keys. containers: the entries of a checkpoint
    that contain its state dict, "" for a bare one.

    color_order, mean, std: the network reads (pixel − mean)/std of 0…255 pixels; three numbers are in the order of
    color_order. options: of `create_backbone`. loss:
    the margin that its networks are trained with. quality_keys: keys of a layer that predicts quality beside the
    network's, and what they are called in `CertaintyRatioLayer`. doubt: a warning about other projects with equal
    files, if it was recognised automatically. declared_order: reads the colour order from a file next to the weights,
    and returns a note. licence: of the released weights; non_commercial: whether that forbids commercial use.
    """

    name: str
    title: str
    layouts: tuple[str, ...]
    prefixes: tuple[str, ...]
    containers: tuple[str, ...]
    loss: str
    licence: str
    non_commercial: bool
    color_order: ColorOrder = "RGB"
    mean: PerChannel = 127.5
    std: PerChannel = 127.5
    options: Mapping[str, Any] = field(default_factory=dict)
    quality_keys: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""
    declared_order: Callable[[Path], tuple[ColorOrder, str]] | None = None


FAMILIES: Registry[Family] = Registry("family", "facemargin.interop.families", plural="families")

FamilyName = Annotated[str, NameOf(FAMILIES)]


def register_family(family: Family) -> None:
    """Register a family under its name: for `load(…, family=…)` and --family, and so that its files are recognised."""
    reads = family.color_order if family.declared_order is None else "what a file beside it says"
    FAMILIES.register(family.name, description=f"{family.title}, reads {reads}; {family.licence}")(family)
