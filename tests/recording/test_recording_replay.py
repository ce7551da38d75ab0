"""A recording under another margin: the losses that a head with this margin has of the same features and centers."""

import csv
import math

import numpy as np
import pytest
import torch
from rich.console import Console

import facemargin as fm
from facemargin.recording.replay import NEEDED
from facemargin.training.recipe import margin_settings

STEPS, BATCH, CLASSES, SIZE, SCALE = 6, 12, 9, 16, 24.0
CONSTANT = [
    name
    for name in fm.list_margins()
    if issubclass(fm.margins.margin_class(name), fm.margins.ConstantScaleMargin)
    and fm.margins.margin_class(name).negatives is fm.margins.Margin.negatives
    and not fm.margins.margin_class(name).binary
]


def heads_and_recording(recorded: str, replayed: str, dtype=torch.float64, stored=np.float64, **settings):
    """What a head with the margin `recorded` finds in each step, as a recording, and the outputs of one with
    `replayed` for the same features and centers."""
    rng = torch.Generator().manual_seed(3)
    by_norm = recorded in ("lh2face", "sphereface")
    both = ((recorded, {} if by_norm else {"scale": SCALE}), (replayed, settings))
    first, other = (
        fm.create_head(name, CLASSES, SIZE, implementation="eager", hardest_class=True, **extra).to(dtype)
        for name, extra in both
    )
    rows, outputs = {name: [] for name in NEEDED}, []
    for step in range(1, STEPS + 1):
        with torch.no_grad():
            first.weight += 0.3 * torch.randn(CLASSES, SIZE, generator=rng, dtype=torch.float64)
            other.weight.copy_(first.weight)
        labels_B = torch.randint(CLASSES, (BATCH,), generator=rng)
        features_BD = torch.randn(BATCH, SIZE, generator=rng, dtype=torch.float64).to(dtype)
        features_BD = (features_BD + 1.5 * torch.nn.functional.normalize(first.weight.detach())[labels_B]) * 3
        out = first(features_BD, labels_B)
        outputs.append(other(features_BD, labels_B))
        rows["sample"].append(10 * step + np.arange(BATCH))
        rows["step"].append(np.full(BATCH, step))
        for name in NEEDED[2:]:
            rows[name].append(getattr(out, f"{name}_B").detach().numpy().astype(stored))
    labels_N = np.zeros(10 * STEPS + BATCH, np.int64)
    about = {
        "margin": recorded,
        "scale": "feature_norm" if by_norm else SCALE,
        "negatives": "as they are",
        "lse_among": "all classes",
        "hardest_among": "all classes",
        "passes": 1,
    }
    columns = {name: np.concatenate(values) for name, values in rows.items()}
    return fm.Recording(columns, labels_N, ["Ann"], about, []), outputs


@pytest.mark.parametrize("name", CONSTANT)
def test_the_losses_are_those_of_a_head_with_the_other_margin(name):
    recording, outputs = heads_and_recording("normface", name, scale=SCALE)
    replayed = fm.replay(recording, name)
    expected_V = torch.cat([out.losses_B for out in outputs]).detach().numpy()
    np.testing.assert_allclose(replayed.loss_V, expected_V, rtol=1e-9, atol=1e-12)
    scaler_V = torch.cat([out.margin_scaler_B for out in outputs]).numpy()
    np.testing.assert_allclose(replayed.scaler_V, scaler_V, rtol=1e-9, atol=1e-12)
    assert np.ptp(replayed.loss_V) > 1


def test_recorded_in_single_precision_the_losses_are_exact_to_a_millionth():
    recording, outputs = heads_and_recording("arcface", "funface", torch.float32, np.float32, scale=SCALE)
    expected_V = torch.cat([out.losses_B for out in outputs]).detach().numpy()
    np.testing.assert_allclose(fm.replay(recording, "funface").loss_V, expected_V, rtol=1e-6, atol=1e-6)


def test_recorded_in_half_precision_the_losses_are_as_near_as_the_note_says():
    recording, outputs = heads_and_recording("arcface", "adaface", torch.float32, np.float16, scale=SCALE)
    replayed = fm.replay(recording, "adaface")
    expected_V = torch.cat([out.losses_B for out in outputs]).detach().numpy()
    (note,) = replayed.notes
    bound = float(note.split("off by ")[1].split()[0])
    error = np.abs(replayed.loss_V - expected_V).max()
    assert bound / 100 < error < 2 * bound and bound < 0.1


def test_a_margin_whose_scale_is_the_norm_replays_one_whose_scale_is_the_norm():
    recording, outputs = heads_and_recording("lh2face", "sphereface")
    replayed = fm.replay(recording, "sphereface")
    expected_V = torch.cat([out.losses_B for out in outputs]).detach().numpy()
    np.testing.assert_allclose(replayed.loss_V, expected_V, rtol=1e-9, atol=1e-12)
    assert fm.replay(recording, "lh2face").notes == [
        "the loss is that of the softmax: the margin's terms beside it are left out"
    ]


