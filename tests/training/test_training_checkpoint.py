import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from facemargin.errors import CheckpointError, OutputError
from facemargin.files.atomic import remove_partial_files, write_atomically, write_text_atomically
from facemargin.models.info import ModelInfo, save_model
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint, load_checkpoint, save_checkpoint
from tests.systems import posix_only


def state(step, size=10):
    return {"step": step, "weights": {"a": torch.arange(size, dtype=torch.float32)}, "rate": 0.5}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_reads_back(tmp_path):
    path = save_checkpoint(tmp_path / "new" / "checkpoints", 12, state(12), keep=2)
    assert path.name == "step_00000012.pt"
    loaded = load_checkpoint(path)
    assert loaded["step"] == 12 and loaded["rate"] == 0.5
    torch.testing.assert_close(loaded["weights"]["a"], torch.arange(10.0))
    assert latest_checkpoint(path.parent)[0] == path


def test_no_checkpoint_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path, keep):
    for step in (3, 8, 9, 10, 11, 100):
        save_checkpoint(tmp_path, step, state(step), keep)
        steps = list(checkpoint_steps(tmp_path))
        assert steps == [s for s in (3, 8, 9, 10, 11, 100) if s <= step][-keep:]
        assert latest_checkpoint(tmp_path)[1]["step"] == step


def test_latest_is_by_number_not_by_text(tmp_path):
    for name in ("step_9.pt", "step_10.pt", "step_100000000.pt", "step_99999999.pt"):
        step = int(name[5:-3])
        torch.save(state(step), tmp_path / name)
    (tmp_path / "step_200000000.pt.bak").touch()
    (tmp_path / "step_x.pt").touch()
    assert list(checkpoint_steps(tmp_path)) == [9, 10, 99999999, 100000000]
    assert latest_checkpoint(tmp_path)[1]["step"] == 100000000


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, damage):
    good = save_checkpoint(tmp_path, 9, state(9, 5000), keep=2)
    bad = save_checkpoint(tmp_path, 10, state(10, 5000), keep=2)
    content = bytearray(bad.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    damages = {"truncated": content[: len(content) // 2], "empty": b"", "flipped": content, "text": b"no checkpoint"}
    bad.write_bytes(damages[damage])
    path, loaded = latest_checkpoint(tmp_path)
    assert path == good and loaded["step"] == 9
    assert bad.name in caplog.text
    with pytest.raises(CheckpointError, match=bad.name):
        load_checkpoint(bad)


def test_a_damaged_checkpoint_does_not_push_out_a_good_one(tmp_path):
    save_checkpoint(tmp_path, 98, state(98), keep=2)
    save_checkpoint(tmp_path, 104, state(104), keep=2).write_bytes(b"damaged")
    # The run goes back to 98 and now keeps one checkpoint.
    save_checkpoint(tmp_path, 100, state(100), keep=1)
    assert latest_checkpoint(tmp_path)[1]["step"] == 100
    save_checkpoint(tmp_path, 104, state(104), keep=1)
    assert list(checkpoint_steps(tmp_path)) == [104]
    assert latest_checkpoint(tmp_path)[1]["step"] == 104


def test_only_damaged_checkpoints_are_an_error_that_names_the_newest(tmp_path):
    for step in (9, 10):
        save_checkpoint(tmp_path, step, state(step), keep=2).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"step_00000010\.pt"):
        latest_checkpoint(tmp_path)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle"])
def test_a_hostile_checkpoint_runs_no_code(tmp_path, form):
    path, trap = tmp_path / "step_00000001.pt", tmp_path / "trap"
    hostile = {"step": 1, "weights": Malicious(trap)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, path, _use_new_zipfile_serialization=form == "torch")
    message = "more than tensors and numbers" if form == "torch" else "cannot read"
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert not trap.exists()
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert trap.exists()  # it is dangerous indeed


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, torch.zeros(3)])
def test_a_file_of_something_else_is_named(tmp_path, content):
    path = tmp_path / "step_00000001.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"step_00000001\.pt is not a facemargin checkpoint"):
        load_checkpoint(path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    write_text_atomically(path, "old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError("no space left")

    with pytest.raises(OutputError, match=r"cannot write .*file\.txt: no space left"):
        write_atomically(path, half)
    assert names(tmp_path) == ["file.txt"] and path.read_text() == "old"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_other_exceptions_pass_and_leave_no_partial_file(tmp_path, kind):
    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise kind

    with pytest.raises(kind):
        write_atomically(tmp_path / "file.txt", half)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/checkpoints/step_00000001\.pt"):
        save_checkpoint(tmp_path / "file" / "checkpoints", 1, state(1), keep=1)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    save_checkpoint(tmp_path, 1, state(1), keep=1)
    (tmp_path / ".step_00000002.pt.4711.partial").write_bytes(b"half")
    remove_partial_files(tmp_path)
    assert names(tmp_path) == ["step_00000001.pt"]


SAVE = """
import resource, sys, torch
from pathlib import Path
from facemargin.errors import OutputError
from facemargin.training.checkpoint import save_checkpoint
folder = Path(sys.argv[1])
state = lambda step: {"step": step, "weights": torch.full((100_000,), float(step))}
save_checkpoint(folder, 9, state(9), keep=1)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_checkpoint(folder, 10, state(10), keep=1)
        print(limit, "saved")
    except OutputError as error:
        print(limit, error)
"""


@posix_only
def test_a_full_disk_names_the_file_and_leaves_the_earlier_checkpoint(tmp_path):
    # A limit on the size of files fails a write as a full disk does, in the kernel.
    limits = ["100000", "300000", "400500"]  # in the middle of the tensor, near its end, in the archive's directory
    command = [sys.executable, "-c", SAVE, str(tmp_path), *limits]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.split()[0] in limits]
    for limit, line in zip(limits, lines, strict=True):
        assert line.startswith(f"{limit} cannot write {tmp_path / 'step_00000010.pt'}: ")
    assert names(tmp_path) == ["step_00000009.pt"]
    assert torch.all(load_checkpoint(tmp_path / "step_00000009.pt")["weights"] == 9)


def test_the_limits_of_that_test_are_below_a_checkpoints_size(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"step": 1, "weights": torch.zeros(100_000)}, keep=1)
    assert path.stat().st_size > 400_500
    assert zipfile.is_zipfile(path)


