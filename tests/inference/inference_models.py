"""Tiny models for tests."""

import torch

from facemargin.backbones import create_backbone
from facemargin.inference import Model, ModelInfo

OPTIONS = {"input_size": 16, "width": 4}


def model_info(**changes) -> ModelInfo:
    values = {"backbone": "small_resnet", "options": OPTIONS, "embedding_size": 8, "input_size": 16, "loss": "funface"}
    return ModelInfo(**{**values, **changes})


def tiny_backbone():
    torch.manual_seed(0)
    backbone = create_backbone("small_resnet", 8, **OPTIONS).train()
    for _ in range(20):  # running statistics that fit its features
        backbone(torch.rand(32, 3, 16, 16) * 2 - 1)
    return backbone.eval()


def tiny_model(**changes) -> Model:
    return Model(tiny_backbone(), model_info(**changes))
