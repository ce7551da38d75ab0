"""What one system scored by a protocol. Shapes: T points of a curve."""

from dataclasses import dataclass

from facemargin.evaluation.metrics.identification import Identification
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.tar_at_far import TarAtFar
from facemargin.evaluation.protocols.protocol import GalleryName, Rule


@dataclass(frozen=True)
class VerificationResult:
    """One `PairExperiment`: TAR at its FARs, each with the impostors behind it, EER and AUC, and the ROC curve at FARs
    spaced evenly on a log axis (the largest TAR with FAR ≤ far_T)."""

    name: str
    genuine: int
    impostors: int
    tar_at_far: TarAtFar
    eer: float
    auc: float
    far_T: FloatArray
    tar_T: FloatArray


@dataclass(frozen=True)
class SearchResult:
    """One `SearchExperiment` in a gallery of so many entries, of which each was a candidate, or each person was, as
    `candidates` says."""

    name: str
    gallery: int
    rule: Rule
    open_set_rank: int
    identification: Identification
    candidates: GalleryName = "images"


@dataclass(frozen=True)
class ProtocolResult:
    """`preset` is how templates were pooled, None where there are none; `templates` their number, 0 where images are
    compared. `unreadable` images were left out, and whoever then had none (`failed` templates or images) counts as
    matching nobody."""

    system: str
    protocol: str
    rule: Rule
    preset: str | None
    views: str
    images: int
    unreadable: int
    templates: int
    failed: int
    verification: tuple[VerificationResult, ...]
    searches: tuple[SearchResult, ...]
    notes: tuple[str, ...] = ()
