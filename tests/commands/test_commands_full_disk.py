"""A full disk in the middle of every verb that writes: one clear line, exit code 2, and what was there stays as it was.

A limit on the size of files, in a process of its own, stands for the disk: the kernel refuses the write as it would.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from facemargin.cli import main
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write_photographs
from tests.systems import posix_only

pytestmark = [pytest.mark.slow, posix_only]


def run(*arguments, limit=None):
    """Exit code, and all that is printed."""
    ours, theirs = os.pipe()
    import resource

    if os.fork() == 0:
        code = 99
        try:
            sys.stdout = sys.stderr = os.fdopen(theirs, "w")
            os.environ["COLUMNS"] = "1000"
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            code = main([str(argument) for argument in arguments])
            sys.stdout.flush()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, errors="replace") as file:
        said = file.read()
    return os.waitstatus_to_exitcode(os.wait()[1]), said


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_says_so(verb, code, said, where):
    last = said.strip().splitlines()[-1]
    assert code == 2, said
    assert "Traceback" not in said and last.startswith(f"facemargin {verb}: ") and str(where) in last, said
    assert "File too large" in last, said


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    write_crfiqa_model(folder / "model.safetensors")
    write_faces(folder / "faces", range(1, 4), each=2)
    write_photographs(folder / "photos", range(1, 2))
    lists = {"gallery": range(1, 4), "probe": range(1, 4)}
    for number, (name, people) in enumerate(lists.items(), 1):
        lines = ["image,identity", *(f"s{person}/s{person}_{number:04d}.jpg,{person}" for person in people)]
        (folder / "faces" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


# verb -> its arguments, where OUT is what it writes, and the bytes that a file may have
REPLACED = {
    "embed": ("MODEL FACES --output OUT.npz", 300),
    "quality": ("MODEL FACES --output OUT.csv", 20),
    "calibrate": ("MODEL --pairs orl:1-3 --output OUT.json", 300),
    "convert-weights": ("MODEL OUT.safetensors", 300),
    "export": ("MODEL --output OUT.onnx", 300),
    "detect": ("PHOTOS --output OUT.csv", 100),
    "evaluate": ("MODEL --data orl:1-3 --output OUT", 300),
    "report": ("OUT", 300),
}
NEW = {
    "convert": ("FACES OUT --to parquet", 1000),
    "make-pairs": ("orl:1-4 --output OUT --pairs 4 --folds 1", 1000),
    "degrade": ("orl:1-2 --kind noise --output OUT", 100),
    "embed": ("MODEL FACES --output OUT", 50),
    "align": ("PHOTOS --output OUT", 1000),
    "evaluate": ("MODEL --data FACES --protocol identification --output OUT", 50),
}


def arguments_of(verb, text, place, out):
    if verb == "convert-weights":  # from another project's file
        text = text.replace("MODEL", "FOREIGN")
    names = {"MODEL": place / "model.safetensors", "FACES": place / "faces", "PHOTOS": place / "photos"}
    for name, path in {**names, "FOREIGN": place / "mbf.pt", "OUT": out}.items():
        text = text.replace(name, str(path))
    return [verb, *text.split(" ")]


@pytest.mark.slow
@pytest.mark.parametrize("verb", REPLACED)
def test_an_earlier_output_stays_byte_for_byte(verb, place, tmp_path):
    if verb == "convert-weights":
        write_foreign_checkpoint(place / "mbf.pt")
    text, limit = REPLACED[verb]
    arguments = arguments_of(verb, text, place, tmp_path / "out")
    (tmp_path / "out").mkdir()
    for name in ("report.html", "environment.json", "metrics.csv"):
        (tmp_path / "out" / name).write_text(
            '{"python": "3"}' if name == "environment.json" else "step,loss\n1,2.0\n2,1.0\n"
        )
    for argument in arguments:
        if argument.startswith(f"{tmp_path}/out."):
            Path(argument).write_text("earlier")
    before = contents(tmp_path)
    code, said = run(*arguments, limit=limit)
    assert_says_so(verb, code, said, tmp_path)
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.slow
@pytest.mark.parametrize("verb", NEW)
def test_a_new_output_is_finished_when_there_is_room_again(verb, place, tmp_path):
    text, limit = NEW[verb]
    (tmp_path / "earlier").write_text("kept")
    arguments = arguments_of(verb, text, place, tmp_path / "out")
    code, said = run(*arguments, limit=limit)
    assert_says_so(verb, code, said, tmp_path)
    assert (tmp_path / "earlier").read_text() == "kept"
    if verb in ("convert", "make-pairs", "degrade"):
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.bin").exists()
    code, said = run(*arguments)
    assert code == 0, said
    left = [path.name for path in tmp_path.rglob("*") if "partial" in path.name]
    assert not left


def write_foreign_checkpoint(path):
    """An InsightFace file, for a converted one to be written anew."""
    import torch

    from facemargin.backbones import create_backbone

    torch.manual_seed(0)
    torch.save(create_backbone("mobilefacenet", 8, input_size=16).state_dict(), path)
