"""The face reconstruction in a training step: its gradients, its parts of the loss, and what it must leave alone."""

import copy
import functools

import numpy as np
import pytest
import torch

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.training_set import TrainingBatch
from facemargin.errors import ConfigError, NonFiniteLossError
from facemargin.models.recognizer import NoBackbone
from facemargin.reconstruction import reconstruction_losses
from facemargin.training.canonical_loss import canonical_loss
from facemargin.training.no_head import NoHead
from facemargin.training.step import training_step
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights, without_batch_norm

NETWORKS = {"depth_network", "albedo_network", "light_network", "view_network", "confidence_network"}
OWN_PARTS = ["reconstruction", "mirrored_reconstruction", "view", "smoothness"]
LABELS = [0, 1, 2, 0, -1, 1, 2, 0]


def state_of(mode, head="lh2face", **changes):
    settings = {"mode": mode, "width": 4, "latent_size": 8, **changes.pop("reconstruction", {})}
    return tiny_state(head={"name": head}, reconstruction=settings, **changes)


def networks_with_gradient(state):
    return {name for name, network in state.recognizer.reconstructor.named_children() if has_gradient(network)}


def has_gradient(module):
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_one_joint_step_reaches_every_parameter():
    state = state_of("joint", quality={"name": "crfiqa"})
    training_step(state, random_batch(LABELS), 0.0)
    for module in state.modules():
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.any() and parameter.grad.isfinite().all(), name
    assert networks_with_gradient(state) == NETWORKS


def test_the_recogniser_reads_image_canonical_face_and_depth():
    recognizer = state_of("joint").recognizer.eval()
    images_BCHW = normalize(random_batch(LABELS).images_BCHW)
    with torch.no_grad():
        output = recognizer(images_BCHW)
        parts = recognizer.reconstructor(images_BCHW)
        inputs_BCHW = recognizer.reconstructor.recognizer_input(images_BCHW, parts)
        assert inputs_BCHW.shape == (8, 7, 16, 16)
        torch.testing.assert_close(output.features_BD, recognizer.backbone(inputs_BCHW))
    torch.testing.assert_close(output.reconstruction.albedo_BCHW, parts.albedo_BCHW)
    torch.testing.assert_close(inputs_BCHW[:, :3], images_BCHW)


def test_the_loss_is_the_sum_of_its_parts():
    lambdas = {"lambda_canon": 0.7, "lambda_reco": 0.9, "lambda_view": 0.3}
    state = without_batch_norm(state_of("joint", quality={"name": "crfiqa"}, reconstruction=lambdas))
    batch = random_batch(LABELS)
    images_BCHW, labels_B = normalize(batch.images_BCHW), batch.labels_B
    recognizer, head = copy.deepcopy(state.recognizer), copy.deepcopy(state.head)
    with torch.no_grad():
        output = recognizer(images_BCHW)
        face = output.reconstruction
        depth_B1HW = recognizer.reconstructor.recognizer_input(images_BCHW, face)[:, 6:]
        canonical_BCHW = torch.cat([face.canonical_image_BCHW, face.canonical_image_BCHW, depth_B1HW], dim=1)
        own = reconstruction_losses(images_BCHW, face, state.recipe.reconstruction)
        expected = {
            **{name: part.item() for name, part in head(output.features_BD, labels_B).parts.items()},
            **{name: part.item() for name, part in own.items()},
            "canonical": 0.7 * head(recognizer.backbone(canonical_BCHW), labels_B).loss.item(),
        }
    result = training_step(state, batch, 0.1)
    assert set(result.parts) - set(expected) == {"quality"} and list(own) == OWN_PARTS
    for name, value in expected.items():
        assert result.parts[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert result.loss == pytest.approx(sum(result.parts.values()), rel=1e-6)
    assert all(abs(result.parts[name]) > 1e-6 for name in ["canonical", *OWN_PARTS])


@pytest.mark.parametrize(
    ("name", "scaled"),
    [
        ("lambda_reco", {"reconstruction", "mirrored_reconstruction"}),
        ("lambda_symmetry", {"mirrored_reconstruction"}),
        ("lambda_canon", {"canonical"}),
        ("lambda_view", {"view"}),
        ("lambda_smooth", {"smoothness"}),
    ],
)
def test_each_weight_scales_its_part_alone(name, scaled):
    once, thrice = (training_step(state_of("joint", reconstruction={name: w}), random_batch(LABELS), 0.0).parts
                    for w in (0.2, 0.6))  # fmt: skip
    for part, value in once.items():
        assert thrice[part] == pytest.approx(3 * value if part in scaled else value, rel=1e-5), part


def test_the_canonical_loss_reaches_what_makes_the_canonical_face():
    state = state_of("joint")
    batch = random_batch(LABELS)
    reconstruction = state.recognizer.reconstructor(normalize(batch.images_BCHW))
    canonical_loss(state.recognizer, state.head, reconstruction, batch.labels_B).backward()
    assert networks_with_gradient(state) == {"depth_network", "albedo_network", "light_network"}
    assert has_gradient(state.recognizer.backbone) and has_gradient(state.head)


@pytest.mark.parametrize("head", ["lh2face", "funface", "curricularface", "elasticface_arc"])
def test_the_canonical_pass_leaves_no_trace_in_statistics_and_steps(head):
    with_pass, without = (state_of("joint", head, reconstruction={"lambda_canon": w}) for w in (0.5, 0.0))
    initial = weights(without)
    for state in (with_pass, without):
        parts = training_step(state, random_batch(LABELS), 0.0).parts
        assert ("canonical" in parts) == (state is with_pass)
    after = weights(without)
    for key, value in weights(with_pass).items():
        torch.testing.assert_close(value, after[key], rtol=0, atol=0, msg=key)
    moved = [key for key, value in after.items() if not torch.equal(value, initial[key])]
    assert any(key.startswith("head.margin") for key in moved)
    assert any(key.endswith("running_mean") for key in moved)


@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_half_precision_follows_float32(mode):
    exact, rounded = (state_of(mode, precision=precision) for precision in ("float32", "bf16"))
    one, other = (training_step(state, random_batch(LABELS), 0.01) for state in (exact, rounded))
    for name in OWN_PARTS:
        assert other.parts[name] == pytest.approx(one.parts[name], rel=0.05, abs=1e-3), name
    assert all(p.dtype == torch.float32 for p in rounded.recognizer.parameters())


@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_passes_count_by_their_images_where_labels_do_not_matter(mode):
    batch = random_batch([-1, -1, -1, -1, 1, 2, 0])  # four and three images, the first four unlabelled
    whole, split = (training_step(without_batch_norm(state_of(mode, accumulation_steps=n)), batch, 0.0) for n in (1, 2))
    for name in ("view", "smoothness"):  # means over images, unlike those over the pixels that are seen
        assert split.parts[name] == pytest.approx(whole.parts[name], rel=1e-4)


# torch's own: its compiler looks at the gradient of every tensor that it meets.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_compiled_networks_take_the_same_steps(mode, monkeypatch):
    # what dynamo traces, run without generating machine code, which takes minutes
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(torch.nn.Module.compile, backend="eager"))
    plain, compiled = state_of(mode), state_of(mode, compile=True)
    for _ in range(2):
        one, other = (training_step(state, random_batch(LABELS), 0.1) for state in (plain, compiled))
        assert other.parts == pytest.approx(one.parts, rel=1e-4)
    assert weights(compiled).keys() == weights(plain).keys()


