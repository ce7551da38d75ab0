"""The package on other systems than Linux, as far as Linux can show them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.photo_folder import write_photographs
from tests.package.as_on_windows import ABSENT_MODULES, environment_of
from tests.training.run_process import rows, write_faces, write_recipe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a stand-in for Windows, made for Linux")

# A child that holds what it was started with until its input ends.
_HOLDS = """
import sys
from facemargin.files.locks import hold
file = open(sys.argv[1], "ab")
hold(file)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def as_on_windows(tmp_path):
    environment = environment_of(tmp_path / "start")

    def run(*command):
        result = subprocess.run(
            [sys.executable, *map(str, command)],
            env=environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            encoding="cp1252",
            timeout=900,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run.environment = environment
    return run


@pytest.mark.slow
def test_every_module_is_imported(as_on_windows):
    out = as_on_windows(
        "-c",
        "import importlib, pkgutil, sys, facemargin\n"
        "for module in pkgutil.walk_packages(facemargin.__path__, 'facemargin.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sys.modules)",
    )
    imported = set(out.split())
    modules = Path(__file__).parents[2] / "src/facemargin"
    assert len([name for name in imported if name.startswith("facemargin.")]) >= len([*modules.rglob("[a-z]*.py")])
    assert not imported & ABSENT_MODULES


@pytest.mark.slow
@pytest.mark.long
def test_sets_are_converted_photographs_aligned_and_a_model_trained_continued_and_used(as_on_windows, tmp_path):
    write_faces(tmp_path / "faces")
    write_photographs(tmp_path / "photos", range(1, 2))
    data = {"train": str(tmp_path / "recordio"), "workers": 1}
    recipe = write_recipe(tmp_path, data=data, epochs=2, validation={"data": []})
    train = ["train", recipe, "--output", tmp_path / "run"]
    formats = ("recordio", "folder", "list", "webdataset", "parquet")
    commands = [
        *(["convert", tmp_path / "faces", tmp_path / to, "--to", to] for to in formats),
        train,
        [*train, "--resume", "--epochs", 3],
        ["embed", tmp_path / "run", tmp_path / "folder", "--output", tmp_path / "features"],
        ["align", tmp_path / "photos", "--output", tmp_path / "aligned"],
        ["report", tmp_path / "run"],
    ]
    (tmp_path / "recordio").mkdir()  # an empty folder may be there
    commands = [list(map(str, command)) for command in commands]
    out = as_on_windows(
        "-c",
        f"import facemargin.cli\nfor command in {commands!r}:\n    assert facemargin.cli.main(command) == 0, command",
    )
    assert "2 faces aligned" in out
    assert not [path for path in tmp_path.rglob("*") if path.name in (".conversion", "lock") or ".partial" in path.name]
    assert rows(tmp_path / "run" / "metrics.csv")[-1]["epoch"].startswith("3")


def test_a_lock_keeps_others_out_and_lets_read(as_on_windows, tmp_path):
    path = tmp_path / "held"
    path.write_bytes(b"content")
    held = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, path],
        env=as_on_windows.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout.readline() == b"held\n"
    tries = f"""
from facemargin.files.locks import hold
file = open({str(path)!r}, "r+b")
file.read(3)
try:
    hold(file)
    print("held", file.read())
except BlockingIOError:
    print("refused", file.read())
"""
    assert as_on_windows("-c", tries).strip() == "refused b'tent'"
    held.communicate()
    assert as_on_windows("-c", tries).strip() == "held b'tent'"
    assert path.stat().st_size == len(b"content") and os.access(path, os.R_OK)
