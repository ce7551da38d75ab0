"""The results of one system by a protocol. Shapes: T points of a curve."""

from dataclasses import dataclass

from facemargin.evaluation.metrics.identification import Identification
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.tar_at_far import TarAtFar
from facemargin.evaluation.protocols.protocol import GalleryName, Rule


@dataclass(frozen=True, repr=False)
class VerificationResult:
    """The result of one `PairExperiment`: TAR at its FARs, each with the number of impostors, EER and AUC, and the ROC
    curve at FARs evenly spaced on a log axis (the largest TAR with FAR ≤ far_T)."""

    name: str
    genuine: int
    impostors: int
    tar_at_far: TarAtFar
    eer: float
    auc: float
    far_T: FloatArray
    tar_T: FloatArray

    def __repr__(self) -> str:
        pairs = f"{self.genuine:,} genuine and {self.impostors:,} impostor pairs"
        return f"VerificationResult({self.name!r}: {pairs}, AUC {self.auc:.4g}, EER {self.eer:.4g})"


@dataclass(frozen=True)
class SearchResult:
    """The result of one `SearchExperiment`. `gallery` is the number of entries; `candidates` says whether the
    candidates were entries or people."""

    name: str
    gallery: int
    rule: Rule
    open_set_rank: int
    identification: Identification
    candidates: GalleryName = "images"


@dataclass(frozen=True)
class ProtocolResult:
    """`preset` says how templates were pooled (None without templates). `templates` is their number (0 if images are
    compared). `unreadable` images were left out; the `failed` templates or images that then had no image match
    nobody."""

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
