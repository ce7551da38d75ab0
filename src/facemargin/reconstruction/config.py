"""The settings of the reconstruction in a recipe."""

from dataclasses import dataclass, fields

from facemargin.errors import ConfigError

GROUPS = 4
"""Number of groups of every group norm. The width of every network is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """The size of the networks, the range of their outputs, and the weights of the losses. Lengths are in units of the
    distance between camera and head."""

    width: int = 16
    """Channels of the first convolution of every network."""
    latent_size: int = 128
    """Size of the bottleneck through which depth, albedo and confidence are each computed. A small one prevents the
    canonical face from being a copy of the image."""
    field_of_view: float = 10.0
    """The camera's field of view in degrees."""
    relief: float = 0.07
    """Height of the bump that is the initial shape of every head."""
    residual_depth: float = 0.03
    """The largest distance by which the network may move the surface from the initial shape, forwards or backwards."""
    largest_angle: float = 60.0
    """The largest yaw, pitch or roll in degrees."""
    largest_shift: float = 0.03
    """The largest shift of the head's centre along each axis."""
    lambda_reco: float = 1.0
    """Weight of LH2Face's L_reco."""
    lambda_canon: float = 0.5
    """Weight of the recognition loss on the canonical face."""
    lambda_view: float = 0.1
    """Weight of L_view."""
    lambda_symmetry: float = 1.0
    """Weight of the mirrored albedo in L_reco; 0 leaves it out."""
    lambda_smooth: float = 0.3
    """Weight of the smoothness term, the roughness of the surface."""

    def __post_init__(self) -> None:
        if self.width < GROUPS or self.width % GROUPS:
            raise ConfigError(f"width is {self.width}, expected a multiple of {GROUPS}, such as 16")
        if self.latent_size < 1:
            raise ConfigError(f"latent_size is {self.latent_size}, expected at least 1 (128 is usual)")
        for name, smallest, largest in (
            ("field_of_view", 1, 20),
            ("relief", 0.01, 0.5),
            ("residual_depth", 0, 0.25),
            ("largest_angle", 0, 60),
            ("largest_shift", 0, 0.25),
        ):
            if not smallest <= getattr(self, name) <= largest:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number from {smallest} to {largest}")
        for name in (field.name for field in fields(self) if field.name.startswith("lambda_")):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 or more")
