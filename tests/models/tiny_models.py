"""Tiny models for tests."""

import torch

from facemargin.models.info import ModelInfo
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer, create_recognizer

OPTIONS = {"input_size": 16, "width": 4}


def model_info(**changes) -> ModelInfo:
    values = {"backbone": "small_resnet", "options": OPTIONS, "embedding_size": 8, "input_size": 16, "loss": "funface"}
    return ModelInfo(**{**values, **changes})


def tiny_recognizer(quality="norm", seed=0) -> Recognizer:
    torch.manual_seed(seed)
    recognizer = create_recognizer(model_info(quality=quality)).train()
    for _ in range(20):  # running statistics that fit its features
        recognizer(torch.rand(32, 3, 16, 16) * 2 - 1)
    return recognizer.eval()


def tiny_model(**changes) -> Model:
    return Model(tiny_recognizer(changes.get("quality", "norm")), model_info(**changes))
