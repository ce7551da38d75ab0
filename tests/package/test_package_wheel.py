"""What a user installs: the wheel holds the whole package and works in an environment without the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import facemargin as fm

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "facemargin"
SMALL = ["--backbone.input-size", "16", "--backbone.width", "4", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    # A copy: what an earlier build left beside the sources would be packed, too.
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(folder), str(source)], check=True, timeout=240)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Its folder of programs. The dependencies are those of the tests' environment, which is not what is tested."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / Path(sys.executable).name
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A folder that a .pth file names is searched last, and the .pth file of an editable installation in it is not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    run(python, *install)
    return programs


def run(program: Path, *arguments: str, cwd: Path | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
        env={**clean, "COLUMNS": "120", "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    tracked = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {path.relative_to(ROOT / "src").as_posix() for path in tracked}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    assert packed == expected
    assert f"\nVersion: {fm.__version__}\n" in metadata and "\nLicense-Expression: MIT\n" in metadata
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert all(f"\nProvides-Extra: {extra}\n" in metadata for extra in extras)


@pytest.mark.slow
@pytest.mark.long
def test_the_wheel_trains_and_embeds_without_the_repository(environment, tmp_path):
    facemargin = environment / ("facemargin.exe" if os.name == "nt" else "facemargin")
    where = run(
        environment / Path(sys.executable).name, "-c", "import facemargin; print(facemargin.__file__)", cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(environment.parent)
    assert run(facemargin, "--version", cwd=tmp_path).strip() == f"facemargin {fm.__version__}"
    assert "small_cpu" in run(facemargin, "list", "recipes", cwd=tmp_path)
    run(facemargin, "train", "small_cpu", "--data.train", "orl:1-3", "--output", "run", *SMALL, cwd=tmp_path)
    run(facemargin, "evaluate", "run", "--data", "orl:4-6", cwd=tmp_path)
    assert "<svg" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
