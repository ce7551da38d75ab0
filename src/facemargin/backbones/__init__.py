"""Backbones: aligned faces `images_BCHW` in [-1, 1] → unnormalised `features_BD`. Importing this package registers
them."""

from facemargin.backbones.base import Backbone
from facemargin.backbones.info import BackboneInfo, describe_backbone
from facemargin.backbones.ir import IR
from facemargin.backbones.iresnet import IResNet
from facemargin.backbones.mobilefacenet import MobileFaceNet
from facemargin.backbones.mobilenet import MobileNet
from facemargin.backbones.registry import (
    backbone_options,
    backbone_parameters,
    create_backbone,
    list_backbones,
    register_backbone,
)
from facemargin.backbones.small import SmallResNet

__all__ = [
    "IR",
    "Backbone",
    "BackboneInfo",
    "IResNet",
    "MobileFaceNet",
    "MobileNet",
    "SmallResNet",
    "backbone_options",
    "backbone_parameters",
    "create_backbone",
    "describe_backbone",
    "list_backbones",
    "register_backbone",
]
