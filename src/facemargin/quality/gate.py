"""The limits that a face must keep to be worth enrolling."""

from dataclasses import dataclass, fields

from facemargin.errors import ConfigError


@dataclass(frozen=True)
class QualityGate:
    """The limits of `ImageStatistics`. A value at its limit passes. The defaults pass 99 % of LFW's faces.

    Raises ConfigError for a limit that is out of its range, and unless min_brightness is below max_brightness.

    Examples:
        >>> import facemargin as fm
        >>> statistics = fm.image_statistics(fm.open_images("orl").read(0))
        >>> [reason.code for reason in statistics.reasons(fm.QualityGate(min_contrast=100))]
        ['low_contrast']
    """

    min_eye_distance: float = 20.0
    """The smallest distance between the eyes, in pixels of the photograph. A face below it is enlarged by more than
    1.7 for a network that reads 112 × 112 pixels."""
    min_sharpness: float = 0.45
    """The smallest sharpness."""
    max_noise: float = 6.0
    """The largest standard deviation of the noise, in grey values."""
    min_brightness: float = 40.0
    """The smallest mean grey value. It is low, so that dark skin in good light passes."""
    max_brightness: float = 220.0
    """The largest mean grey value, below 255."""
    min_contrast: float = 15.0
    """The smallest standard deviation of the grey values."""
    max_clipped: float = 0.2
    """The largest share of pixels that are as good as black or white."""
    max_yaw: float = 40.0
    """The largest turn to a side, in degrees."""
    max_pitch: float = 30.0
    """The largest angle up or down, in degrees."""
    max_roll: float = 45.0
    """The largest tilt of the line between the eyes, in degrees. Alignment turns the face upright, so it hardly
    matters."""
    min_score: float = 0.6
    """The smallest score of the detector, below 1."""

    def __post_init__(self) -> None:
        below = {"max_brightness": 255.0, "min_score": 1.0}
        for name in (field.name for field in fields(self)):
            value, end = getattr(self, name), below.get(name, float("inf"))
            if not 0 < value < end:
                expected = "a number above 0" if name not in below else f"a number between 0 and {end:g}"
                raise ConfigError(f"{name} is {value}, expected {expected}")
        if self.min_brightness >= self.max_brightness:
            raise ConfigError(
                f"min_brightness is {self.min_brightness}, expected less than max_brightness, {self.max_brightness}: "
                "no picture would pass"
            )
