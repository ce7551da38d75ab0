import gzip
import signal
import time
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from facemargin.data.open import open_images
from tests.commands.face_folder import write_faces
from tests.commands.tiny_recipe import RECIPE
from tests.processes import Program
from tests.systems import posix_only


def test_there_and_back(command, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 4))
    paths[4].write_bytes(b"nothing")
    code, out, err = command("convert", tmp_path / "faces", tmp_path / "shards", "--to", "webdataset")
    assert code == 0 and f"{paths[4]}: not an image" in err and "warning: 1 of 9 images cannot be read" in err
    assert out == f"8 images written as webdataset, read back and the same; {tmp_path}/shards\n"
    assert command("convert", tmp_path / "shards", tmp_path / "records")[0] == 0
    found = open_images(tmp_path / "records")
    assert found.identity_names == ["s1", "s2", "s3"] and found.read_encoded(7) == paths[8].read_bytes()


def test_a_list_with_its_root(command, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 3))
    (tmp_path / "faces.lst").write_text("".join(f"{path.name}\t{path.parent.name}\n" for path in paths[:3]))
    code, out, _ = command("convert", tmp_path / "faces.lst", tmp_path / "out", "--root", tmp_path / "faces" / "s1")
    assert code == 0 and out.startswith("3 images written as recordio")


@pytest.mark.parametrize("to", ["recordio", "folder", "list", "webdataset", "parquet"])
def test_images_without_a_label_are_counted(command, tmp_path, to):
    paths = write_faces(tmp_path / "faces", range(1, 3))
    lines = [
        f"faces/{path.parent.name}/{path.name},{-1 if n < 2 else path.parent.name}\n" for n, path in enumerate(paths)
    ]
    (tmp_path / "faces.csv").write_text("path,label\n" + "".join(lines))
    code, out, err = command("convert", tmp_path / "faces.csv", tmp_path / "out", "--to", to)
    assert code == 0 and out.startswith(f"{len(paths) - 2} images written") and "were left out: 2" in err
    assert len(open_images(tmp_path / "out")) == len(paths) - 2
    out = command("data", "inspect", tmp_path / "faces.csv")[1]
    assert f"{len(paths) - 2}, and 2 without a label" in out
    assert '"unlabelled": 2' in command("data", "inspect", tmp_path / "faces.csv", "--json")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "facemargin convert: nowhere does not exist"),
        (["orl:1", "."], "facemargin convert: . cannot be the name of a new folder; give one such as recordio"),
        (["orl:1", "out/..", "--to", "list"], "out/.. cannot be the name of a new folder; give"),
        (["orl:1", Path(__file__).parent], "commands exists already; give another destination"),
        (["orl:1", "out", "--to", "zip"], "zip"),
        (["https://host/a.tar", "out"], "only read from local files"),
    ],
)
def test_mistakes(command, arguments, message):
    code, out, err = command("convert", *arguments)
    assert code == 2 and message in out + err


@posix_only
@pytest.mark.slow
def test_a_killed_process_is_gone_on_with(command, tmp_path):
    """The command itself, killed at some moment after its first note of progress."""
    arguments = ["convert", "orl-full", str(tmp_path / "out"), "--to", "list"]
    process = Program("-m", "facemargin", *arguments)
    try:
        journal = tmp_path / "out.partial" / ".conversion" / "journal.json"
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline and not journal.exists():
            time.sleep(0.002)
        time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "out").exists()
    assert command(*arguments)[0] == 0
    assert len(open_images(tmp_path / "out")) == 400


@pytest.mark.parametrize("to", ["webdataset", "parquet"])
def test_training_from_sets_in_blocks_is_the_same_with_workers_and_after_a_stop(command, tmp_path, to, monkeypatch):
    monkeypatch.setattr("facemargin.data.formats.parquet.BLOCK_IMAGES", 4)
    monkeypatch.setattr("facemargin.data.formats.block_images.BLOCK_IMAGES", 4)
    assert command("convert", "orl:1-4", tmp_path / "set", "--to", to)[0] == 0
    for path in (tmp_path / "set").glob("*.tar"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert open_images(tmp_path / "set").blocks is not None
    content = RECIPE | {"data": {"train": str(tmp_path / "set"), "workers": 0}, "batch_size": 8, "epochs": 2}
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(content | {"checkpoint": {"every_steps": 3, "keep": 10}}))
    for name, options in (("a", []), ("b", ["--data.workers", "2"])):
        assert command("train", recipe, "--output", tmp_path / name, *options)[0] == 0
    for step in (6, 9, 10):
        (tmp_path / "b" / "checkpoints" / f"step_{step:08d}.pt").unlink()
    model = tmp_path / "b" / "model.safetensors"
    model.unlink()
    code, out, _ = command("train", recipe, "--output", tmp_path / "b", "--data.workers", "2", "--resume")
    assert code == 0 and "after step 3" in out
    first, second = (load_file(tmp_path / name / model.name) for name in ("a", "b"))
    assert all((first[key] == second[key]).all() for key in first)
