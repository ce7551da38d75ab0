"""CR-FIQA's layer in training: what it adds to a step, and that it learns."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.training_set import TrainingBatch
from facemargin.errors import NonFiniteLossError
from facemargin.models.load import load
from facemargin.quality.crfiqa import certainty_ratio_target, quality_loss
from facemargin.quality.degradation import DegradedImages
from facemargin.training.checkpoint import latest_checkpoint
from facemargin.training.step import training_step
from facemargin.training.trainer import train
from tests.training.run_process import rows
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights, without_batch_norm

CRFIQA = {"name": "crfiqa"}
LABELS = [0, 1, 2, 0, -1, 1, 2, 0]


def gradients(state):
    return {name: parameter.grad for name, parameter in state.recognizer.named_parameters()}


@pytest.mark.parametrize("target", ["paper", "code"])
def test_the_loss_joins_the_margins(target):
    settings = {"name": "crfiqa", "weight": 3.0, "beta": 0.2, "target": target}
    state = without_batch_norm(tiny_state(quality=settings))
    batch = random_batch(LABELS)
    with torch.no_grad():
        output = state.recognizer(normalize(batch.images_BCHW))
        head = state.head(output.features_BD, batch.labels_B)
    known = batch.labels_B >= 0
    cosines = head.target_cosine_B[known], head.hardest_negative_B[known]
    expected = quality_loss(output.quality_B[known], *cosines, definition=target, weight=3.0, beta=0.2)
    result = training_step(state, batch, 0.1)
    assert result.parts["quality"] == pytest.approx(expected.item(), rel=1e-5) and expected > 0.01
    assert result.loss == pytest.approx(head.loss.item() + expected.item(), rel=1e-5)


def test_its_gradient_reaches_the_backbone_and_not_the_centres():
    alone, joint = (without_batch_norm(tiny_state(quality={**CRFIQA, "weight": w})) for w in (0.0, 10.0))
    for state in (alone, joint):
        training_step(state, random_batch(LABELS), 0.0)
    torch.testing.assert_close(joint.head.weight.grad, alone.head.weight.grad)
    assert not alone.recognizer.quality.linear.weight.grad.any()
    assert joint.recognizer.quality.linear.weight.grad.any() and joint.recognizer.quality.linear.bias.grad.any()
    before, after = gradients(alone), gradients(joint)
    changed = [name for name in before if not torch.allclose(before[name], after[name], rtol=1e-3, atol=1e-7)]
    assert "backbone.stem.0.weight" in changed


def test_the_layer_is_averaged_with_the_rest():
    state = tiny_state(quality=CRFIQA, ema_decay=0.9)
    key = "quality.linear.weight"
    before = state.recognizer.state_dict()[key].clone()
    training_step(state, random_batch(LABELS), 0.1)
    decay = 2 / 11  # of the first update
    expected = decay * before + (1 - decay) * state.recognizer.state_dict()[key]
    torch.testing.assert_close(state.recognizer_state()[key], expected)
    assert not torch.equal(before, state.recognizer.state_dict()[key])


@pytest.mark.parametrize("rule", ["norms", "one_dimensional", "nothing"])
def test_weight_decay_spares_the_layers_bias_at_most(rule):
    state = tiny_state(quality=CRFIQA, optimizer={"weight_decay": 0.3, "no_decay": rule})
    decay = {id(p): group["weight_decay"] for group in state.optimizer.param_groups for p in group["params"]}
    linear = state.recognizer.quality.linear
    assert (decay[id(linear.weight)], decay[id(linear.bias)]) == (0.3, 0.0 if rule == "one_dimensional" else 0.3)


def test_without_the_layer_nothing_is_added():
    state = tiny_state()
    assert list(training_step(state, random_batch(LABELS), 0.1).parts) == ["softmax"]
    assert all(not key.startswith("recognizer.quality") for key in weights(state))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_follows_float32(precision):
    exact, rounded = (tiny_state(quality=CRFIQA, precision=name) for name in ("float32", precision))
    results = [training_step(state, random_batch(LABELS), 0.01) for state in (exact, rounded)]
    assert results[1].parts["quality"] == pytest.approx(results[0].parts["quality"], rel=0.1)


def test_a_prediction_that_is_not_finite_names_the_field():
    state = tiny_state(quality=CRFIQA)
    with torch.no_grad():
        state.recognizer.quality.linear.bias.fill_(float("nan"))
    message = r"step 1: the loss is nan, through the predicted quality.* first is quality.weight \(now 10.0\)"
    with pytest.raises(NonFiniteLossError, match=message):
        training_step(state, random_batch(LABELS), 0.1)


def test_a_run_logs_the_loss_and_saves_the_layer(tmp_path):
    recipe = tiny_recipe(
        quality=CRFIQA, data={"train": "orl:1-3", "workers": 0}, epochs=1, logging={"every_steps": 1},
        validation={"data": ["orl:31-32"]},
    )  # fmt: skip
    assert train(recipe, tmp_path, console=Console(file=io.StringIO()))
    logged = rows(tmp_path / "metrics.csv")
    assert list(logged[0])[2:6] == ["loss", "softmax", "quality", "learning_rate"]
    loss, softmax, quality = (float(logged[0][column]) for column in ("loss", "softmax", "quality"))
    assert softmax + quality == pytest.approx(loss, rel=1e-6)
    saved = latest_checkpoint(tmp_path / "checkpoints")[1]["recogniser"]
    model = load(tmp_path)
    assert model.info.quality == "crfiqa"
    for key, value in model.recognizer.state_dict().items():
        torch.testing.assert_close(value, saved[key], rtol=0, atol=0)


def faces_half_of_them_degraded(people, size):
    faces = EmbeddedFaces(range(1, people + 1))
    poor = DegradedImages(faces, seed=0)
    pixels = [to_tensor(resize_square((poor if i % 2 else faces).read(i), size)) for i in range(len(faces))]
    labels_B = torch.tensor([int(label) for label in faces.labels])
    return TrainingBatch(torch.stack(pixels), labels_B, indices_B=torch.arange(len(faces)), corrupt=[])


def ranks(values_B):
    return np.argsort(np.argsort(values_B.numpy()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "target", "optimizer", "embedding_size"),
    [
        ("crfiqa", "paper", {"name": "adamw", "learning_rate": 0.02}, 16),
        ("funface", "paper", {"name": "adamw", "learning_rate": 0.02}, 16),
        # few dimensions crowd the centres, so that negatives are positive and the code's ratio is tame
        ("crfiqa", "code", {"name": "sgd", "learning_rate": 0.05}, 8),
    ],
)
def test_the_layer_learns_to_predict_the_certainty_ratio(head, target, optimizer, embedding_size):
    state = tiny_state(
        num_classes=8,
        head={"name": head, "scale": 16.0},
        backbone={"embedding_size": embedding_size},
        quality={"name": "crfiqa", "target": target},
        optimizer=optimizer,
    )
    batch, steps = faces_half_of_them_degraded(people=8, size=16), 100
    for step in range(steps):
        training_step(state, batch, optimizer["learning_rate"] * (1 - step / steps))
    state.recognizer.eval()
    with torch.no_grad():
        output = state.recognizer(normalize(batch.images_BCHW))
        head = state.head.eval()(output.features_BD, batch.labels_B)
    ratio_B = certainty_ratio_target(head.target_cosine_B, head.hardest_negative_B, target)
    assert np.corrcoef(ranks(output.quality_B), ranks(ratio_B))[0, 1] > 0.5  # Spearman's
