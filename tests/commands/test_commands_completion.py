"""The completion scripts, in the shells themselves where they are there."""

import os
import select
import shutil
import subprocess
import time

import pytest

from facemargin.commands._verbs import VERBS
from facemargin.training.recipe_files import list_recipes

# What is typed, and what may come next among other things, and what may not.
TYPED = [
    ("facemargin tra", {"train"}, {"verify"}),
    ("facemargin ", set(VERBS), {"funface_ms1mv3"}),
    ("facemargin train ", set(list_recipes()), {"train"}),
    ("facemargin compare fun", {"funface_ms1mv3", "funface_ms1mv2"}, {"adaface_ms1mv2"}),
    ("facemargin models ", {"get", "sface"}, {"verify"}),
    ("facemargin verify sf", {"sface"}, {"get"}),
    ("facemargin list b", {"backbones"}, {"margins"}),
    ("facemargin embed x --v", {"--views"}, {"--output"}),
    ("facemargin embed x --views ", {"one", "flip", "multi"}, {"None"}),
    ("facemargin train x.yaml --res", {"--resume"}, {"--head.margin"}),
    ("facemargin train funface_ms1mv3 --head.mi", {"--head.mixing-factor"}, {"--head.name"}),
    ("facemargin train adaface_ms1mv2 --head.", {"--head.name", "--head.t-alpha"}, {"--head.mixing-factor"}),
    ("facemargin train demo --precision ", {"bf16", "float32"}, {"demo"}),
    ("facemargin train demo --head.name ma", {"magface"}, {"adaface"}),
    ("facemargin demo --optimizer.l", {"--optimizer.learning-rate"}, {"--output"}),
    ("facemargin demo --head.m", {"--head.mixing-factor"}, set()),
    ("facemargin evaluate x --protocol ij", {"ijbb", "ijbc", "ijbs"}, {"pairs"}),
    ("facemargin completion ", {"bash", "zsh", "fish"}, set()),
]


@pytest.fixture
def script(command, tmp_path):
    def write(shell):
        code, out, err = command("completion", shell)
        assert (code, err) == (0, "")
        path = tmp_path / f"facemargin.{shell}"
        path.write_text(out)
        return path

    return write


def bash_offers(path, line):
    words = line.split(" ")
    listing = " ".join(f"'{word}'" for word in words)
    code = f'source {path}; COMP_WORDS=({listing}); COMP_CWORD={len(words) - 1}; _facemargin; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, timeout=900)
    assert done.stderr == ""
    return set(done.stdout.split())


def fish_offers(path, line):
    code = f"source {path}; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, timeout=900)
    assert done.stderr == ""
    return {offer.split("\t")[0] for offer in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_what_comes_next_is_offered(script, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    path = script(shell)
    for line, offered, not_offered in TYPED:
        found = {"bash": bash_offers, "fish": fish_offers}[shell](path, line)
        assert offered <= found, line
        assert not not_offered & found, line


def test_zsh_completes(script, tmp_path):
    """In a terminal, as zsh completes nowhere else."""
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh")
    import pty

    path = script("zsh")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def say(text, awaited):
        os.write(terminal, text.encode())
        seen, end = b"", time.monotonic() + 900
        while awaited.encode() not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)
        assert awaited.encode() in seen, (text, seen)

    try:
        say(f"autoload -Uz compinit && compinit -D -u; source {path}; echo re''ady\n", "ready")
        say("facemargin train funface_ms1mv3 --head.mixi\t", "mixing-factor")
        say("\x15facemargin embed x --views mul\t", "multi")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def test_another_shell_is_refused(command):
    code, out, err = command("completion", "tcsh")
    assert code == 2 and "fish" in out + err
