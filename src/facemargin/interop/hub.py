"""Model repositories on the Hugging Face Hub and their copies on disk: finds the file with the weights."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from facemargin.errors import CheckpointError
from facemargin.files.listing import is_system_name

PREFIX = "hf:"
_PREFERRED = ("model.safetensors", "pretrained_model/model.pt")
_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".onnx")
_PATIENCE = 20.0  # seconds
_MAIN = "main"
_COMMIT = re.compile("[0-9a-f]{40}")
_BESIDE = ("pretrained_model/model.yaml", "model.yaml")


def weights_file(folder: Path) -> Path | None:
    """The file with the weights in a folder, or None. Raises CheckpointError if there are several."""
    names = [
        path.relative_to(folder).as_posix() for depth in ("*", "*/*") for path in folder.glob(depth) if path.is_file()
    ]
    name = _choose(names, str(folder))
    return None if name is None else folder / name


def download(location: str) -> Path:
    """The weights' file of "hf:owner/name", or of "hf:owner/name/path/to/file", in huggingface-hub's cache; with
    "hf:owner/name@revision" of that branch, tag or commit, else of the branch main.

    Downloads that file and, where it has one, the model.yaml beside it; without a connection what is in the cache is
    taken. Raises CheckpointError, naming the repository, where it does not exist, is private or gated, cannot be
    reached, or does not say which file is the one.
    """
    repository, revision, wanted = _parts(location)
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        # not list_repo_files, which tries again for half a minute where there is no connection
        info = _ask(repository, lambda: HfApi().model_info(repository, revision=revision, timeout=_PATIENCE))
        names = [sibling.rfilename for sibling in info.siblings or []]
        name = wanted or _choose(names, location)
        if name is None or name not in names:
            raise CheckpointError(f"{location} holds no {wanted or 'weights'}; its files: {', '.join(names) or 'none'}")
        chosen = [name, *(other for other in names if other in _BESIDE or _is_external(other, name))]
        folder = _ask(repository, lambda: snapshot_download(repository, revision=revision, allow_patterns=chosen))
        return Path(folder) / name
    except (OfflineModeIsEnabled, _UnreachableError) as error:
        folder = _cached(repository, revision)
        weights = None
        if folder is not None:
            weights = folder / wanted if wanted else weights_file(folder)
        if weights is None or not weights.is_file():
            raise CheckpointError(
                f"{location} cannot be reached ({error}) and is not in the cache: connect to the internet, or "
                "give the path of a copy"
            ) from error
        return weights


def _parts(location: str) -> tuple[str, str, str]:
    """Repository, revision and path, "" for none, of "hf:owner/name@revision/path"."""
    owner, _, rest = location.removeprefix(PREFIX).partition("/")
    named, slash, wanted = rest.partition("/")
    name, at, revision = named.partition("@")
    empty_parts = (at and not revision) or (slash and not all(wanted.split("/")))
    if not owner or not name or empty_parts:
        raise CheckpointError(
            f"{location!r} is not a repository: expected hf:owner/name or hf:owner/name/path/to/file, or one of these "
            "with @ and a branch, tag or commit behind the name"
        )
    return f"{owner}/{name}", revision or _MAIN, wanted


def cached_revision(repository: str, revision: str, name: str) -> Path | None:
    """The file `name` of a repository's commit in huggingface-hub's cache, or None; nothing is asked for."""
    folder = _cached(repository, revision)
    return None if folder is None or not (folder / name).is_file() else folder / name


def _cached(repository: str, revision: str) -> Path | None:
    """The folder of a revision in huggingface-hub's cache: of the commit that it was when it was last asked for."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        if not _COMMIT.fullmatch(revision):
            return None
        commit = revision
    return folder / "snapshots" / commit


class _UnreachableError(Exception):
    """The hub could not be asked."""


def _ask(repository: str, request: Callable[[], Any]) -> Any:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return request()
    except (OfflineModeIsEnabled, CheckpointError, _UnreachableError):
        raise
    except GatedRepoError as error:
        raise CheckpointError(
            f"hf:{repository} is gated: accept its terms on its page, and log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"hf:{repository} has no such branch, tag or commit: {str(error).splitlines()[0]}"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"hf:{repository} does not exist, or is private and you are not logged in (`hf auth login`)"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"hf:{repository} is not the name of a repository: {error}") from error
    except HfHubHTTPError as error:
        raise _UnreachableError(str(error).splitlines()[0]) from error
    except Exception as error:  # the HTTP client's own types
        raise _UnreachableError(str(error) or type(error).__name__) from error


def _is_external(name: str, onnx: str) -> bool:
    """Whether a file has the usual names of the weights beside an ONNX model."""
    return onnx.endswith(".onnx") and name in (f"{onnx}.data", f"{onnx}_data", f"{onnx.removesuffix('.onnx')}.data")


def _choose(names: list[str], where: str) -> str | None:
    """The file among `names` that holds the weights."""
    for name in _PREFERRED:
        if name in names:
            return name
    candidates = sorted(
        name
        for name in names
        if PurePosixPath(name).suffix in _SUFFIXES and not any(map(is_system_name, PurePosixPath(name).parts))
    )
    if len(candidates) > 1:
        raise CheckpointError(
            f"{where} contains several files that could be the weights: give one of {', '.join(candidates)}"
        )
    return candidates[0] if candidates else None
