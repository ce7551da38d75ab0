"""Runs the commands of a document in this process, smaller than written: fewer epochs, seeds, people and pairs."""

import contextlib
import io
import re
import shlex
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

from torch.distributed.run import get_args_parser

from facemargin.cli import main
from tests.docs.docs_pages import ROOT
from tests.docs.docs_stand_ins import TINY

# What a reader puts his own name for.
PLACEHOLDERS = {"RECIPE": "small_cpu", "MODEL": "runs/mine", "SET": "lfw.bin"}
# `facemargin verify` answers with its exit code: same, different, too poor.
_ANSWERS = {"verify": {0, 1, 3}, "gallery identify": {0, 1, 3}}


class Commands:
    """The commands of one page, in its own folder; `environment` has a setenv (pytest's monkeypatch)."""

    def __init__(self, folder: Path, environment) -> None:
        self.folder = folder
        self.environment = environment
        self.made: set[str] = set()

    def run(self, code: str) -> None:
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(replace_placeholders(line), comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                self.environment.setenv(*words.pop(0).split("=", 1))
            if words[-2:-1] == [">"]:
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    self._run_words(words[:-2])
                assert printed.getvalue()
            elif words:
                self._run_words(words)

    def _run_words(self, words: list[str]) -> None:
        program, *arguments = words
        if program == "facemargin":
            self._facemargin(arguments)
        elif program == "torchrun":
            options = get_args_parser().parse_args(arguments)
            assert options.module and options.training_script == "facemargin", words
            self._facemargin(options.training_script_args)
        elif program == "export":
            self.environment.setenv(*arguments[0].split("=", 1))
        elif program == "eval":  # "$(facemargin completion bash)"
            self.run(arguments[0].removeprefix("$(").removesuffix(")"))
        elif program == "pip":
            check_pip(arguments)
        elif program == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert all(re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE) for name in arguments), words
        elif program == "xdg-open":
            assert (self.folder / arguments[0]).is_file(), words
        else:
            raise AssertionError(f"there is no rule for running {shlex.join(words)}")

    def _facemargin(self, arguments: list[str]) -> None:
        few = arguments if "--check" in arguments else map(fewer_people, arguments)  # a check refuses three people
        arguments = [*few, *smaller(arguments)]
        self._make_room(arguments)
        try:
            code = main(arguments)
        except SystemExit as exit:  # tyro's help and errors
            code = exit.code or 0
        expected = _ANSWERS.get(arguments[0]) or _ANSWERS.get(" ".join(arguments[:2]), {0})
        assert code in expected, f"exit code {code} of facemargin {shlex.join(arguments)}"

    def _make_room(self, arguments: list[str]) -> None:
        """A stand-in lies where the page's own command is about to write: it goes, once."""
        if "--resume" in arguments:
            return
        names = [value for name, value in pairwise(arguments) if name == "--output"]
        if arguments[0] in ("convert", "convert-weights"):
            names.append(arguments[2])
        for name in names:
            if name not in self.made:
                path = self.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.made.add(name)


def replace_placeholders(code: str) -> str:
    for placeholder, name in PLACEHOLDERS.items():
        code = re.sub(rf"(?<![\w/-]){placeholder}(?![\w-])", name, code)
    return code


def fewer_people(argument: str) -> str:
    """orl:31-40 becomes orl:31-33."""
    people = re.fullmatch(r"(orl(?:-full)?:)(\d+)-(\d+)", argument)
    return f"{people[1]}{people[2]}-{min(int(people[2]) + 2, int(people[3]))}" if people else argument


def smaller(arguments: list[str]) -> list[str]:
    """Options that make a command take a second or two."""
    verb = arguments[0]
    if verb in ("train", "compare") and "--fields" not in arguments:
        options = list(TINY)
        if "--initial-weights" in arguments:
            options[: len(TINY)] = _as_the_checkpoint()
        if "--data.train" not in arguments:
            options += ["--data.train", "orl:1-5"]  # as many people as the stand-in of AdaFace's head has classes
        if "--profile" in arguments:
            options += ["--profile-steps", "1"]
        if verb == "compare":
            options += ["--seeds", "1", "--heads", "funface"]
        return options
    if verb == "audit" and "--model" in arguments:  # it embeds every image, and three that are planted for each
        return ["--views", "one"]
    if verb == "make-pairs" and "--all" not in arguments:
        return ["--genuine", "10", "--impostors", "20"] if "--genuine" in arguments else ["--pairs", "20"]
    if verb == "verify" and "--fmr" in arguments:  # the stand-ins' few impostors cannot tell a low one
        return ["--fmr", "0.1"]
    return []


def _as_the_checkpoint() -> list[str]:
    options = ["--backbone.name", "ir_18", "--backbone.input-size", "16", "--backbone.embedding-size", "8"]
    return [*options, *TINY[TINY.index("--epochs") :], "--head.name", "adaface"]


def check_pip(arguments: list[str]) -> None:
    """`pip install` of this package: the extras exist."""
    assert arguments[0] == "install", arguments
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for argument in arguments[1:]:
        if extras := re.fullmatch(r"(?:facemargin|\.)\[([\w,]+)\]", argument):
            assert set(extras[1].split(",")) <= set(known), argument
        else:
            assert argument in ("-c", "constraints.txt", "facemargin", "."), argument
