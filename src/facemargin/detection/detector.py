"""Who finds faces: the protocol, and detectors by name."""

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
    """Finds faces. What is found on disk (journals, extracted features) depends on `name` and `settings`: the same two
    must find the same faces."""

    @property
    def name(self) -> str:
        """The name that it is registered under."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What it was built with, defaults included."""

    def detect(self, image: RGBImage) -> list[Face]:
        """The faces in a (H, W, 3) uint8 RGB image, the surest first; an empty list where there are none."""


MakeDetector = TypeVar("MakeDetector", bound=Callable[..., Detector])

DETECTORS: Registry[Callable[..., Detector]] = Registry("detector", "facemargin.detection")

DetectorName = Annotated[str, NameOf(DETECTORS)]

DEFAULT_DETECTOR = "centerface"


def register_detector(*names: str, description: str = "") -> Callable[[MakeDetector], MakeDetector]:
    """Decorator that files a detector's class under `names` for `create_detector`, `detect` and --detector. Its
    arguments, each with a default, are its settings: the verbs know `min_score` and `longest_side`. `description` is
    for `facemargin list detectors`."""

    def decorate(make: MakeDetector) -> MakeDetector:
        DETECTORS.register(*names, description=description)(make)
        return make

    return decorate


def list_detectors(pattern: str = "*") -> list[str]:
    """Names that `detect`'s detector and --detector accept, sorted; `pattern` is shell-style."""
    return DETECTORS.names(pattern)


def create_detector(name: str = DEFAULT_DETECTOR, **settings: Setting) -> Detector:
    """The detector registered as `name`, with its own defaults for what `settings` leave out.

    Raises ConfigError for an unknown name or setting (naming the nearest), for a value out of range, and, with the
    command that installs it, where a network is missing.
    """
    make = DETECTORS[name]
    known = list(inspect.signature(make).parameters)
    for setting in settings:
        if setting not in known:
            raise ConfigError(unknown_name(f"setting of the detector {name}", setting, known))
    return make(**settings)


def detector_settings(detector: Detector) -> dict[str, Setting]:
    """What a detector is, for what depends on the faces that it finds."""
    return {"detector": detector.name, **detector.settings}


def require_detector(detector: Detector | str) -> Detector:
    """`detector` itself, or the one of that name with its defaults, whose network is read once. Raises ConfigError for
    anything else."""
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
