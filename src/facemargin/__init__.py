"""Face recognition that knows how good its pictures are."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facemargin.version import __version__

if TYPE_CHECKING:
    from facemargin import (
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
    from facemargin.backbones import create_backbone, list_backbones
    from facemargin.decision import Calibration, calibrate, verify
    from facemargin.detection import align, detect
    from facemargin.export import export_onnx
    from facemargin.heads import Head, HeadOutput, create_head, softmax_terms
    from facemargin.interop import load_head
    from facemargin.margins import list_margins
    from facemargin.models import Model, load

__all__ = [
    "Calibration",
    "Head",
    "HeadOutput",
    "Model",
    "__version__",
    "align",
    "backbones",
    "calibrate",
    "create_backbone",
    "create_head",
    "data",
    "decision",
    "detect",
    "detection",
    "errors",
    "evaluation",
    "export",
    "export_onnx",
    "features",
    "heads",
    "interop",
    "list_backbones",
    "list_margins",
    "load",
    "load_head",
    "margins",
    "models",
    "quality",
    "softmax_terms",
    "verify",
]

_HOMES = {
    "backbones": ("create_backbone", "list_backbones"),
    "heads": ("Head", "HeadOutput", "create_head", "softmax_terms"),
    "decision": ("Calibration", "calibrate", "verify"),
    "detection": ("align", "detect"),
    "export": ("export_onnx",),
    "interop": ("load_head",),
    "margins": ("list_margins",),
    "models": ("Model", "load"),
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
