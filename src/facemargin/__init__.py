"""Face recognition that knows how good its pictures are."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facemargin.version import __version__

if TYPE_CHECKING:
    from facemargin import (
        auditing,
        backbones,
        data,
        decision,
        detection,
        errors,
        evaluation,
        export,
        features,
        heads,
        interop,
        margins,
        models,
        quality,
    )
    from facemargin.auditing import Audit, audit, load_audit
    from facemargin.backbones import create_backbone, list_backbones
    from facemargin.data.findings import Finding
    from facemargin.data.open import open_images, open_verification
    from facemargin.data.pairs.verification_set import VerificationSet
    from facemargin.data.videos.stream import Stream
    from facemargin.decision import Calibration, Certificate, calibrate, certify, verify
    from facemargin.detection import Face, align, detect
    from facemargin.errors import (
        CheckpointError,
        ConfigError,
        CorruptImageError,
        CorruptVideoError,
        DataError,
        FacemarginError,
        ImageError,
        NoFaceError,
        NonFiniteLossError,
        OutputError,
        ServiceError,
        SeveralFacesError,
    )
    from facemargin.export import export_onnx
    from facemargin.features.measures import list_measures, measure_quality
    from facemargin.features.tracks import FaceTrack
    from facemargin.features.video import VideoFaces, embed_video
    from facemargin.gallery import (
        Clusters,
        Enrolment,
        Gallery,
        GalleryCertificate,
        Identification,
        IdentifiedVideo,
        cluster,
    )
    from facemargin.heads import Head, HeadOutput, create_head, softmax_terms
    from facemargin.interop import list_models, load_head
    from facemargin.margins import list_margins
    from facemargin.models import Model, load, wrap
    from facemargin.quality.gate import QualityGate
    from facemargin.quality.image_statistics import ImageStatistics, image_statistics
    from facemargin.recording import Recording, Replay, load_recording, replay
    from facemargin.serving import Client
    from facemargin.training.recipe import load_recipe
    from facemargin.training.trainer import train

__all__ = [
    "Audit",
    "Calibration",
    "Certificate",
    "CheckpointError",
    "Client",
    "Clusters",
    "ConfigError",
    "CorruptImageError",
    "CorruptVideoError",
    "DataError",
    "Enrolment",
    "Face",
    "FaceTrack",
    "FacemarginError",
    "Finding",
    "Gallery",
    "GalleryCertificate",
    "Head",
    "HeadOutput",
    "Identification",
    "IdentifiedVideo",
    "ImageError",
    "ImageStatistics",
    "Model",
    "NoFaceError",
    "NonFiniteLossError",
    "OutputError",
    "QualityGate",
    "Recording",
    "Replay",
    "ServiceError",
    "SeveralFacesError",
    "Stream",
    "VerificationSet",
    "VideoFaces",
    "__version__",
    "align",
    "audit",
    "auditing",
    "backbones",
    "calibrate",
    "certify",
    "cluster",
    "create_backbone",
    "create_head",
    "data",
    "decision",
    "detect",
    "detection",
    "embed_video",
    "errors",
    "evaluation",
    "export",
    "export_onnx",
    "features",
    "heads",
    "image_statistics",
    "interop",
    "list_backbones",
    "list_margins",
    "list_measures",
    "list_models",
    "load",
    "load_audit",
    "load_head",
    "load_recipe",
    "load_recording",
    "margins",
    "measure_quality",
    "models",
    "open_images",
    "open_verification",
    "quality",
    "replay",
    "softmax_terms",
    "train",
    "verify",
    "wrap",
]

_HOMES = {
    "auditing": ("Audit", "audit", "load_audit"),
    "data.findings": ("Finding",),
    "backbones": ("create_backbone", "list_backbones"),
    "heads": ("Head", "HeadOutput", "create_head", "softmax_terms"),
    "decision": ("Calibration", "Certificate", "calibrate", "certify", "verify"),
    "data.open": ("open_images", "open_verification"),
    "data.pairs.verification_set": ("VerificationSet",),
    "detection": ("Face", "align", "detect"),
    "errors": (
        "CheckpointError",
        "ConfigError",
        "CorruptImageError",
        "CorruptVideoError",
        "DataError",
        "FacemarginError",
        "ImageError",
        "NoFaceError",
        "NonFiniteLossError",
        "OutputError",
        "ServiceError",
        "SeveralFacesError",
    ),
    "features.tracks": ("FaceTrack",),
    "features.video": ("VideoFaces", "embed_video"),
    "data.videos.stream": ("Stream",),
    "export": ("export_onnx",),
    "gallery": (
        "Clusters",
        "Enrolment",
        "Gallery",
        "GalleryCertificate",
        "Identification",
        "IdentifiedVideo",
        "cluster",
    ),
    "features.measures": ("list_measures", "measure_quality"),
    "interop": ("list_models", "load_head"),
    "margins": ("list_margins",),
    "models": ("Model", "load", "wrap"),
    "quality.gate": ("QualityGate",),
    "quality.image_statistics": ("ImageStatistics", "image_statistics"),
    "recording": ("Recording", "Replay", "load_recording", "replay"),
    "serving": ("Client",),
    "training.recipe": ("load_recipe",),
    "training.trainer": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


# Names are imported on first use (PEP 562), so that the command line can print help and names without importing torch.
def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"facemargin.{_HOME_OF[name]}"), name)
    elif name in __all__:
        value = import_module(f"facemargin.{name}")
    else:
        raise AttributeError(f"module 'facemargin' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
