"""`facemargin embed … --engine ray` on a cluster of this machine's processes: interrupted, continued, one of them
killed on the way. Only where Ray is installed: `make test-scale`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.processes import run_program
from tests.systems import linux_only

pytest.importorskip("ray")
pytestmark = [linux_only, pytest.mark.slow]


@pytest.fixture
def short_folder():
    """A temporary folder with a short name: the paths of Ray's sockets have at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def parents():
    """{process: its parent}"""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    return found


def below(process):
    """The processes that a process has started, and those that they have started."""
    parent, found = parents(), {process}
    while more := {child for child, its in parent.items() if its in found} - found:
        found |= more
    return found - {process}


def title(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def rows_done(folder):
    """How many images are in the arrays or in pieces."""
    pieces = [*folder.glob("pieces/*-*.npz")]
    manifest = folder / "manifest.json"
    return len(pieces) + (json.loads(manifest.read_text())["done"] if manifest.exists() else 0)


def wait_for(condition, process):
    """What the condition returns, once that is true."""
    for _ in range(60_000):
        if found := condition():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it takes too long")


def start(arguments, environment):
    command = [sys.executable, "-m", "facemargin", *map(str, arguments), "--engine", "ray"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )


def _heed_ctrl_c():
    """What a shell starts in the background ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(arguments, environment, stored, number):
    """The exit code and stderr of a run that gets this signal once it has done more images."""
    done = rows_done(stored)
    process = start(arguments, environment)
    wait_for(lambda: rows_done(stored) > done, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=900)
    return process.returncode, err


def test_interrupted_continued_and_a_process_killed(tmp_path, short_folder):
    write_crfiqa_model(tmp_path / "model.safetensors")
    paths = write_faces(tmp_path / "faces", range(1, 31), each=10)
    paths[5].write_bytes(paths[5].read_bytes()[:100])
    stored = tmp_path / "stored"
    arguments = ["embed", tmp_path / "model.safetensors", tmp_path / "faces", "--batch-size", "1", "--output"]
    home = short_folder / "home"
    home.mkdir()
    environment = os.environ | {"TMPDIR": str(short_folder), "OMP_NUM_THREADS": "1", "HOME": str(home)}

    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = rows_done(stored)
        ended, err = stopped([*arguments, stored], environment, stored, number)
        assert (ended, "Traceback" in err) == (code, False), err
        assert "of 300 images are done, and the same command continues" in err
        done = rows_done(stored)
        assert before < done < 300

    second = start([*arguments, stored], environment)
    wait_for(lambda: rows_done(stored) > done, second)
    embedders = wait_for(lambda: [p for p in below(second.pid) if "_EmbedPieces" in title(p)], second)
    os.kill(embedders[0], signal.SIGKILL)
    out, err = second.communicate(timeout=900)
    assert second.returncode == 0 and "299 embeddings of 8 values" in out, err
    assert "warning: 1 of 300 images cannot be read and was left out" in err

    code, _, err = run_program("-m", "facemargin", *arguments, tmp_path / "whole")
    assert code == 0, err
    written, expected = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (stored, tmp_path / "whole")
    )
    assert written == expected
    assert [*short_folder.iterdir()] == [home] and [*home.iterdir()] == []
    for _ in range(100):
        if not (left := [process for process in parents() if f"{short_folder}/" in title(process)]):
            break
        time.sleep(0.1)
    assert not left


def test_an_error_in_a_process_is_the_error_of_the_command(tmp_path, short_folder):
    write_faces(tmp_path / "faces", range(1, 2), each=1)
    environment = os.environ | {"TMPDIR": str(short_folder), "OMP_NUM_THREADS": "1"}
    arguments = ["embed", tmp_path / "none.safetensors", tmp_path / "faces", "--output", tmp_path / "stored"]
    process = start(arguments, environment)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 2
    assert (
        err.startswith(f"facemargin embed: there is no model file {tmp_path}/none.safetensors") and "\n" not in err[:-1]
    )
    assert not (tmp_path / "stored").exists()
