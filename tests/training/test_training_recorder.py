"""The flight recorder: what it writes is what the head found, it changes nothing, and no kill makes it lie.

Shapes: B images, C classes.
"""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import facemargin as fm
from facemargin.data.sampler import epoch_order
from facemargin.errors import ConfigError, OutputError
from facemargin.margins import list_margins
from facemargin.recording.columns import COLUMNS, NO_CLASS, visits_files
from facemargin.recording.writer import RecordingWriter
from facemargin.training import trainer
from facemargin.training.checkpoint import checkpoint_steps
from facemargin.training.processes import Processes
from facemargin.training.recorder import Recorder
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from tests.processes import run_processes
from tests.systems import posix_only
from tests.training.orl_runs import DATA, run
from tests.training.run_process import RECIPE, rows, start, stop_at_step, write_recipe
from tests.training.run_process import run as run_process
from tests.training.torchrun import PLAIN, run_many
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights

LABELS = [0, 1, 2, 0, -1, 2, 1, 0]


def heads_inputs(state):
    """Collects (features, labels, centres, classes of them) of every pass, in float64."""
    passes, forward = [], state.head.forward

    def watched(features, labels):
        out = forward(features, labels)
        head = state.head
        index = torch.arange(head.num_classes) if head.sampled is None else head.sampled.index_S
        centers = head.weight if head.sampled is None else head.sampled.rows_SD
        passes.append([v.detach().double().clone() for v in (features, centers)] + [labels.tolist(), index.tolist()])
        return out

    state.head.forward = watched
    return passes


def visits_of_loops(features_BD, centers_SD, labels_B, classes_S, scale):
    """Every visit by the definition: (norm, target cosine, log-sum-exp of the negatives, hardest cosine, its class)."""
    for feature_D, label in zip(features_BD.tolist(), labels_B, strict=True):
        norm = math.sqrt(sum(value**2 for value in feature_D))
        if label < 0:
            yield norm, math.nan, math.nan, math.nan, NO_CLASS
            continue
        target, negatives = math.nan, []
        for center_D, number in zip(centers_SD.tolist(), classes_S, strict=True):
            length = math.sqrt(sum(value**2 for value in center_D))
            cosine = sum(a * b for a, b in zip(feature_D, center_D, strict=True)) / norm / length
            if number == label:
                target = cosine
            else:
                negatives.append((cosine, -number))
        hardest, number = max(negatives)
        s = norm if scale is None else scale
        yield norm, target, math.log(sum(math.exp(s * cosine) for cosine, _ in negatives)), hardest, -number


# These re-weight hard negatives themselves, so that their log-sum-exp is not the plain one.
REWEIGHTING = {"curricularface", "mv_am", "mv_arc"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [(name, {}) for name in list_margins()]
    + [("funface", {"accumulation_steps": 2}), ("arcface", {"precision": "float64"}), ("adaface", {"sample": 0.7})],
    ids=lambda value: str(value),
)
def test_visits_are_those_of_loops(name, changes):
    head = {"name": name, **({"sample_rate": changes.pop("sample")} if "sample" in changes else {})}
    changes = dict(changes)
    state = tiny_state(num_classes=7, head=head, recorder="float32", **changes)
    passes = heads_inputs(state)
    for step in (1, 2):
        passes.clear()
        visits = training_step(state, random_batch(LABELS, seed=step), 0.05).visits
        assert visits.step == step
        columns = visits.columns()
        assert columns["sample"].tolist() == list(range(8))
        scale = getattr(state.recipe.head, "scale", None)
        expected = [visit for one in passes for visit in visits_of_loops(*one, scale)]
        assert columns["hardest_class"].tolist() == [visit[4] for visit in expected]
        for position, column in enumerate(("feature_norm", "target_cosine", "negative_lse", "hardest_negative")):
            if column == "negative_lse" and name in REWEIGHTING:
                continue
            assert columns[column].dtype == np.float32
            if column == "negative_lse" and state.head.margin.binary:
                assert np.isnan(columns[column]).all()  # there is no log-sum-exp without a softmax
                continue
            assert columns[column].tolist() == pytest.approx(
                [visit[position] for visit in expected], rel=1e-5, abs=1e-5, nan_ok=True
            )


