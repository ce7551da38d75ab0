"""`facemargin push MODEL owner/name`."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._model_card import model_card, read_results
from facemargin.commands._model_input import InputArguments
from facemargin.commands._say import say
from facemargin.decision.checked_model import find_check
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.interop.family import FAMILIES
from facemargin.models.info import save_model
from facemargin.models.load import read_recognizer
from facemargin.models.model import Model


@dataclass(frozen=True, kw_only=True)
class Arguments(InputArguments):
    """Upload a model with a card that says how to load and use it. Only these two files are uploaded."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder, whose evaluations are included in the card, a model file or the name of a released model
    (facemargin models)."""
    repository: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="owner/name")]
    """The repository on the Hub. It is created if it does not exist."""
    licence: str | None = None
    """The licence that you give to the weights, in the Hub's notation: mit, cc-by-nc-4.0, …"""
    private: bool = False
    """Create a private repository."""
    dry_run: Path | None = None
    """Write the files to this folder and upload nothing."""
    trust: bool = False
    """Allow a pickle to run its code. Only for files of people you trust."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "push", arguments)
    owner, _, name = args.repository.partition("/")
    if not owner or not name or "/" in name:
        raise ConfigError(f"{args.repository!r} is not the name of a repository: expected owner/name")
    if args.dry_run is None:
        require_token()
    recognizer, info, notes = read_recognizer(args.model, args.family, args.trust, args.given_input())
    if info.backbone == "onnx":
        raise ConfigError(f"{args.model} is an ONNX graph, not facemargin's weights: upload the file as it is")
    for note in notes:
        say(note, label="note")
    if args.licence is None and info.family in FAMILIES and FAMILIES[info.family].non_commercial:
        say(info.licence, label="licence warning")
    check = find_check(args.model, Model(recognizer, info, "cpu"))
    card = model_card(args.repository, info, read_results(Path(args.model)), args.licence, check)

    def write(folder: Path) -> None:
        write_atomically(folder / "model.safetensors", lambda path: save_model(path, recognizer.state_dict(), info))
        write_text_atomically(folder / "README.md", card)

    if args.dry_run is not None:
        write(args.dry_run)
        say(f"written, not uploaded: {args.dry_run}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        address = upload(Path(folder), args.repository, args.private)
    say(f"uploaded: {address}")
    return 0


def require_token() -> None:
    """Raise ConfigError unless the user is logged in to huggingface-hub."""
    from huggingface_hub import get_token

    if not get_token():
        raise ConfigError(
            "uploading needs a token of the Hugging Face Hub: `hf auth login`, or the environment variable HF_TOKEN; "
            "--dry-run FOLDER writes the files without uploading"
        )


def upload(folder: Path, repository: str, private: bool) -> str:
    """Upload the two files of `folder` to `repository` and return its address. Raises ConfigError if the Hub
    refuses."""
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=["model.safetensors", "README.md"],
            commit_message="facemargin model",
        )
    except Exception as error:  # also the HTTP client's own types
        raise ConfigError(f"{repository} could not be uploaded: {error}") from error
    return str(address)
