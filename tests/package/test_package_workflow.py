"""The hosted workflow, as far as can be said without running it."""

import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((REPOSITORY / ".github/workflows/check.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def steps_of(job: str) -> list[dict]:
    return WORKFLOW["jobs"][job]["steps"]


def test_the_tests_run_on_every_system_and_python_that_the_package_names():
    matrix = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert matrix["python"] == named == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert [system.partition("-")[0] for system in matrix["system"]] == ["ubuntu", "macos", "windows"]
    assert len(list(product(matrix["system"], matrix["python"]))) == 12


def test_what_runs_on_every_system_needs_no_shell_of_one():
    commands = [step["run"] for step in steps_of("tests") if "run" in step]
    assert commands
    for command in commands:
        assert re.fullmatch(r'python -m (pip|pytest) [\w\s\-.="\[\]]+', command), command
    assert steps_of("tests")[0]["uses"].startswith("actions/checkout@")


@pytest.mark.parametrize("job", WORKFLOW["jobs"])
def test_actions_are_pinned_and_jobs_end(job):
    assert WORKFLOW["jobs"][job]["timeout-minutes"] <= 60
    used = [step["uses"] for step in steps_of(job) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", action), f"{action} is not pinned to a version of GitHub's own"
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_pre_commit_runs_what_make_lint_runs():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    lint = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks:
        words = hook["entry"].removeprefix(".venv/bin/").split()
        assert " ".join(word for word in words if not word.startswith("--")) in lint