@pytest.mark.parametrize("name", list_margins())
def test_the_recorder_changes_no_bit(name):
    ends = []
    for recorder in (False, True):
        state = tiny_state(head={"name": name}, recorder=recorder)
        results = [training_step(state, random_batch(LABELS, seed=seed), 0.1) for seed in range(3)]
        assert all((result.visits is None) == (not recorder) for result in results)
        ends.append((weights(state), [result.loss for result in results]))
    assert ends[0][1] == ends[1][1]
    torch.testing.assert_close(*(end[0] for end in ends), rtol=0, atol=0)


def assert_same_weights(one, other):
    for name in ("model.safetensors", "head.safetensors"):
        torch.testing.assert_close(load_file(one / name), load_file(other / name), rtol=0, atol=0)


def recipe(**changes):
    return tiny_recipe(**{"data": DATA, "recorder": True, "epochs": 3, "logging": {"every_steps": 1}, **changes})


@pytest.mark.parametrize("late", [False, True])
def test_a_run_records_every_visit_once(tmp_path, monkeypatch, late):
    def state_of(*arguments):
        state = TrainingState(*arguments)
        state.late = late
        return state

    monkeypatch.setattr(trainer, "TrainingState", state_of)
    made = recipe(recorder="float32", precision="float64", checkpoint={"every_steps": 4})
    run(made, tmp_path)
    recording = fm.load_recording(tmp_path)
    assert [last for last, _ in visits_files(tmp_path / "recording")] == [4, 8, 12, 15]
    order = np.concatenate([epoch_order(made.seed, epoch, 40) for epoch in range(3)])
    assert recording["sample"].tolist() == order.tolist()
    assert recording["step"].tolist() == np.repeat(np.arange(1, 16), 8).tolist()
    assert recording.labels.tolist() == np.repeat(np.arange(4), 10).tolist() and len(recording.identity_names) == 4
    assert (recording["hardest_class"] != recording.labels[recording["sample"]]).all()
    # CosFace: the loss again, from the log alone
    scale, margin = recording.about["scale"], made.head.margin
    target_logit = scale * (recording["target_cosine"].astype(np.float64) - margin)
    losses = np.logaddexp(0, recording["negative_lse"] - target_logit).reshape(15, 8).mean(1)
    logged = [float(row["loss"]) for row in rows(tmp_path / "metrics.csv")]
    assert losses.tolist() == pytest.approx(logged, rel=1e-6)
    assert recording.about["hardest_among"] == "all classes" and recording.about["negatives"] == "as they are"


def test_half_precision_rounds_and_the_weights_are_the_same(tmp_path):
    for name, recorder in (("off", False), ("half", True), ("single", "float32")):
        run(recipe(recorder=recorder), tmp_path / name)
    for name in ("half", "single"):
        assert_same_weights(tmp_path / "off", tmp_path / name)
    half, single = (fm.load_recording(tmp_path / name) for name in ("half", "single"))
    for name in COLUMNS:
        assert np.array_equal(half[name], single[name].astype(half[name].dtype)), name
    assert not (tmp_path / "off" / "recording").exists()


def test_it_may_be_switched_on_and_off_and_says_what_is_missing(tmp_path):
    run(recipe(epochs=1, recorder=False), tmp_path)
    run(recipe(epochs=2), tmp_path, resume=True)
    assert fm.load_recording(tmp_path).missing_steps == [(1, 5)]
    run(recipe(epochs=3, recorder=False), tmp_path, resume=True)
    recording = fm.load_recording(tmp_path)
    assert set(recording["step"]) == set(range(6, 11)) and recording.missing_steps == [(1, 5), (11, 15)]
    # Back to step 5 without a recorder: what was recorded after it belongs to steps that are taken again.
    for step, path in checkpoint_steps(tmp_path / "checkpoints").items():
        if step > 10:
            path.unlink()
    run(recipe(epochs=4, precision="float32", recorder="float32"), tmp_path, resume=True)
    recording = fm.load_recording(tmp_path)
    assert recording["step"].tolist() == np.repeat(np.arange(6, 21), 8).tolist()
    assert recording.missing_steps == [(1, 5)]
    assert recording["target_cosine"].dtype == np.float32


