"""Measuring recognisers: `metrics` are pure functions on arrays; `protocols` define which images are compared with
which."""

from facemargin.evaluation.check_pictures import choose_faces
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.embeddings import Embed, Embeddings
from facemargin.evaluation.figures import Measured, register_metric
from facemargin.evaluation.metrics.bootstrap import Bootstrap
from facemargin.evaluation.metrics.centered_accuracy import centered_accuracy
from facemargin.evaluation.metrics.certified_bound import certified_upper_bound, people_needed
from facemargin.evaluation.metrics.certified_thresholds import CertifiedBand, CertifiedRate, CertifiedThresholds
from facemargin.evaluation.metrics.certify import certify_embeddings, certify_gallery, certify_threshold
from facemargin.evaluation.metrics.clustering import Agreement, ClusteringScores, clustering_scores
from facemargin.evaluation.metrics.error_versus_discard import DiscardLimit, ErrorVersusDiscard, error_versus_discard
from facemargin.evaluation.metrics.group_rates import group_rates
from facemargin.evaluation.metrics.group_results import GroupRate, GroupRates, WorstGroup
from facemargin.evaluation.metrics.holm import holm
from facemargin.evaluation.metrics.identification import Identification, identification
from facemargin.evaluation.metrics.method_difference import (
    MethodDifference,
    MethodTarDifference,
    method_difference,
)
from facemargin.evaluation.metrics.pair_scores import pair_scores
from facemargin.evaluation.metrics.paired_difference import (
    PairedDifference,
    TarDifference,
    paired_difference,
)
from facemargin.evaluation.metrics.roc import RocCurve, roc_curve
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint, TarAtFar, tar_at_far
from facemargin.evaluation.metrics.templates import Templates, pool_templates
from facemargin.evaluation.metrics.verification import (
    BestBalancedAccuracy,
    VerificationAccuracy,
    best_balanced_accuracy,
    verification_accuracy,
)
from facemargin.evaluation.protocols.baselines import fit_pca_embed, fit_pixel_embed
from facemargin.evaluation.protocols.known import list_protocols, load_protocol
from facemargin.evaluation.protocols.score_protocol import score_protocol
from facemargin.evaluation.protocols.verification import evaluate_verification
from facemargin.evaluation.quality_check import check_measures, check_quality
from facemargin.evaluation.scores import PairScores
from facemargin.evaluation.summary import VerificationSummary, summarize
from facemargin.evaluation.table import summary_table

__all__ = [
    "Agreement",
    "BestBalancedAccuracy",
    "Bootstrap",
    "CertifiedBand",
    "CertifiedRate",
    "CertifiedThresholds",
    "ClusteringScores",
    "DiscardLimit",
    "Embed",
    "Embeddings",
    "ErrorVersusDiscard",
    "GroupRate",
    "GroupRates",
    "Identification",
    "Measured",
    "MethodDifference",
    "MethodTarDifference",
    "OperatingPoint",
    "PairScores",
    "PairedDifference",
    "QualityCheck",
    "RocCurve",
    "TarAtFar",
    "TarDifference",
    "Templates",
    "VerificationAccuracy",
    "VerificationSummary",
    "WorstGroup",
    "best_balanced_accuracy",
    "centered_accuracy",
    "certified_upper_bound",
    "certify_embeddings",
    "certify_gallery",
    "certify_threshold",
    "check_measures",
    "check_quality",
    "choose_faces",
    "clustering_scores",
    "error_versus_discard",
    "evaluate_verification",
    "fit_pca_embed",
    "fit_pixel_embed",
    "group_rates",
    "holm",
    "identification",
    "list_protocols",
    "load_protocol",
    "method_difference",
    "pair_scores",
    "paired_difference",
    "people_needed",
    "pool_templates",
    "register_metric",
    "roc_curve",
    "score_protocol",
    "summarize",
    "summary_table",
    "tar_at_far",
    "verification_accuracy",
]
