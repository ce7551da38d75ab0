"""The package that docs/extending.md describes, as pip would install it, and the command line beside it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import facemargin
from tests.docs.docs_pages import ROOT, blocks_of

PAGE = ROOT / "docs" / "extending.md"


class Installed:
    """A folder on the path with installed packages, and programs that see them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, files: dict[str, str], entry_points: dict[str, str]) -> None:
        """The package `name` of such files, and an entry point of each kind of facemargin's plugins."""
        lines = [f"{kind} = {module}" for kind, module in entry_points.items()]
        files = {
            **files,
            f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{name}-1.0.dist-info/entry_points.txt": "\n".join(["[facemargin.plugins]", *lines, ""]),
        }
        for place, text in files.items():
            path = self.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def python(self, *arguments: object, columns: int = 200) -> subprocess.CompletedProcess[str]:
        paths = [str(self.folder), str(Path(facemargin.__file__).parents[1])]
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": str(columns), "OMP_NUM_THREADS": "1"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def facemargin(self, *arguments: object) -> str:
        """What the command line prints; it must end well and say nothing else."""
        done = self.python("-m", "facemargin", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def answers(self, command_lines: dict[str, list[object]]) -> dict[str, tuple[int, str, str]]:
        """(exit code, stdout, stderr) of each command line by its key, all in one process, which imports torch once."""
        lines = {key: [str(word) for word in words] for key, words in command_lines.items()}
        done = self.python("-c", _SEVERAL, json.dumps(lines))
        assert done.returncode == 0, done.stderr
        return {key: (code, out, err) for key, (code, out, err) in json.loads(done.stdout.splitlines()[-1]).items()}


_SEVERAL = """
import contextlib, io, json, logging, sys
from facemargin.cli import main
answers = {}
for key, words in json.loads(sys.argv[1]).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as exit:
            code = exit.code
    answers[key] = (code or 0, out.getvalue(), err.getvalue())
print(json.dumps(answers))
"""


def install_toy_faces(folder: Path) -> Installed:
    """The page's package: every block of Python is the file that its first line names."""
    installed = Installed(folder)
    blocks = blocks_of(PAGE)
    (project,) = (tomllib.loads(block.code) for block in blocks if block.language == "toml")
    modules = [block.code for block in blocks if block.language == "python"]
    files = {code.splitlines()[0].removeprefix("# "): code for code in modules}
    entry_points = project["project"]["entry-points"]["facemargin.plugins"]
    installed.add("toy_faces", {"toy_faces/__init__.py": "", **files}, entry_points)
    return installed
