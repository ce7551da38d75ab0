import numpy as np
import pytest
import torch

from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.models.model import Model
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_a_model_is_itself_again(model):
    ours = fingerprint(model)
    assert len(ours) == 8 and ours == fingerprint(tiny_model())
    assert is_same_model(ours, ours)
    moved = [value * 1.0005 + 1e-5 * np.linalg.norm(ours) for value in ours]  # as bf16 moves it
    assert is_same_model(ours, moved)


def test_what_answers_otherwise_is_another_model(model):
    ours = fingerprint(model)
    recognizer = tiny_recognizer()
    with torch.no_grad():
        for parameter in recognizer.parameters():
            parameter.add_(0.05 * parameter.std() * torch.randn_like(parameter) if parameter.numel() > 1 else 0)
    others = {
        "weights": Model(recognizer, model_info()),
        "colour order": tiny_model(color_order="BGR"),
        "normalisation": tiny_model(mean=0.0, std=255.0),
    }
    for what, other in others.items():
        assert not is_same_model(ours, fingerprint(other)), what
    assert not is_same_model(ours, fingerprint(model, "one"))
    assert not is_same_model(ours, [2 * value for value in ours])
    assert not is_same_model(ours, ours[:-1])
    assert not is_same_model(ours, [0.0] * 8)
