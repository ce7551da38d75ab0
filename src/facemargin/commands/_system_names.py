"""What the models of `facemargin evaluate` are called in tables and files."""

from collections.abc import Sequence
from pathlib import Path

from facemargin.commands._own_network import short_name
from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.evaluation.folder import OTHER_FILES, slug

BASELINES = ("raw pixels", "PCA")

_RESERVED = {slug(name).lower() for name in BASELINES} | {Path(file).stem for file in OTHER_FILES}


def system_names(models: Sequence[Path], given: Sequence[str]) -> list[str]:
    """The name of each model. Raises ConfigError for a wrong number of names and for names of the same files."""
    if given and len(given) != len(models):
        raise ConfigError(
            f"--name has {counted(len(given), 'name')} for {counted(len(models), 'model')}: give one name for each "
            "model"
        )
    names = list(given) or _default_names(models)
    files = [slug(name).lower() for name in names]
    for name, file in zip(names, files, strict=True):
        if not name.strip() or file in _RESERVED:
            raise ConfigError(
                f"a system cannot be called {name!r}, which is the name of another file: choose another with --name"
            )
        if files.count(file) > 1:
            raise ConfigError(f"two systems are called {name}: give each model a name of its own with --name")
    return names


def default_output(models: Sequence[Path], names: Sequence[str]) -> Path:
    """The output folder if none is given."""
    if len(models) > 1:
        return Path("evaluations") / "-".join(slug(name) for name in names)
    return models[0] if models[0].is_dir() else Path("evaluations") / short_name(models[0])


def _default_names(models: Sequence[Path]) -> list[str]:
    if len(models) == 1:
        return [models[0].stem if models[0].suffix == ".npz" else "facemargin"]
    return [model.resolve().name if model.is_dir() else short_name(model) for model in models]
