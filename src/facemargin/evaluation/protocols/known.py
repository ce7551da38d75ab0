"""Every protocol by name: importing the modules that define them registers them."""

from pathlib import Path
from typing import Literal, get_args

from facemargin.errors import ConfigError
from facemargin.evaluation.protocols import identification, ijb, pairs, survface, tinyface
from facemargin.evaluation.protocols.gallery import with_gallery
from facemargin.evaluation.protocols.protocol import PROTOCOLS, GalleryName, Protocol, Rule

_MODULES = (pairs, identification, ijb, tinyface, survface)

ProtocolName = Literal[
    "pairs",
    "identification",
    "ijbb",
    "ijbc",
    "ijbs",
    "tinyface",
    "survface",
    "survface-identification",
    "dronesurf",
]

DESCRIPTIONS: dict[str, str] = {
    "pairs": "verification: any list of pairs of images",
    "identification": "a gallery, probes and distractors as CSV lists; images or templates",
    "ijbb": "IJB-B, 1:1 and 1:N, in InsightFace's layout",
    "ijbc": "IJB-C, 1:1 and 1:N, in InsightFace's layout",
    "ijbs": "IJB-S, three searches of video templates, as CSV lists",
    "tinyface": "TinyFace, identification among distractors",
    "survface": "QMUL-SurvFace, verification",
    "survface-identification": "QMUL-SurvFace, open-set identification",
    "dronesurf": "DroneSURF, active and passive, as CSV lists",
}


def list_protocols() -> list[str]:
    """Names that `load_protocol` and `facemargin evaluate --protocol` take, sorted."""
    return PROTOCOLS.names()


def load_protocol(name: str, folder: str | Path, rule: Rule = "standard", gallery: GalleryName = "images") -> Protocol:
    """The protocol `name` as its lists in `folder` say, its galleries as `gallery` says (see `with_gallery`);
    ConfigError for another name or rule, DataError, naming file
    and line, for lists that are missing or wrong."""
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown rule {rule!r} for thresholds; known: {', '.join(get_args(Rule))}")
    return with_gallery(PROTOCOLS[name](Path(folder), rule), gallery)
