"""The pages of the API reference: all names of `facemargin` and `facemargin.evaluation`, by subject."""

import inspect
from operator import attrgetter

from mkdocs.structure.files import File

import facemargin

# Page -> (title, what it is about, the names on it, in the order in which one needs them).
PAGES = {
    "models": (
        "Models and decisions",
        "From images to vectors, and from two images to a decision.",
        (
            "load",
            "list_models",
            "wrap",
            "Model",
            "embed_video",
            "VideoFaces",
            "FaceTrack",
            "Stream",
            "measure_quality",
            "list_measures",
            "detect",
            "align",
            "Face",
            "image_statistics",
            "ImageStatistics",
            "QualityGate",
            "calibrate",
            "Calibration",
            "certify",
            "Certificate",
            "verify",
            "Gallery",
            "Enrolment",
            "Identification",
            "IdentifiedVideo",
            "GalleryCertificate",
            "Client",
            "cluster",
            "Clusters",
            "export_onnx",
        ),
    ),
    "data": (
        "Data and training",
        "Any format that the verbs read, and trainings as `facemargin train` does them.",
        (
            "open_images",
            "open_verification",
            "VerificationSet",
            "load_recipe",
            "train",
            "load_recording",
            "Recording",
            "replay",
            "Replay",
            "audit",
            "load_audit",
            "Audit",
            "Finding",
        ),
    ),
    "losses": (
        "Losses and heads",
        "A head is a margin and the class centres: features and labels in, a loss out. [The losses](../losses.md) says "
        "what each margin does, [the head](../heads.md) how it is computed.",
        ("create_head", "list_margins", "Head", "HeadOutput", "load_head", "softmax_terms"),
    ),
    "backbones": (
        "Backbones",
        "The networks that turn an image into a feature.",
        ("create_backbone", "list_backbones"),
    ),
    "metrics": (
        "Metrics",
        "Pure functions on arrays, and what they return. [Evaluation](../evaluate.md) says what the figures mean.",
        (
            "evaluation.roc_curve",
            "evaluation.RocCurve",
            "evaluation.tar_at_far",
            "evaluation.TarAtFar",
            "evaluation.OperatingPoint",
            "evaluation.verification_accuracy",
            "evaluation.VerificationAccuracy",
            "evaluation.centered_accuracy",
            "evaluation.best_balanced_accuracy",
            "evaluation.BestBalancedAccuracy",
            "evaluation.identification",
            "evaluation.Identification",
            "evaluation.error_versus_discard",
            "evaluation.ErrorVersusDiscard",
            "evaluation.DiscardLimit",
            "evaluation.pool_templates",
            "evaluation.Templates",
            "evaluation.pair_scores",
            "evaluation.Bootstrap",
            "evaluation.certify_threshold",
            "evaluation.certify_embeddings",
            "evaluation.certify_gallery",
            "evaluation.CertifiedThresholds",
            "evaluation.CertifiedBand",
            "evaluation.CertifiedRate",
            "evaluation.paired_difference",
            "evaluation.PairedDifference",
            "evaluation.TarDifference",
            "evaluation.method_difference",
            "evaluation.MethodDifference",
            "evaluation.MethodTarDifference",
            "evaluation.holm",
            "evaluation.group_rates",
            "evaluation.GroupRates",
            "evaluation.GroupRate",
            "evaluation.WorstGroup",
            "evaluation.certified_upper_bound",
            "evaluation.people_needed",
            "evaluation.clustering_scores",
            "evaluation.ClusteringScores",
            "evaluation.Agreement",
            "evaluation.register_metric",
            "evaluation.Measured",
        ),
    ),
    "protocols": (
        "Protocols and results",
        "What is compared with what, and the tables that come of it.",
        (
            "evaluation.evaluate_verification",
            "evaluation.PairScores",
            "evaluation.summarize",
            "evaluation.VerificationSummary",
            "evaluation.summary_table",
            "evaluation.list_protocols",
            "evaluation.load_protocol",
            "evaluation.score_protocol",
            "evaluation.Embed",
            "evaluation.Embeddings",
            "evaluation.fit_pixel_embed",
            "evaluation.fit_pca_embed",
            "evaluation.check_quality",
            "evaluation.check_measures",
            "evaluation.choose_faces",
            "evaluation.QualityCheck",
        ),
    ),
    "errors": (
        "Errors",
        "Raised on purpose, each with what was given, what was expected and what to do. "
        "`except fm.FacemarginError` catches them all.",
        (
            "FacemarginError",
            "ConfigError",
            "DataError",
            "ImageError",
            "CorruptImageError",
            "CorruptVideoError",
            "NoFaceError",
            "SeveralFacesError",
            "CheckpointError",
            "OutputError",
            "ServiceError",
            "NonFiniteLossError",
        ),
    ),
}


def page_text(title: str, about: str, names: tuple[str, ...]) -> str:
    return "\n".join([f"# {title}\n", f"{about}\n", *map(_entry, names)])


def _entry(name: str) -> str:
    thing = attrgetter(name)(facemargin)
    home = getattr(thing, "__module__", "")
    if inspect.isfunction(thing) and home.rpartition(".")[2] == thing.__name__:
        # mkdocstrings would take the module for the function that is named like it.
        return f"::: {home}.{thing.__name__}\n    options: {{heading: facemargin.{name}, toc_label: {name}}}\n"
    return f"::: facemargin.{name}\n"


def on_files(files, config):
    for page, (title, about, names) in PAGES.items():
        files.append(File.generated(config, f"reference/{page}.md", content=page_text(title, about, names)))
    return files
