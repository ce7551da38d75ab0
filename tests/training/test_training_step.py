import math
from dataclasses import replace

import pytest
import torch

from facemargin.data.images.pixels import normalize
from facemargin.errors import NonFiniteLossError
from facemargin.training.processes import Processes
from facemargin.training.step import training_step
from tests.processes import run_processes
from tests.training.training_objects import random_batch, tiny_state, weights, without_batch_norm


def assert_close(one, other, **tolerance):
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], msg=lambda text, key=key: f"{key}: {text}", **tolerance)


@pytest.mark.parametrize(
    ("labels", "passes"),
    [
        ([0, 1, 2, 0, 1, 2, 0, 1], 2),
        ([0, 1, 2, 0, 1, 2, 0, 1], 4),
        ([0, 1, 2, 0, 1, 2, 0], 2),  # a corrupt image left seven: 4 and 3
        ([0, 1, 2, 0, 1], 4),  # too few for four passes
        ([0, -1, -1, -1, 1, 2, 0, 1], 2),  # one labelled sample in the first pass, four in the second
        ([-1, -1, -1, -1, 1, 2, 0, 1], 2),
    ],
)
@pytest.mark.parametrize(
    ("head", "quality"),
    [({"name": "cosface", "scale": 8.0}, "norm"), ({"name": "magface", "scale": 8.0}, "crfiqa")],
)
def test_accumulated_passes_equal_one(labels, passes, head, quality):
    whole = without_batch_norm(tiny_state(head=head, quality={"name": quality}))
    split = without_batch_norm(tiny_state(head=head, quality={"name": quality}, accumulation_steps=passes))
    batch = random_batch(labels)
    for _ in range(2):
        one, other = training_step(whole, batch, 0.05), training_step(split, batch, 0.05)
        for name in ("loss", "gradient_norm"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-4), name
        assert list(one.sample_means) == ["target_cosine", "certainty_ratio", "feature_norm", "margin_scaler"]
        assert other.sample_means == pytest.approx(one.sample_means, rel=1e-4)
        assert other.parts == pytest.approx(one.parts, rel=1e-4)
    assert_close(weights(split), weights(whole), rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_over_labelled_samples():
    state = without_batch_norm(tiny_state(accumulation_steps=2))
    batch = random_batch([2, -1, 0, 1, -1, -1])
    with torch.no_grad():
        out = state.head(state.recognizer(normalize(batch.images_BCHW)).features_BD, batch.labels_B)
    expected = [float(loss) for loss, label in zip(out.losses_B, batch.labels_B, strict=True) if label >= 0]
    assert len(expected) == 3
    assert training_step(state, batch, 0.1).loss == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_a_step_without_labels_changes_nothing():
    state = without_batch_norm(tiny_state(optimizer={"weight_decay": 0.0}))
    before = weights(state)
    result = training_step(state, random_batch([-1, -1, -1, -1]), 0.1)
    assert result.loss == 0.0 and result.gradient_norm == 0.0 and math.isnan(result.sample_means["target_cosine"])
    assert_close(weights(state), before, rtol=0, atol=0)


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_no_pass_is_left_with_a_single_image(count):
    # A batch norm over one image raises.
    assert training_step(tiny_state(accumulation_steps=4), random_batch([0] * count), 0.1).loss > 0


def test_running_statistics_advance_once_a_pass():
    state = tiny_state(head={"name": "funface", "t_alpha": 0.1}, accumulation_steps=2)
    seen = []
    state.head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    mean, std = 20.0, 100.0
    training_step(state, random_batch([0, 1, 2, 0, 1, 2, 0, 1]), 0.1)
    assert [len(features_MD) for features_MD in seen] == [4, 4]
    for features_MD in seen:
        norms = features_MD.norm(dim=1).clamp(0.001, 100)
        mean, std = 0.1 * norms.mean().item() + 0.9 * mean, 0.1 * norms.std().item() + 0.9 * std
    assert state.head.margin.norm_statistics.mean.item() == pytest.approx(mean, rel=1e-5)
    assert state.head.margin.norm_statistics.std.item() == pytest.approx(std, rel=1e-5)
    assert state.recognizer.state_dict()["backbone.stem.1.num_batches_tracked"].item() == 2


def gradient(parameters):
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


def test_clipping_scales_the_gradient_to_its_largest_norm():
    free, clipped, loose = tiny_state(), tiny_state(gradient_clip=0.01), tiny_state(gradient_clip=1e6)
    batch = random_batch([0, 1, 2, 0])
    norms = [training_step(state, batch, 0.0).gradient_norm for state in (free, clipped, loose)]
    assert norms[0] > 0.01 and norms[1] == norms[0] == norms[2]  # reported before clipping
    gradients = [gradient(p for m in (s.recognizer, s.head) for p in m.parameters()) for s in (free, clipped, loose)]
    assert gradients[0].norm().item() == pytest.approx(norms[0], rel=1e-4)
    assert gradients[1].norm().item() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(gradients[1] / gradients[1].norm(), gradients[0] / gradients[0].norm())
    torch.testing.assert_close(gradients[2], gradients[0])


def test_bf16_follows_float32():
    exact, rounded = tiny_state(), tiny_state(precision="bf16")
    assert not rounded.scaler.enabled
    batch = random_batch([0, 1, 2, 0, 1, 2])
    one, other = training_step(exact, batch, 0.01), training_step(rounded, batch, 0.01)
    assert other.loss == pytest.approx(one.loss, rel=0.05) and other.loss != one.loss
    assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=0.2)
    assert all(p.dtype == torch.float32 for p in rounded.recognizer.parameters())