def test_the_gradient_is_the_slope_of_the_loss_in_the_target_cosine():
    recording, _ = heads_and_recording("cosface", "arcface", scale=SCALE)
    replayed = fm.replay(recording, fm.margins.ArcFaceConfig(margin=0.3, scale=SCALE))
    for v in range(len(recording)):
        cosine, lse = recording["target_cosine"][v], recording["negative_lse"][v]

        def loss(c, lse=lse):
            return math.log1p(math.exp(lse - SCALE * math.cos(math.acos(c) + 0.3)))

        slope = (loss(cosine + 1e-6) - loss(cosine - 1e-6)) / 2e-6
        assert replayed.loss_V[v] == pytest.approx(loss(cosine), rel=1e-9)
        assert replayed.gradient_V[v] == pytest.approx(abs(slope), rel=1e-5, abs=1e-6)


def test_the_share_of_the_gradient():
    replayed = fm.Replay(np.ones(4), np.array([1.0, 2, 5, np.nan]), np.ones(4), [])
    assert replayed.gradient_share(np.array([True, False, False, True])) == pytest.approx(1 / 8)
    assert math.isnan(fm.Replay(np.ones(2), np.zeros(2), np.ones(2), []).gradient_share(np.array([True, False])))


def recording_of(**about):
    recording, _ = heads_and_recording("arcface", "arcface")
    return fm.Recording(recording.columns, recording.labels, ["Ann"], {**recording.about, **about}, [])


@pytest.mark.parametrize(
    ("about", "margin", "settings", "words"),
    [
        ({}, "adaface", {"scale": 64.0}, "adaface has the scale 64.0, the training was recorded at 24.0"),
        ({}, "sphereface", {}, "sphereface has the scale of each feature's norm"),
        ({"scale": "feature_norm"}, "adaface", {}, "the recorded training's scale is each feature's norm"),
        ({}, "curricularface", {}, "curricularface with these settings re-weights hard negatives"),
        ({}, "arcface", {"interclass_filtering_threshold": 0.4}, "arcface with these settings re-weights"),
        ({"negatives": "re-weighted by the margin"}, "adaface", {}, "only arcface that does so can be replayed"),
        ({"negatives": "re-weighted by the margin"}, "arcface", {}, "only arcface that does so can be replayed"),
        ({}, "uniface", {}, "uniface decides on every class by itself: what its negatives add up to is not recorded"),
        ({"negatives": "decided on one by one", "margin": "sphereface2"}, "arcface", {}, "sphereface2 decides on"),
        ({}, "arcfase", {}, "arcface"),
        ({}, "arcface", {"marign": 0.4}, "margin"),
    ],
)
def test_what_the_recording_cannot_tell_is_refused(about, margin, settings, words):
    with pytest.raises(fm.errors.ConfigError, match=words):
        fm.replay(recording_of(**about), margin, **settings)


def test_settings_beside_a_configuration_are_refused():
    with pytest.raises(fm.errors.ConfigError, match="scale is given beside ArcFaceConfig"):
        fm.replay(recording_of(), fm.margins.ArcFaceConfig(), scale=3.0)


def test_what_is_not_exact_is_said():
    recording = recording_of(lse_among="sampled classes", hardest_among="sampled classes", passes=2)
    recording.columns["negative_lse"][5] = np.nan
    recording.missing_steps.append((7, 9))
    notes = fm.replay(recording, "magface").notes
    assert [note.split(",")[0] for note in notes] == [
        "the negatives are those of the classes that each step sampled",
        "the hardest negative is that among the sampled classes",
        "statistics advance once a step here",
        "steps 7 to 9 are not recorded",
        "the loss is that of the softmax: the margin's terms beside it are left out",
        "1 visit without a finite number",
    ]


def test_a_filtering_margin_is_replayed_where_it_was_recorded():
    recording = recording_of(negatives="re-weighted by the margin")
    (note,) = fm.replay(recording, "arcface", interclass_filtering_threshold=0.4).notes
    assert note == "the negatives are re-weighted as they were in the training, whatever the settings here"


def test_a_training_is_replayed_to_its_own_losses(tmp_path):
    recipe = fm.load_recipe(
        "small_cpu",
        epochs=2,
        batch_size=10,
        data={"train": "orl:1-4"},
        recorder="float32",
        logging={"every_steps": 1},
    )
    fm.train(recipe, tmp_path / "run", console=Console(quiet=True))
    recording = fm.load_recording(tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8") as file:
        steps = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    replayed = fm.replay(recording, recipe.head.name, **margin_settings(recipe.head))
    means = {step: replayed.loss_V[recording["step"] == step].mean() for step in steps}
    assert len(steps) == 8 and means == pytest.approx(steps, rel=1e-5)
    assert replayed.notes == []