def test_alone_there_is_neither_backbone_nor_head():
    state = state_of("alone", ema_decay=0.9)
    assert isinstance(state.head, NoHead) and isinstance(state.recognizer.backbone, NoBackbone)
    before = weights(state)
    assert all(key.startswith("recogniser.reconstructor.") for key in before)
    result = training_step(state, random_batch(LABELS), 0.1)
    assert list(result.parts) == OWN_PARTS and result.sample_means == {}
    assert networks_with_gradient(state) == NETWORKS
    assert any(not torch.equal(value, before[key]) for key, value in weights(state).items())
    unlabeled = training_step(state_of("alone", ema_decay=0.9), random_batch([-1] * 8), 0.1)
    assert unlabeled.parts == result.parts


@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_a_reconstruction_that_is_not_finite_names_the_field(mode):
    state = state_of(mode, precision="float32")
    state.recognizer.reconstructor.confidence_network[0][0].weight.data.fill_(float("nan"))
    message = r"step 1: the loss is nan, through the face reconstruction.* first is optimizer.learning_rate"
    with pytest.raises(NonFiniteLossError, match=message):
        training_step(state, random_batch(LABELS), 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": {"data": ["orl:31-32"]}}, "validation.data is orl:31-32, but reconstruction.mode is alone"),
        ({"quality": {"name": "crfiqa"}}, "quality.name is crfiqa, but reconstruction.mode is alone"),
        ({"reconstruction": {"mode": "both"}}, "reconstruction: mode is 'both', expected one of 'none', 'joint', 'alo"),
        ({"reconstruction": {"lambda_canon": -1.0}}, "reconstruction: lambda_canon is -1.0, expected 0 or more"),
        ({"backbone": {"in_channels": 7}}, "backbone: unknown field 'in_channels'"),
    ],
)
def test_what_does_not_go_together_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_recipe(**{"reconstruction": {"mode": "alone"}, **changes})


def test_a_size_that_the_reconstruction_cannot_halve_is_refused():
    with pytest.raises(ConfigError, match="images are 20 pixels wide, expected a multiple of 8"):
        state_of("joint", backbone={"input_size": 20})


def faces(people, size):
    images = EmbeddedFaces(range(1, people + 1))
    pixels = [to_tensor(resize_square(images.read(i), size)) for i in range(len(images))]
    labels_B = torch.tensor([int(label) for label in images.labels])
    return TrainingBatch(torch.stack(pixels), labels_B, indices_B=torch.arange(len(images)), corrupt=[])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_training_on_faces_lowers_every_loss(mode):
    backbone = {"input_size": 32, "embedding_size": 16}
    rate = 0.005
    state = state_of(mode, num_classes=4, backbone=backbone, optimizer={"name": "adamw", "weight_decay": 0.0})
    batch = faces(people=4, size=32)
    results = [training_step(state, batch, rate) for _ in range(30)]
    for name in ["reconstruction", "mirrored_reconstruction", *(["softmax", "canonical"] if mode == "joint" else [])]:
        first, last = (np.mean([result.parts[name] for result in some]) for some in (results[:5], results[-5:]))
        assert last < first - 0.3, name
