"""What a measure of quality is, and the measures by name. Shapes: N images."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embed
from facemargin.models.model import Model, Progress
from facemargin.registry import Registry, unknown_name

Measure = Callable[[ImageSource, Embed], NDArray[Any]]
"""A function that returns the qualities (N,) of images; higher is better. It calls the second argument, which embeds
the images, if it needs their embeddings."""

MakeMeasure = TypeVar("MakeMeasure", bound=Callable[..., Measure])

MEASURES: Registry[Callable[..., Measure]] = Registry(
    "measure of quality", "facemargin.features.measures", plural="measures"
)


def register_measure(name: str, description: str = "") -> Callable[[MakeMeasure], MakeMeasure]:
    """Decorator that registers a function that makes a measure for a model: `make(model, **settings) -> Measure`. Every
    setting needs a default, a number or a text. `make` raises ConfigError for a model to which the measure does not
    apply, and says which one does. `facemargin list measures` shows the `description`."""

    def decorate(make: MakeMeasure) -> MakeMeasure:
        MEASURES.register(name, description=description)(make)
        return make

    return decorate


def list_measures(pattern: str = "*") -> list[str]:
    """The sorted names of the measures of quality that match a shell-style `pattern`.

    Examples:
        >>> import facemargin as fm
        >>> fm.list_measures("n*")
        ['norm']
    """
    return MEASURES.names(pattern)


def make_measure(text: str, model: Model) -> Measure:
    """The measure called `text` for the images of `model`: a name, or a name with settings, such as "serfiq:seed=1" or
    "serfiq:dropout=0.5:passes=50".

    Raises ConfigError for an unknown name or setting, for a value out of range, and for a model to which the measure
    does not apply.
    """
    name, *given = text.split(":")
    make = MEASURES[name]
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(make).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    settings: dict[str, Any] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"the measure is {text!r}: {item!r} is not a setting, expected name=value")
        if key not in defaults:
            known = unknown_name(f"setting of the measure {name}", key, defaults) if defaults else "it has no settings"
            raise ConfigError(f"the measure is {text!r}: {known}")
        if key in settings:
            raise ConfigError(f"the measure is {text!r}: {key} is given twice, expected once")
        settings[key] = _value(text, key, value, defaults[key])
    return make(model, **settings)


def measure_quality(
    model: Model,
    images: ImageSource | GivenForm | Iterable[GivenForm],
    measure: str = "norm",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The qualities (N,) of images by a measure of `list_measures()`; higher is better. Values of different measures,
    or of different models, cannot be compared.

    `images` are aligned as in training, in every form that `Model.embed` takes. `measure` may have settings, as in
    "serfiq:dropout=0.5". `progress(done, all)` is called as images are read. Raises ConfigError for an unknown measure
    and for one that does not apply to the model, CorruptImageError for an image that cannot be read, and DataError for
    a quality that is not finite; both name the image.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> fm.measure_quality(model, fm.open_images("orl:1"), "grafiqs").shape
        (10,)
    """
    source = given_images(images)
    read = source if progress is None else with_progress(source, progress)
    return finite_qualities(make_measure(measure, model)(read, model.embed), source, measure)


def finite_qualities(quality_N: NDArray[Any], images: ImageSource, measure: str) -> NDArray[np.float32]:
    """The qualities as float32. Raises DataError, which names the image, for one that is not finite, and for another
    number of qualities than of images."""
    quality_N = np.asarray(quality_N, dtype=np.float32)
    if quality_N.shape != (len(images),):
        raise DataError(f"{measure} gave qualities of shape {quality_N.shape} for {len(images):,} images")
    finite_N = np.isfinite(quality_N)
    if not finite_N.all():
        raise DataError(
            f"{measure} is not finite ({quality_N[~finite_N][0]}) for {images.describe(int(np.argmin(finite_N)))}"
        )
    return quality_N


def with_progress(images: ImageSource, progress: Progress) -> ImageSource:
    """The same images, which report how many of them have been read."""
    return _Watched(images, progress)


class _Watched(ImageSource):
    """`source`, which reports how many of its images have been read."""

    def __init__(self, source: ImageSource, progress: Progress) -> None:
        self.name, self.threadsafe = source.name, False  # one thread counts
        self.squashing_told = source.squashing_told
        self.source, self._progress, self._read = source, progress, 0

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> RGBImage:
        image = self.source.read(index)
        self._read += 1
        self._progress(min(self._read, len(self)), len(self))
        return image

    def describe(self, index: int) -> str:
        return self.source.describe(index)


def _value(text: str, key: str, value: str, default: Any) -> Any:
    """`value` as the type of the default; a number where there is no default."""
    kind = float if default is None else type(default)
    try:
        return kind(value)
    except ValueError as error:
        expected = {int: "a whole number", float: "a number"}.get(kind, f"a value such as {default}")
        raise ConfigError(f"the measure is {text!r}: {key} is {value!r}, expected {expected}") from error
