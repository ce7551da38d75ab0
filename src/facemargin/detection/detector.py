"""The protocol of a face detector, and the detectors by name."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Protocol, TypeVar

from facemargin.data.source import RGBImage
from facemargin.detection.face import Face
from facemargin.errors import ConfigError
from facemargin.registry import NameOf, Registry, unknown_name

Setting = str | int | float


class Detector(Protocol):
    """Finds faces. Journals, stored features and calibrations contain `name` and `settings`, so that results of
    different detectors are not mixed: with the same name and settings, a detector must find the same faces."""

    @property
    def name(self) -> str:
        """The name under which it is registered."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The arguments with which it was created, including defaults."""

    def detect(self, image: RGBImage) -> list[Face]:
        """The faces in a (H, W, 3) uint8 RGB image, from the highest score to the lowest."""


MakeDetector = TypeVar("MakeDetector", bound=Callable[..., Detector])

DETECTORS: Registry[Callable[..., Detector]] = Registry("detector", "facemargin.detection")

DetectorName = Annotated[str, NameOf(DETECTORS)]

DEFAULT_DETECTOR = "centerface"


def register_detector(*names: str, description: str = "") -> Callable[[MakeDetector], MakeDetector]:
    """Decorator that registers the class of a detector under `names`, for `create_detector`, `detect` and --detector.
    The arguments of the class, each with a default, are the settings; commands have options for `min_score` and
    `longest_side`. `facemargin list detectors` shows the `description`."""

    def decorate(make: MakeDetector) -> MakeDetector:
        DETECTORS.register(*names, description=description)(make)
        return make

    return decorate


def list_detectors(pattern: str = "*") -> list[str]:
    """The sorted names of the detectors that match a shell-style `pattern`, for `detect` and --detector."""
    return DETECTORS.names(pattern)


def create_detector(name: str = DEFAULT_DETECTOR, **settings: Setting) -> Detector:
    """The detector registered as `name`. Settings that are not given have the detector's defaults.

    Raises ConfigError for an unknown name or setting (the message suggests the nearest), for a value out of range, and
    for a network that is not installed (the message has the command that installs it).
    """
    make = DETECTORS[name]
    known = list(inspect.signature(make).parameters)
    for setting in settings:
        if setting not in known:
            raise ConfigError(unknown_name(f"setting of the detector {name}", setting, known))
    return make(**settings)


def detector_settings(detector: Detector) -> dict[str, Setting]:
    """The name and settings of a detector, for files that depend on the faces that it finds."""
    return {"detector": detector.name, **detector.settings}


def identify_detector(detector: Detector | str) -> tuple[str, dict[str, Setting] | None]:
    """The name of a detector and its settings. An object without a name is called after its class. The settings are
    None if the object does not have `settings` that can be stored."""
    if isinstance(detector, str):
        detector = require_detector(detector)
    name = getattr(detector, "name", None)
    if not isinstance(name, str):
        name = type(detector).__name__
    settings = getattr(detector, "settings", None)
    if not isinstance(settings, Mapping) or not all(isinstance(value, Setting) for value in settings.values()):
        return name, None
    return name, {str(setting): value for setting, value in settings.items()}


def differing_settings(settings: Mapping[str, Setting], others: Mapping[str, Setting]) -> str:
    """The settings that `others` does not have or has with another value, for messages: "min_score 0.5"."""
    different = [(name, value) for name, value in settings.items() if name not in others or others[name] != value]
    return ", ".join(f"{name} {value}" for name, value in different) or "none"


def require_detector(detector: Detector | str) -> Detector:
    """`detector` itself, or for a name the detector with this name and default settings, which is created only once.
    Raises ConfigError if `detector` is neither."""
    if isinstance(detector, str):
        return _with_defaults(detector)
    if not callable(getattr(detector, "detect", None)):
        raise ConfigError(
            f"detector is {detector!r}, expected a name ({', '.join(list_detectors())}) or an object with detect(image)"
        )
    return detector


@cache
def _with_defaults(name: str) -> Detector:
    return create_detector(name)
