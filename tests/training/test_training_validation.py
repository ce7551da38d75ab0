"""What a run measures of itself while it trains."""

import pytest

from facemargin.models import model as models
from facemargin.models.model import Model
from facemargin.training.validation import model_so_far
from tests.training.training_objects import tiny_state


@pytest.fixture
def device_of_bf16(monkeypatch):
    """A device that embeds in bf16 unless it is told otherwise, as GPUs do."""
    monkeypatch.setattr(models, "precision_on", lambda device, asked: "bf16" if asked is None else asked)


def test_a_run_is_validated_in_float32_where_a_model_would_embed_in_bf16(device_of_bf16):
    so_far = model_so_far(tiny_state())
    assert so_far.precision == "float32"
    assert Model(so_far.recognizer, so_far.info).precision == "bf16"
