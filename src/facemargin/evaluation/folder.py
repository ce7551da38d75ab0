"""The files in which evaluations are stored. Evaluations write them, and reports read them.

evaluation/<data set>/<system>.npz          PairScores of each system
evaluation/<data set>/<system>.json         its figures
evaluation/<data set>/faces.npz             the report's FaceGallery
evaluation/<data set>/quality.npz           QualityMeasures
evaluation/<data set>/checked_faces.npz     a FaceGallery of a check of quality, some of them degraded
evaluation/<data set>/not_faces.npz         a FaceGallery of its pictures without a face
evaluation/<data set>/decisions.npz         the report's DecisionGallery
evaluation/<data set>/groups.npz            ImageGroups
evaluation/<data set>/reconstructions.npz   the report's ReconstructionGallery
protocols/<protocol>/<system>.json          figures of each system by a protocol
protocols/<protocol>/differences.json       the differences of systems that were evaluated together
summary.txt                                 sentences for people, one a line
released/                                   an evaluation of a released recogniser, as a folder of its own
…/origin.json                               whose figures they are (`evaluation.origin`)
"""

import re
from pathlib import Path

EVALUATION_FOLDER = "evaluation"
PROTOCOLS_FOLDER = "protocols"
FACES_FILE = "faces.npz"
QUALITY_FILE = "quality.npz"
CHECKED_FACES_FILE = "checked_faces.npz"
NOT_FACES_FILE = "not_faces.npz"
DECISIONS_FILE = "decisions.npz"
GROUPS_FILE = "groups.npz"
DIFFERENCES_FILE = "differences.json"
RECONSTRUCTIONS_FILE = "reconstructions.npz"
ORIGIN_FILE = "origin.json"
SUMMARY_FILE = "summary.txt"
RELEASED_FOLDER = "released"

OTHER_FILES = (
    FACES_FILE,
    QUALITY_FILE,
    CHECKED_FACES_FILE,
    NOT_FACES_FILE,
    DECISIONS_FILE,
    GROUPS_FILE,
    DIFFERENCES_FILE,
    RECONSTRUCTIONS_FILE,
    ORIGIN_FILE,
)
"""The files in the folder of a data set or protocol that are not those of a system, which may have none of these
names."""


def evaluation_folder(folder: Path, data_set: str) -> Path:
    """The folder of the scores on the data set with this name."""
    return folder / EVALUATION_FOLDER / slug(data_set)


def slug(name: str) -> str:
    """`name` as a file name."""
    return re.sub(r"[^A-Za-z0-9.,]+", "-", name).strip("-.") or "set"