def test_a_run_that_goes_back_drops_the_steps_that_it_takes_again(tmp_path):
    """As after a kill between the recording's file and its checkpoint, or where the newest checkpoint is damaged."""
    made = recipe(checkpoint={"every_steps": 4, "keep": 9})
    run(made, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    for step, path in checkpoint_steps(tmp_path / "again" / "checkpoints").items():
        if step > 8:
            path.unlink()
    (tmp_path / "again" / "recording" / ".visits_0000.99.partial").write_bytes(b"half a file")
    run(made, tmp_path / "again", resume=True)
    whole, again = (fm.load_recording(tmp_path / name) for name in ("whole", "again"))
    for name in COLUMNS:
        assert np.array_equal(whole[name], again[name])
    assert not list((tmp_path / "again" / "recording").glob(".*"))


@pytest.mark.slow
@posix_only
@pytest.mark.long
def test_killed_and_resumed_it_is_the_recording_of_a_run_that_was_not(tmp_path):
    path = write_recipe(tmp_path, recorder="float32", validation={"data": []}, epochs=6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, err = run_process("train", path, "--output", whole)
    assert code == 0, out + err
    for step in (9, 20):
        stop_at_step(start("train", path, "--output", killed, "--resume"), killed / "metrics.csv", step)
    code, out, err = run_process("train", path, "--output", killed, "--resume")
    assert code == 0, out + err
    ours, theirs = fm.load_recording(killed), fm.load_recording(whole)
    assert len(theirs) == 6 * 40 and ours.missing_steps == []
    for name in COLUMNS:
        assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.slow
@pytest.mark.long
def test_several_processes_record_what_one_does(tmp_path):
    changes = {
        "backbone": {"name": "plain_network", "input_size": 16, "embedding_size": 16},
        "quality": {"name": "norm"},
        "validation": {"data": []},
        "augmentation": {"flip": 0.5},
    }
    plain = {**RECIPE, **changes, "precision": "float64", "recorder": "float32", "epochs": 3, "channels_last": False}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**plain, "checkpoint": {"every_steps": 4, "keep": 9}}))
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        code, text = run_many(processes, "train", path, "--output", folder, script=(PLAIN,))
        assert code == 0, text
        found.append(fm.load_recording(folder))
    one, two = found
    assert [last for last, _ in visits_files(tmp_path / "2" / "recording")] == [4, 4, 8, 8, 12, 12, 15, 15]
    assert_same_visits(one, two)
    # Go back to step 8, with one process in the place of two.
    for step, checkpoint in checkpoint_steps(tmp_path / "2" / "checkpoints").items():
        if step > 8:
            checkpoint.unlink()
    code, text = run_many(1, "train", path, "--output", tmp_path / "2", "--resume", script=(PLAIN,))
    assert code == 0, text
    assert_same_visits(one, fm.load_recording(tmp_path / "2"))


def assert_same_visits(one, two):
    assert one["step"].tolist() == two["step"].tolist() and two.missing_steps == []
    for name in COLUMNS:
        ours, theirs = one[name], two[name]
        if name in ("sample", "step", "hardest_class"):
            assert ours.tolist() == theirs.tolist(), name
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@posix_only
def test_a_full_disk_ends_the_run_with_its_checkpoint(tmp_path, monkeypatch):
    """From step 5 on the recorder writes to /dev/full, which has room for nothing."""
    opened, folder = RecordingWriter._opened, tmp_path / "run"

    def on_a_full_disk(self):
        if self.first_step == 5:
            self._partial.symlink_to("/dev/full")
        return opened(self)

    monkeypatch.setattr(RecordingWriter, "_opened", on_a_full_disk)
    made = recipe(checkpoint={"every_steps": 4, "keep": 9})
    message = (
        r"cannot write the recording in .*recording: .*No space left.*\. Nothing of the training is lost: its "
        r"checkpoint of step 8 is written.*The steps from 5 to 8 are not recorded"
    )
    with pytest.raises(OutputError, match=message):
        run(made, folder)
    assert list(checkpoint_steps(folder / "checkpoints")) == [4, 8]
    monkeypatch.setattr(RecordingWriter, "_opened", opened)
    run(made, folder, resume=True)
    assert fm.load_recording(folder).missing_steps == [(5, 8)]
    run(replace(made, recorder=False), tmp_path / "plain")
    assert_same_weights(folder, tmp_path / "plain")
    assert len(rows(folder / "metrics.csv")) == 15