@posix_only
def test_a_full_disk_while_the_model_is_written(tmp_path):
    import resource

    path = tmp_path / "model.safetensors"
    info = ModelInfo(backbone="small_resnet", options={}, embedding_size=8, input_size=16, loss="funface")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*model\.safetensors"):
            write_atomically(path, lambda temporary: save_model(temporary, {"w": torch.zeros(10_000)}, info))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "rows", [{"rows": {}}, {"rows": 3, "classes": [0, 5]}, {"rows": {"w": "x"}, "classes": [0, 5]}]
)
def test_rows_that_are_none_are_a_damaged_checkpoint(tmp_path, rows):
    torch.save({"step": 3, **rows}, tmp_path / "step_00000003.rows_00000000.pt")
    main = {"step": 3, "num_classes": 5, "row_files": ["step_00000003.rows_00000000.pt"]}
    torch.save(main, tmp_path / "step_00000003.pt")
    with pytest.raises(CheckpointError, match=r"step_00000003\.pt does not say which rows of centres there are"):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_of_other_objects_is_refused(tmp_path):
    """A key that is nested deeply would end torch's own reader, and the process with it."""
    torch.save({"step": 3, "state": {(1, (2, (3,))): 1}}, tmp_path / "step_00000003.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors and numbers"):
        load_checkpoint(tmp_path / "step_00000003.pt")


def test_torch_has_no_part_in_reading_a_checkpoint(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path, 12, state(12) | {"rows": {"weight": torch.arange(10.0).reshape(5, 2)}}, keep=1)
    monkeypatch.setattr(torch, "load", None)
    assert torch.equal(load_checkpoint(path)["weights"]["a"], torch.arange(10.0))
    saved = latest_checkpoint(tmp_path, class_range_of=lambda num_classes: (1, 3))[1]
    assert saved["rows"]["weight"].tolist() == [[2, 3], [4, 5]] and saved["rate"] == 0.5


def test_tensors_are_read_wherever_they_may_be(tmp_path):
    shared = torch.arange(3.0)
    nested = {"step": 3, "list": [{1: shared}, [shared, (1, "two", None)]], "betas": (0.9, 0.999)}
    loaded = load_checkpoint(save_checkpoint(tmp_path, 3, nested, keep=1))
    assert loaded["list"][0][1].tolist() == loaded["list"][1][0].tolist() == [0, 1, 2]
    assert loaded["list"][1][1] == (1, "two", None) and loaded["betas"] == (0.9, 0.999)
    torch.save({"step": 4, "pair": (shared, 1)}, tmp_path / "step_00000004.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors and numbers"):
        load_checkpoint(tmp_path / "step_00000004.pt")


def test_tensors_that_share_a_storage_cannot_outgrow_the_file(tmp_path):
    shared = torch.ones(1000)
    torch.save({"step": 3} | {f"view {n}": shared.view(10, 100) for n in range(50)}, tmp_path / "step_00000003.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors and numbers") as caught:
        load_checkpoint(tmp_path / "step_00000003.pt")
    assert "its tensors take 200,000 bytes" in str(caught.value.__cause__)
