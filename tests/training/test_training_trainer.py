import shutil
import sys

import pytest
import torch

from facemargin.errors import ConfigError, NonFiniteLossError
from facemargin.evaluation.figures import DEFAULT_FARS
from facemargin.training import trainer
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from facemargin.training.profile import profile_training
from facemargin.training.step import training_step
from tests.training.orl_runs import DATA, run
from tests.training.run_process import rows, write_faces
from tests.training.training_objects import tiny_recipe


def test_rows_validations_and_checkpoints_come_when_the_recipe_says(tmp_path):
    recipe = tiny_recipe(
        data=DATA,  # 5 steps an epoch
        epochs=5,
        validation={"data": ["orl:31-32", "orl:33-34"], "every_epochs": 2},
        logging={"every_steps": 4},
        checkpoint={"every_steps": 6, "keep": 3},
    )
    run(recipe, tmp_path / "run")
    metrics = rows(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in metrics] == ["4", "8", "12", "16", "20", "24", "25"]
    assert [float(row["epoch"]) for row in metrics] == [0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.0]
    validations = [(row["step"], row["epoch"], row["dataset"]) for row in rows(tmp_path / "run" / "validation.csv")]
    expected = [("10", "2"), ("20", "4"), ("25", "5")]
    assert validations == [(*when, dataset) for when in expected for dataset in ("orl:31-32", "orl:33-34")]
    assert list(checkpoint_steps(tmp_path / "run" / "checkpoints")) == [18, 24, 25]


def test_by_default_an_epoch_ends_with_a_checkpoint_and_validation_waits_for_the_end(tmp_path):
    recipe = tiny_recipe(data=DATA, epochs=3, validation={"data": ["orl:31-32"], "every_epochs": 0})
    run(recipe, tmp_path / "run")
    assert list(checkpoint_steps(tmp_path / "run" / "checkpoints")) == [10, 15]
    (row,) = rows(tmp_path / "run" / "validation.csv")
    assert row["step"] == "15"
    rates = {"accuracy", "balanced_accuracy", "equal_error_rate", *(f"tar_at_far_{far:g}" for far in DEFAULT_FARS)}
    assert row.keys() == {"step", "epoch", "dataset", *rates} and row["accuracy"] == ""
    assert all(0 <= float(row[name]) <= 1 for name in rates - {"accuracy"})


def test_the_parts_of_a_loss_are_logged_where_there_are_several(tmp_path):
    options = {"data": DATA, "epochs": 1, "logging": {"every_steps": 1}}
    run(tiny_recipe(head={"name": "magface", "scale": 8.0}, **options), tmp_path / "several")
    row = rows(tmp_path / "several" / "metrics.csv")[0]
    parts = list(row)[list(row).index("loss") + 1 : list(row).index("learning_rate")]
    assert len(parts) == 2 and "softmax" in parts
    assert sum(float(row[part]) for part in parts) == pytest.approx(float(row["loss"]), rel=1e-5)
    run(tiny_recipe(memory={"name": "broadface", "queue_size": 9}, **options), tmp_path / "queue")
    first, *later = rows(tmp_path / "queue" / "metrics.csv")
    assert list(first)[2:6] == ["loss", "softmax", "queue", "learning_rate"]
    assert (first["softmax"], first["queue"]) == (first["loss"], "") and len(later) == 4  # no queue yet
    for row in later:
        assert float(row["softmax"]) + float(row["queue"]) == pytest.approx(float(row["loss"]), rel=1e-5)
        assert float(row["queue"]) > 0
    run(tiny_recipe(**options), tmp_path / "one")
    assert list(rows(tmp_path / "one" / "metrics.csv")[0])[2:4] == ["loss", "learning_rate"]


def test_validation_does_not_change_what_is_trained(tmp_path):
    changes = {"data": DATA, "epochs": 2, "backbone": {"dropout": 0.3}, "logging": {"every_steps": 1}}
    run(tiny_recipe(**changes), tmp_path / "without")
    run(tiny_recipe(validation={"data": ["orl:31-32"]}, **changes), tmp_path / "with")
    states = [latest_checkpoint(tmp_path / name / "checkpoints")[1] for name in ("without", "with")]
    for key, value in states[0]["recogniser"].items():
        assert torch.equal(value, states[1]["recogniser"][key]), key


def test_draws_applied_on_the_device_train_the_same_network(tmp_path):
    """Flips and grayscale are the same to the last bit wherever they are applied."""
    changes = {"epochs": 2, "augmentation": {"flip": 0.5, "grayscale": 0.3}}
    for where in ("cpu", "device"):
        run(tiny_recipe(data={**DATA, "augment_on": where}, **changes), tmp_path / where)
    run(tiny_recipe(data=DATA, epochs=2), tmp_path / "without")
    names = ("cpu", "device", "without")
    one, other, without = (latest_checkpoint(tmp_path / name / "checkpoints")[1]["recogniser"] for name in names)
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert any(not torch.equal(value, without[key]) for key, value in one.items())