def test_fp16_trains_with_a_scaled_loss():
    exact, half = tiny_state(), tiny_state(precision="fp16")
    half.scaler.growth_interval = 2
    half.scaler.scale = 16.0
    batch = random_batch([0, 1, 2, 0, 1, 2])
    one, other = training_step(exact, batch, 0.01), training_step(half, batch, 0.01)
    # The scale is taken out again: before the norm, and before the step.
    assert other.loss == pytest.approx(one.loss, rel=0.02)
    assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=0.1)
    training_step(half, batch, 0.01)
    assert half.scaler.scale == 32.0


def test_fp16_skips_a_step_whose_gradient_overflows():
    state = tiny_state(precision="fp16")
    state.scaler.scale = 2.0**60
    before = {key: value.clone() for key, value in state.recognizer.named_parameters()}
    result = training_step(state, random_batch([0, 1, 2, 0]), 0.1)
    assert math.isfinite(result.loss) and not math.isfinite(result.gradient_norm)
    assert_close(dict(state.recognizer.named_parameters()), before, rtol=0, atol=0)
    assert state.scaler.scale == 2.0**59
    assert state.step == 1


def test_fp16_gives_up_where_no_scale_helps():
    state = tiny_state(precision="fp16")
    state.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    state.scaler.scale = 2.0**-9
    training_step(state, random_batch([0, 1, 2, 0]), 0.1)
    with pytest.raises(NonFiniteLossError, match=r"step 2: fp16 gradients .* look at first is precision \(now fp16\)"):
        training_step(state, random_batch([0, 1, 2, 0]), 0.1)


def poison_features(state):
    with torch.no_grad():
        state.recognizer.backbone.stem[0].weight.fill_(float("nan"))


def poison_centers(state):
    with torch.no_grad():
        state.head.weight[0, 0] = float("nan")


def poison_gradient(state):
    state.head.weight.register_hook(lambda gradient: gradient * float("nan"))


