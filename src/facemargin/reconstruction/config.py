"""What a recipe says about the reconstruction."""

from dataclasses import dataclass, fields

from facemargin.errors import ConfigError

GROUPS = 4
"""Group norms have this many groups, so that every network's width is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """The networks, what they may say, and the weights of the losses. Lengths are in units of the head's distance."""

    width: int = 16
    """Channels of the first convolution of every network."""
    latent_size: int = 128
    """Numbers that depth, albedo and confidence are each squeezed through; a small one keeps the canonical face from
    being a copy of the image."""
    field_of_view: float = 10.0
    """Degrees that the camera's picture spans."""
    relief: float = 0.07
    """How far the tip of the bump that every head starts from stands out."""
    residual_depth: float = 0.03
    """How far the network may move the surface from there, both ways."""
    largest_angle: float = 60.0
    """Largest degrees of yaw, pitch or roll."""
    largest_shift: float = 0.03
    """How far the head's centre may move along each axis."""
    lambda_reco: float = 1.0
    """Weight of LH2Face's L_reco."""
    lambda_canon: float = 0.5
    """Weight of the recogniser's loss on the canonical face."""
    lambda_view: float = 0.1
    """Weight of L_view."""
    lambda_symmetry: float = 1.0
    """The mirrored albedo's share of L_reco, 0 for none."""
    lambda_smooth: float = 0.3
    """Weight of the surface's roughness."""

    def __post_init__(self) -> None:
        if self.width < GROUPS or self.width % GROUPS:
            raise ConfigError(f"width is {self.width}, expected a multiple of {GROUPS}, as 16")
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
