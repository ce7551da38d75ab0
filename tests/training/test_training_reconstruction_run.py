"""Whole runs with a face reconstruction: what they write, how they resume, and what their models can do."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from facemargin.data.open import open_images
from facemargin.errors import ConfigError
from facemargin.models.load import load
from facemargin.training.checkpoint import latest_checkpoint
from facemargin.training.recipe import load_recipe
from facemargin.training.trainer import train
from tests.training.run_process import rows
from tests.training.training_objects import tiny_recipe

OWN_PARTS = ["reconstruction", "mirrored_reconstruction", "view", "smoothness"]


def recipe_of(mode):
    return tiny_recipe(
        head={"name": "lh2face", "dimension": 8}, reconstruction={"mode": mode, "width": 4, "latent_size": 8},
        data={"train": "orl:1-2", "workers": 0, "cache_decoded": True}, augmentation={"flip": 0.5}, epochs=2,
        logging={"every_steps": 1}, checkpoint={"every_steps": 3}, ema_decay=0.9,
        validation={"data": [] if mode == "alone" else ["orl:31-32"], "every_epochs": 0},
    )  # fmt: skip


def run(recipe, folder, **options):
    assert train(recipe, folder, console=Console(file=io.StringIO()), **options)


def faces(people):
    images = open_images(people)
    return [images.read(index) for index in range(len(images))]


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint") / "run"
    run(recipe_of("joint"), folder)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(recipe_of("alone"), folder)
    return folder


def test_the_metrics_of_a_joint_run_add_up(joint):
    row = rows(joint / "metrics.csv")[0]
    columns = list(row)
    parts = columns[columns.index("loss") + 1 : columns.index("learning_rate")]
    assert parts == ["softmax", "pps", "pns", "pp", "canonical", *OWN_PARTS]
    assert sum(float(row[part]) for part in parts) == pytest.approx(float(row["loss"]), rel=1e-5)
    assert len(rows(joint / "validation.csv")) == 1


def test_the_metrics_of_a_reconstruction_have_no_columns_of_a_head(alone):
    row = rows(alone / "metrics.csv")[0]
    own = ["step", "epoch", "loss", *OWN_PARTS, "learning_rate", "gradient_norm", "images_per_second"]
    assert list(row) == own
    assert sum(float(row[part]) for part in OWN_PARTS) == pytest.approx(float(row["loss"]), rel=1e-5)
    assert not (alone / "head.safetensors").exists() and not (alone / "validation.csv").exists()


@pytest.mark.parametrize("mode", ["joint", "alone"])
def test_a_resumed_run_ends_alike_bit_for_bit(mode, request, tmp_path):
    whole = request.getfixturevalue(mode)
    run(recipe_of(mode), tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    steps = sorted(checkpoints.iterdir())
    assert [path.name for path in steps] == ["step_00000003.pt", "step_00000004.pt"]
    steps[-1].unlink()  # as if it had been killed in the last step
    run(recipe_of(mode), tmp_path / "run", resume=True)
    expected, again = (latest_checkpoint(folder)[1] for folder in (whole / "checkpoints", checkpoints))
    for part in ("recogniser", "average"):
        one, other = (saved[part].get("state", saved[part]) for saved in (expected, again))
        assert one.keys() == other.keys() and len(one) > 10
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_joint_model_embeds_and_reconstructs(joint):
    model, pictures = load(joint), faces("orl:31-31")
    assert model.info.reconstruction["width"] == 4 and "mode" not in model.info.reconstruction
    average = latest_checkpoint(joint / "checkpoints")[1]["average"]["state"]
    for key, value in model.recognizer.state_dict().items():
        torch.testing.assert_close(value, average[key], rtol=0, atol=0)
    embeddings = model.embed(pictures)
    np.testing.assert_allclose(np.linalg.norm(embeddings.vectors, axis=1), 1, rtol=1e-5)
    assert model.reconstruct(pictures).canonical_image_BCHW.shape == (10, 3, 16, 16)


def test_a_reconstruction_reconstructs_and_says_that_it_cannot_embed(alone):
    model, pictures = load(alone), faces("orl:31-31")
    assert (model.info.backbone, model.info.loss, model.info.embedding_size) == (None, "reconstruction", 0)
    assert model.reconstruct(pictures).view_B6.shape == (10, 6)
    with pytest.raises(ConfigError, match=r"only has a face reconstruction.*Model\.reconstruct"):
        model.embed(pictures)


@pytest.mark.parametrize(("name", "mode"), [("lh2face_reconstruction", "joint"), ("reconstruction", "alone")])
def test_the_packaged_recipes_train(name, mode, tmp_path):
    tiny = ["--reconstruction.width", "4", "--reconstruction.latent-size", "8", "--backbone.input-size", "16"]
    recipe = load_recipe(name, [*tiny, "--data.train", "orl:1-4", "--epochs", "1", "--batch-size", "20"])
    assert recipe.reconstruction.mode == mode
    run(recipe, tmp_path / "run")
    assert len(load(tmp_path / "run").reconstruct(faces("orl:40-40")).light_B4) == 10
