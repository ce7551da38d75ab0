"""Protocols by name."""

from pathlib import Path
from typing import get_args

from facemargin.errors import ConfigError
from facemargin.evaluation.protocols.gallery import with_gallery
from facemargin.evaluation.protocols.protocol import PROTOCOLS, GalleryName, Protocol, Rule


def list_protocols() -> list[str]:
    """Names that `load_protocol` and `facemargin evaluate --protocol` take, sorted.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.list_protocols()[:3]
        ['dronesurf', 'identification', 'ijbb']
    """
    return PROTOCOLS.names()


def load_protocol(name: str, folder: str | Path, rule: Rule = "standard", gallery: GalleryName = "images") -> Protocol:
    """The protocol `name` as its lists in `folder` say, its galleries as `gallery` says (see `with_gallery`);
    ConfigError for another name or rule, DataError, naming file
    and line, for lists that are missing or wrong.

    Examples:
        >>> import facemargin as fm
        >>> protocol = fm.evaluation.load_protocol("pairs", "orl:1-4")
        >>> protocol.name, len(protocol.images)
        ('pairs', 40)
    """
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown rule {rule!r} for thresholds; known: {', '.join(get_args(Rule))}")
    return with_gallery(PROTOCOLS[name](Path(folder), rule), gallery)
