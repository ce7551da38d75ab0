"""Model repositories on the Hugging Face Hub and their copies on disk: finds the file with the weights."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from facemargin.errors import CheckpointError
from facemargin.files.listing import is_system_name

PREFIX = "hf:"
_PREFERRED = ("model.safetensors", "pretrained_model/model.pt")
_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".onnx")
_PATIENCE = 20.0  # seconds
_BESIDE = ("pretrained_model/model.yaml", "model.yaml")


def weights_file(folder: Path) -> Path | None:
    """The file with the weights in a folder, or None. Raises CheckpointError if there are several."""
    names = [
        path.relative_to(folder).as_posix() for depth in ("*", "*/*") for path in folder.glob(depth) if path.is_file()
    ]
    name = _choose(names, str(folder))
    return None if name is None else folder / name


def download(location: str) -> Path:
    """The weights' file of "hf:owner/name", or of "hf:owner/name/path/to/file", in huggingface-hub's cache.

    Downloads that file and, where it has one, the model.yaml beside it; without a connection what is in the cache is
    taken. Raises CheckpointError, naming the repository, where it does not exist, is private or gated, cannot be
    reached, or does not say which file is the one.
    """
    parts = location.removeprefix(PREFIX).split("/")
    if len(parts) < 2 or not all(parts):
        raise CheckpointError(f"{location!r} is not a repository: expected hf:owner/name or hf:owner/name/path/to/file")
    repository, wanted = "/".join(parts[:2]), "/".join(parts[2:])
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        # not list_repo_files, which tries again for half a minute where there is no connection
        info = _ask(repository, lambda: HfApi().model_info(repository, timeout=_PATIENCE))
        names = [sibling.rfilename for sibling in info.siblings or []]
        name = wanted or _choose(names, location)
        if name is None or name not in names:
            raise CheckpointError(f"{location} holds no {wanted or 'weights'}; its files: {', '.join(names) or 'none'}")
        chosen = [name, *(beside for beside in _BESIDE if beside in names)]
        folder = _ask(repository, lambda: snapshot_download(repository, allow_patterns=chosen))
        return Path(folder) / name
    except (OfflineModeIsEnabled, _UnreachableError) as error:
        folder = _cached(repository)
        weights = None
        if folder is not None:
            weights = folder / wanted if wanted else weights_file(folder)
        if weights is None or not weights.is_file():
            raise CheckpointError(
                f"{location} cannot be reached ({error}) and is not in the cache: connect to the internet, or "
                "give the path of a copy"
            ) from error
        return weights


def _cached(repository: str) -> Path | None:
    """The folder of its newest commit in huggingface-hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
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
    )

    try:
        return request()
    except OfflineModeIsEnabled:
        raise
    except GatedRepoError as error:
        raise CheckpointError(
            f"hf:{repository} is gated: accept its terms on its page, and log in with `hf auth login`"
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
