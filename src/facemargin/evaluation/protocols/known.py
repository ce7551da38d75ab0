"""Protocols by name."""

from pathlib import Path
from typing import get_args

from facemargin.errors import ConfigError
from facemargin.evaluation.protocols.gallery import with_gallery
from facemargin.evaluation.protocols.protocol import PROTOCOLS, GalleryName, Protocol, Rule


def list_protocols() -> list[str]:
    """The sorted names of the protocols, for `load_protocol` and `facemargin evaluate --protocol`.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.list_protocols()[:3]
        ['dronesurf', 'identification', 'ijbb']
    """
    return PROTOCOLS.names()


def load_protocol(name: str, folder: str | Path, rule: Rule = "standard", gallery: GalleryName = "images") -> Protocol:
    """The protocol called `name`, read from the lists in `folder`. `gallery` says how a search treats several images of
    a person in the gallery (see `with_gallery`).

    Raises ConfigError for an unknown name or rule, and DataError, which names the file and line, for lists that are
    missing or wrong.

    Examples:
        >>> import facemargin as fm
        >>> protocol = fm.evaluation.load_protocol("pairs", "orl:1-4")
        >>> protocol.name, len(protocol.images)
        ('pairs', 40)
        >>> protocol
        Protocol('pairs': 40 images; PairExperiment('orl:1-4': 780 pairs, 180 of them genuine))
    """
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown rule {rule!r} for thresholds; known: {', '.join(get_args(Rule))}")
    return with_gallery(PROTOCOLS[name](Path(folder), rule), gallery)
