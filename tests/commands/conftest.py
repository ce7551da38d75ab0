"""A tiny trained run, made once."""

from pathlib import Path

import pytest
import yaml

from facemargin.cli import main
from tests.commands.tiny_recipe import RECIPE


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory) -> Path:
    """The folder of a run trained on people 1 to 4; tests write their evaluations elsewhere."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    assert main(["train", str(recipe), "--output", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module", autouse=True)
def _few_resamples(few_resamples) -> None:
    """Verbs are tested for what they do with intervals."""


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs a command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:  # tyro's
            code = exit.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run
