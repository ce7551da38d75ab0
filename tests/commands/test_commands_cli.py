import subprocess
import sys

import cv2
import numpy as np
import pytest

import facemargin
from facemargin.commands._verbs import VERBS
from facemargin.errors import ConfigError
from facemargin.version import __version__
from tests.processes import run_program


def test_help_names_every_verb(command):
    for option in ("--help", "-h"):
        code, out, err = command(option)
        assert code == 0 and err == ""
        for verb, what in VERBS.items():
            assert f"  {verb} " in out and what in " ".join(out.split())


def test_help_fits_the_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, command("--help")[1].splitlines())) <= 80


def test_without_a_verb_the_usage_is_an_error(command):
    code, out, _ = command()
    assert code == 2 and "usage: facemargin COMMAND" in out


def test_version(command):
    assert command("--version") == (0, f"facemargin {__version__}\n", "")


def test_an_unknown_verb_names_the_nearest(command):
    code, out, err = command("evalute", "run")
    assert (code, out) == (2, "")
    assert err == "unknown command 'evalute'; did you mean 'evaluate'?\n"
    assert f"known: {', '.join(sorted(VERBS))}" in command("xyzzy")[2].replace("\n", " ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(command, verb):
    code, out, _ = command(verb, "--help")
    assert code == 0
    assert f"usage: facemargin {verb}" in out


def test_an_unknown_option_names_the_nearest(command):
    code, out, err = command("evaluate", "run", "--data", "orl:1-2", "--degradde")
    assert code == 2 and "--degraded" in out + err
    assert command("report", "run", "--outptu", "x")[0] == 2


def test_train_without_a_recipe_is_an_error(command):
    for arguments in ((), ("--output", "somewhere"), ("--epochs", "3")):
        code, out, err = command("train", *arguments)
        assert (code, out) == (2, "")
        assert "the first argument must be a recipe" in err and "demo" in err
    assert "facemargin train RECIPE" in command("train", "--help")[1]


def test_train_lists_the_recipes_fields(command):
    code, out, _ = command("train", "demo", "--fields", "--head.name", "magface")
    assert code == 0
    for text in ("--optimizer.learning-rate", "0.002)", "--head.lambda-g", "--augmentation.scale"):
        assert text in out
    assert "--head.mixing-factor" not in out  # FunFace's
    assert not any(line.startswith("trained") for line in out.splitlines())


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("[/x] is wrong; do that"), 2, "facemargin report: [/x] is wrong; do that\n"),
        (OSError(28, "No space left on device"), 2, "facemargin report: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_one_line_and_a_code(command, monkeypatch, error, code, text):
    from facemargin.commands import report

    def fail(arguments):
        raise error

    monkeypatch.setattr(report, "main", fail)
    assert command("report", "x") == (code, "", text)


def test_long_errors_are_not_broken_into_lines(command, monkeypatch):
    from facemargin.commands import report

    def fail(arguments):
        raise ConfigError("word " * 200)

    monkeypatch.setattr(report, "main", fail)
    monkeypatch.setenv("COLUMNS", "40")
    assert command("report", "x")[2].count("\n") == 1


def test_as_a_program():
    done = subprocess.run([sys.executable, "-m", "facemargin", "nothing"], capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown command 'nothing'" in done.stderr


def test_what_the_library_warns_of_is_called_a_warning(tmp_path):
    for person in ("ann", "bob"):
        (tmp_path / person).mkdir()
        cv2.imwrite(str(tmp_path / person / "1.png"), np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "cem").mkdir()
    (tmp_path / "cem" / "1.raw").write_bytes(b"x")
    code, _, err = run_program("-m", "facemargin", "data", "inspect", tmp_path)
    assert code == 0 and "warning: " in err and ".raw" in err


def test_every_public_name_is_there():
    assert [name for name in facemargin.__all__ if not hasattr(facemargin, name)] == []
    assert set(facemargin.__all__) == set(dir(facemargin))
    assert not hasattr(facemargin, "laod")


@pytest.mark.parametrize(
    ("arguments", "option", "meant"),
    [
        (("train", "small_cpu", "--outptu", "x"), "--outptu", "--output"),
        (("train", "small_cpu", "--profile_step=3"), "--profile-step", "--profile-steps"),
        (("train", "small_cpu", "--out", "x"), "--out", "--output"),
        (("compare", "small_cpu", "--heads", "funface", "--job", "2"), "--job", "--jobs"),
        (("demo", "--spilt", "dev"), "--spilt", "--split"),
        (("train", "small_cpu", "--epoch", "2"), "--epoch", "--epochs"),
    ],
)
def test_mistyped_options_of_verbs_that_take_a_recipes_fields(command, arguments, option, meant):
    code, _, err = command(*arguments)
    assert (code, err) == (2, f"facemargin {arguments[0]}: unknown option {option}; did you mean {meant}?\n")
