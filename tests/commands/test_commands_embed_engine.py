"""`facemargin embed … --output FOLDER` by several processes: the files of one process, byte for byte."""

import json
import sys

import numpy as np
import pytest

from facemargin.cli import main
from facemargin.commands._face_source import FaceSource
from facemargin.data.source import ArrayImages
from tests.commands.face_folder import write_crfiqa_model, write_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """model.safetensors, and the folder faces with 20 images, of which two cannot be read."""
    folder = tmp_path_factory.mktemp("engine")
    write_crfiqa_model(folder / "model.safetensors")
    paths = write_faces(folder / "faces", range(1, 3), each=10)
    paths[5].write_bytes(paths[5].read_bytes()[:100])
    paths[19].write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "stored"
    assert main(["embed", str(faces / "model.safetensors"), str(faces / "faces"), "--output", str(folder), *FEW]) == 0
    return folder


FEW = ("--batch-size", "2")


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_parts_and_then_the_whole(command, faces, whole, tmp_path):
    arguments = ["embed", faces / "model.safetensors", faces / "faces", "--output", tmp_path / "stored", *FEW]
    code, out, err = command(*arguments, "--shard", "2/3")
    assert (code, err) == (0, "")
    assert out == (
        "part 2 of 3: 3 pieces of 10, 6 images of 20; when all parts are done, the same command without --shard puts "
        f"them together; {tmp_path}/stored\n"
    )
    assert not (tmp_path / "stored" / "images.csv").exists()
    assert command(*arguments, "--shard", "1/3")[1].startswith("part 1 of 3: 3 pieces of 10, 6 images of 20")
    assert command(*arguments, "--shard", "3/3")[1].startswith("part 3 of 3: 4 pieces of 10, 8 images of 20")
    code, out, err = command(*arguments)
    assert (code, out) == (0, f"18 embeddings of 8 values, quality: CR-FIQA's prediction; {tmp_path}/stored\n")
    assert "warning: 2 of 20 images cannot be read and were left out" in err
    assert files_of(tmp_path / "stored") == files_of(whole)


def test_what_another_process_noticed_is_told_like_what_this_one_did(capsys, tmp_path):
    images = ArrayImages([np.zeros((20, 16 + 4 * (index > 1), 3), np.uint8) for index in range(4)])
    here, reader, teller = (FaceSource(images, detect=False) for _ in range(3))
    for piece in (range(2, 4), range(2)):
        for index in piece:
            here.read(index), reader.read(index)
        notes = json.loads(json.dumps(reader.take_notes()))
        teller.add_notes(notes)
    assert reader.take_notes() == {"read": 0, "sizes": {}, "several": {}}
    here.warn()
    expected = capsys.readouterr().err
    assert "2 of 4 images were squashed to a square" in expected
    teller.warn()
    assert capsys.readouterr().err == expected
    teller.add_notes({"read": 1, "sizes": {}, "several": {"3": "2, used is the one at 0, 0 to 9, 9"}})
    teller.warn()
    assert "1 of 5 images shows several faces" in capsys.readouterr().err


def test_a_set_in_tar_files_of_which_one_is_cut_off(command, faces, tmp_path, caplog):
    assert command("convert", faces / "faces", tmp_path / "set", "--to", "webdataset")[0] == 0
    (shard,) = (tmp_path / "set").glob("*.tar")
    content = shard.read_bytes()
    shard.rename(tmp_path / "set" / "a.tar")
    (tmp_path / "set" / "b.tar").write_bytes(content[: len(content) // 2])
    code, out, err = command(
        "embed", faces / "model.safetensors", tmp_path / "set", "--output", tmp_path / "stored", *FEW
    )
    assert code == 0 and "embeddings of 8 values" in out
    assert err == "" and f"{tmp_path}/set/b.tar: damaged or truncated: the file ends inside the member" in caplog.text
    rows = (tmp_path / "stored" / "images.csv").read_text().splitlines()
    assert len(rows) == 1 + len(np.load(tmp_path / "stored" / "norms.npy"))
    assert rows[1].startswith(f"0,{tmp_path}/set/a.tar")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "auto"], "--address needs --engine ray: add --engine ray, or remove --address"),
        (["--engine", "ray", "--shard", "1/2"], "--engine ray divides the images itself: remove --shard"),
        (["--engine", "ray", "--output", "e.npz"], "--engine ray writes a folder of arrays, but --output is e.npz"),
        (["--shard", "1/2", "--output", "e.npz"], "--shard writes a folder of arrays, but --output is e.npz"),
        (["--shard", "0/2"], "--shard is '0/2', expected K/N with K from 1 to N"),
        (["--shard", "3/2"], "--shard is '3/2', expected K/N with K from 1 to N"),
        (["--shard", "half"], "--shard is 'half', expected K/N with K from 1 to N"),
        (["--engine", "ray", "--video"], "expected a name that ends in .npz with --video"),
        (["--engine", "ray", "--by-folder"], "--by-folder writes one embedding per folder"),
        (["--engine", "ray"], '--engine ray needs ray.data: pip install "facemargin[scale]"'),
    ],
)
def test_options_that_do_not_go_together(command, faces, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    output = [] if "--output" in options else ["--output", "stored"]
    code, out, err = command("embed", faces / "model.safetensors", faces / "faces", *output, *options)
    assert code == 2 and message in out + err
    assert list(tmp_path.iterdir()) == []
