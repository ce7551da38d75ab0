"""Packages that only some of what facemargin does needs: its extras."""

import importlib

from facemargin.errors import ConfigError


def require_extra(extra: str, *packages: str, what: str) -> None:
    """ConfigError, saying that `what` needs them and how they are installed, unless `packages` can be imported."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigError(f"{what} needs {' and '.join(packages)}: {install(extra)}") from error


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "facemargin[{extra}]"'