def test_steps_without_readable_images_are_left_out_and_the_rest_goes_on(tmp_path):
    write_faces(tmp_path / "faces", people=3, images=4)
    for path in sorted((tmp_path / "faces").rglob("*.jpg"))[:10]:
        path.write_bytes(b"damaged")
    recipe = tiny_recipe(
        data={**DATA, "train": str(tmp_path / "faces")}, epochs=3, batch_size=4, accumulation_steps=2,
        validation={"data": ["orl:31-32"]},
    )  # fmt: skip
    text = run(recipe, tmp_path / "run")
    assert "is left out: 0 readable images" in text
    assert "corrupt images, which were left out: 10; 30 times in all" in text
    # 9 steps, the last of which may be one that was left out: it is validated and saved all the same.
    assert max(checkpoint_steps(tmp_path / "run" / "checkpoints")) == 9
    assert rows(tmp_path / "run" / "validation.csv")[-1]["step"] == "9"


def test_a_finished_run_is_resumed_to_its_end(tmp_path):
    recipe = tiny_recipe(data=DATA, epochs=1)
    run(recipe, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()  # as if it had been killed before it wrote the model
    assert "continuing" in run(recipe, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_resume_without_a_checkpoint_says_that_it_starts_anew(tmp_path):
    """As with a mistyped --output, or checkpoints that were deleted: the model in the folder is replaced."""
    recipe = tiny_recipe(data=DATA, epochs=1)
    assert "has no checkpoint" not in run(recipe, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert "has no checkpoint: starting from the beginning" in run(recipe, tmp_path / "run", resume=True)


def test_a_damaged_last_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path, caplog):
    recipe = tiny_recipe(data=DATA, epochs=3, logging={"every_steps": 1}, ema_decay=0.9)
    run(recipe, tmp_path / "run")
    expected = latest_checkpoint(tmp_path / "run" / "checkpoints")[1]["average"]["state"]
    last = tmp_path / "run" / "checkpoints" / "step_00000015.pt"
    last.write_bytes(last.read_bytes()[:1000])
    text = run(recipe, tmp_path / "run", resume=True)
    assert "continuing" in text and "after step 10" in text
    assert "step_00000015.pt" in caplog.text
    assert [row["step"] for row in rows(tmp_path / "run" / "metrics.csv")] == [str(step) for step in range(1, 16)]
    again = latest_checkpoint(tmp_path / "run" / "checkpoints")[1]["average"]["state"]
    for key, value in expected.items():
        assert torch.equal(value, again[key]), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 80}, r"batch_size 80 is larger than the training set of 40 images.*lower it to 40 or less"),
        ({"device": "gpu"}, "device is 'gpu', expected auto, cpu or cuda"),
        ({"backbone": {"dropout": 1.5}}, "dropout"),
        ({"logging": {"tensorboard": True}}, "logging.tensorboard needs the package tensorboard"),
        ({"data": {"train": ""}}, "data.train is empty: name a data set"),
    ],
)
def test_a_mistake_leaves_a_folder_that_the_mended_recipe_can_use(tmp_path, monkeypatch, changes, message):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    base = {"data": DATA, "epochs": 1}
    with pytest.raises(ConfigError, match=message):
        run(tiny_recipe(**{**base, **changes}), tmp_path / "run")
    assert "trained 5 steps" in run(tiny_recipe(**base), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": {"dropout": 3}}, "backbone small_resnet: dropout probability has to be between 0 and 1"),
        ({"head": {"implementation": "chunkd"}}, "unknown implementation 'chunkd'; did you mean 'chunked'"),
        ({"head": {"sample_rate": 3}}, "sample_rate is 3"),
    ],
)
def test_a_wrong_field_is_said_before_missing_data(tmp_path, changes, message):
    recipe = tiny_recipe(data={"train": "nowhere"}, validation={"data": ["nowhere"]}, **changes)
    with pytest.raises(ConfigError, match=message):
        run(recipe, tmp_path / "run")
    with pytest.raises(ConfigError, match=message):
        profile_training(recipe)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_said(tmp_path, device):
    with pytest.raises(ConfigError, match=f"device is '{device}', but this machine has 0 CUDA devices"):
        run(tiny_recipe(data=DATA, device=device), tmp_path / "run")


def test_a_loss_that_is_not_finite_says_where_to_go_on_from(tmp_path):
    recipe = tiny_recipe(data=DATA, epochs=3, optimizer={"learning_rate": 1e38})
    with pytest.raises(NonFiniteLossError, match=r"^step \d: .*\. There is no checkpoint yet$"):
        run(recipe, tmp_path / "run")


def test_a_run_that_stops_logs_the_last_step_it_took(tmp_path, monkeypatch):
    def step_until_the_eighth(state, batch, learning_rate):
        if state.step == 7:
            raise NonFiniteLossError("step 8: the loss is inf")
        return training_step(state, batch, learning_rate)

    monkeypatch.setattr(trainer, "training_step", step_until_the_eighth)
    recipe = tiny_recipe(data=DATA, epochs=3, logging={"every_steps": 5})
    with pytest.raises(NonFiniteLossError, match="step 8"):
        run(recipe, tmp_path / "run")
    assert [row["step"] for row in rows(tmp_path / "run" / "metrics.csv")] == ["5", "7"]


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path):
    write_faces(tmp_path / "[red]faces[/blue]", people=2, images=4)
    faces = str(tmp_path / "[red]faces[/blue]")
    recipe = tiny_recipe(data={**DATA, "train": faces}, epochs=1, batch_size=4, validation={"data": ["orl:31-32"]})
    text = run(recipe, tmp_path / "run [lr=0.1]")
    assert "[red]faces[/blue]" in text and "run [lr=0.1]/model.safetensors" in text