@pytest.mark.parametrize("accumulation_steps", [1, 2])
@pytest.mark.parametrize(
    ("poison", "precision", "message"),
    [
        (poison_features, "float32", r"features are not finite.* first is optimizer.learning_rate \(now 0.1\)"),
        (poison_features, "fp16", r"features are not finite.* first is precision \(now fp16\)"),
        (poison_centers, "float32", r"the loss is nan.* first is head.scale \(now 8.0\)"),
        (poison_gradient, "float32", r"gradient's norm is nan.* first is optimizer.learning_rate \(now 0.1\)"),
    ],
)
def test_what_is_not_finite_raises_before_the_weights_change(poison, precision, message, accumulation_steps):
    state = tiny_state(precision=precision, accumulation_steps=accumulation_steps, ema_decay=0.5)
    training_step(state, random_batch([0, 1, 2, 0]), 0.1)
    poison(state)
    parameters = {**dict(state.recognizer.named_parameters()), "centres": state.head.weight}
    before = {key: value.detach().clone() for key, value in parameters.items()}
    average = {key: value.clone() for key, value in state.average.state.items()}
    with pytest.raises(NonFiniteLossError, match=f"step 2: .*{message}"):
        training_step(state, random_batch([0, 1, 2, 0]), 0.1)
    assert state.step == 1
    assert_close({key: value.detach() for key, value in parameters.items()}, before, rtol=0, atol=0, equal_nan=True)
    assert_close(state.average.state, average, rtol=0, atol=0)


def test_a_margin_without_a_scale_is_named_itself():
    state = tiny_state(head={"name": "sphereface"})
    poison_centers(state)
    with pytest.raises(NonFiniteLossError, match=r"step 1: the loss is nan.* first is head.name \(now sphereface\)"):
        training_step(state, random_batch([0, 1, 2, 0]), 0.1)


def test_draws_depend_on_seed_and_step_alone():
    options = {"backbone": {"dropout": 0.5}}
    batch = random_batch([0, 1, 2, 0])
    one, other = tiny_state(**options), tiny_state(**options)
    training_step(one, batch, 0.0)
    torch.rand(100)  # somebody else draws in between
    training_step(other, batch, 0.0)
    first = training_step(one, batch, 0.0).loss
    torch.manual_seed(77)
    assert training_step(other, batch, 0.0).loss == first
    other.step = 1
    assert training_step(other, batch, 0.0).loss == first
    assert training_step(other, batch, 0.0).loss != first


def test_the_largest_seeds_work():
    assert training_step(tiny_state(seed=2**62), random_batch([0, 1]), 0.1).loss > 0


def test_the_given_learning_rate_is_used():
    state = tiny_state(optimizer={"momentum": 0.0, "weight_decay": 0.0})
    before = state.head.weight.detach().clone()
    training_step(state, random_batch([0, 1, 2, 0]), 0.25)
    torch.testing.assert_close(state.head.weight.detach(), before - 0.25 * state.head.weight.grad)


def steps_with_an_empty_pass(group, changes):
    """Both processes lack the first pass's images, then all of them but one."""
    processes = Processes(torch.device("cpu"), group)
    state = without_batch_norm(tiny_state(processes, head={"name": "lh2face"}, accumulation_steps=2, **changes))
    results = []
    for labels, positions in (([0, 1], [2, 3]), ([], []) if group.rank() else ([2], [0])):
        batch = replace(random_batch(labels), positions_B=torch.tensor(positions, dtype=torch.int64))
        results.append(training_step(state, batch, 0.05).loss)
    return results, weights(state)


RECONSTRUCTION = {"width": 4, "latent_size": 8}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quality": {"name": "crfiqa"}},
        {"reconstruction": {"mode": "joint", **RECONSTRUCTION}},
        {"reconstruction": {"mode": "alone", **RECONSTRUCTION}},
    ],
)
def test_a_pass_in_which_no_process_has_images(changes):
    (losses, first), (others, second) = run_processes(steps_with_an_empty_pass, 2, changes)
    assert losses == others and all(map(math.isfinite, losses))
    for name in first:
        if name.startswith("recogniser"):
            assert torch.equal(first[name], second[name]), name