def test_a_disk_that_fills_between_checkpoints_ends_the_run_there(tmp_path, monkeypatch):
    monkeypatch.setattr("facemargin.recording.writer.GROUP_ROWS", 8)
    written, calls = RecordingWriter._write, []

    def full(self, group, number):
        calls.append(number)
        if len(calls) == 3:
            self.problem = self._explained(OSError(28, "No space left on device"))
        else:
            written(self, group, number)

    monkeypatch.setattr(RecordingWriter, "_write", full)
    with pytest.raises(OutputError, match=r"its checkpoint of step [34] is written"):
        run(recipe(), tmp_path)
    assert list(checkpoint_steps(tmp_path / "checkpoints")) in ([3], [4])


def what_becomes_of_a_file(group, folder):
    """Two files of each process, the second of which process 1 cannot write: what is said, and what is there."""
    state = tiny_state(Processes(torch.device("cpu"), group), recorder=True)
    said = []
    with Recorder(folder, state, fm.open_images("orl:1-3")) as recorder:
        for step in (1, 2):
            recorder.add(training_step(state, random_batch(LABELS[4 * group.rank() :][:4]), 0.1).visits)
            if (step, group.rank()) == (2, 1):
                recorder._writer.problem = OutputError("cannot write the recording: the disk is full")
            recorder.end_file(step)
            try:
                recorder.check(step)
            except OutputError as error:
                said.append((step, str(error)))
    return said, [path.name for path in visits_files(folder).values()]


def test_a_file_that_one_process_cannot_write_no_process_keeps(tmp_path):
    for said, files in run_processes(what_becomes_of_a_file, 2, tmp_path / "recording"):
        ((step, message),) = said
        assert step == 2 and "The steps from 2 to 2 are not recorded" in message
        assert files == ["visits_00000001_0000.parquet", "visits_00000001_0001.parquet"]


def test_a_folder_that_cannot_be_written_to_is_said_before_the_first_step(tmp_path):
    (tmp_path / "recording").write_text("a file in its place")
    with pytest.raises(OutputError, match="cannot write the recording in"):
        run(recipe(), tmp_path)
    assert not (tmp_path / "metrics.csv").exists()


def test_a_run_that_fails_keeps_what_led_to_it(tmp_path, monkeypatch):
    step = trainer.training_step

    def failing(state, *arguments):
        if state.step == 7:
            raise RuntimeError("the power is gone")
        return step(state, *arguments)

    monkeypatch.setattr(trainer, "training_step", failing)
    with pytest.raises(RuntimeError):
        run(recipe(), tmp_path)
    assert fm.load_recording(tmp_path)["step"].max() == 7
    monkeypatch.setattr(trainer, "training_step", step)
    run(recipe(), tmp_path, resume=True)
    assert fm.load_recording(tmp_path)["step"].tolist() == np.repeat(np.arange(1, 16), 8).tolist()


def test_what_the_file_says_of_sampled_classes_and_of_other_negatives(tmp_path):
    head = {"name": "curricularface", "sample_rate": 0.5}
    run(recipe(head=head, epochs=1, data={**DATA, "synthetic_identities": ["mirrored"]}), tmp_path / "sampled")
    recording = fm.load_recording(tmp_path / "sampled")
    about = recording.about
    assert (about["hardest_among"], about["lse_among"]) == ("sampled classes", "sampled classes")
    assert about["negatives"] == "re-weighted by the margin" and about["margin"] == "curricularface"
    assert (about["num_classes"], about["num_samples"]) == (8, 80)
    # Synthetic people follow the real ones: sample 40 + i is the mirror image of sample i.
    assert recording.labels.tolist() == np.repeat(np.arange(8), 10).tolist()
    assert recording.identity_names[4:] == [f"{name} (mirrored)" for name in recording.identity_names[:4]]
    run(recipe(head={"name": "lh2face"}, epochs=1), tmp_path / "norms")
    assert fm.load_recording(tmp_path / "norms").about["scale"] == "feature_norm"


def test_what_has_no_head_has_no_recorder():
    with pytest.raises(ConfigError, match=r"recorder is True, but reconstruction\.mode is alone, which trains no"):
        tiny_recipe(recorder=True, reconstruction={"mode": "alone"})


def test_without_pyarrow_the_extra_is_named_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r'needs pyarrow: pip install "facemargin\[parquet\]"'):
        run(recipe(data={"train": "nowhere"}), tmp_path)
    assert not list(tmp_path.iterdir())
