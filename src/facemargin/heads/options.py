"""How a head holds its centres and computes with them."""

from dataclasses import dataclass, field
from numbers import Real
from typing import get_args

from facemargin.errors import ConfigError
from facemargin.heads.collectives import Group
from facemargin.heads.memory import MemoryConfig
from facemargin.heads.rounded_products import Backward
from facemargin.heads.row_optimizer import RowSGD
from facemargin.heads.softmax_terms import IMPLEMENTATIONS
from facemargin.heads.sub_centers import MOST_SUB_CENTERS
from facemargin.heads.triton import NO_SUB_CENTERS
from facemargin.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """The arguments of `create_head` that are neither sizes nor the margin's."""

    implementation: str = "auto"
    backward: Backward = "float32"
    center_initialization: str | None = None
    sub_centers: int = 1
    process_group: Group = None
    sample_rate: float = 1.0
    row_optimizer: RowSGD = field(default_factory=RowSGD)
    exact_hardest_negative: bool = False
    hardest_class: bool = False
    memory: MemoryConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.implementation not in (*IMPLEMENTATIONS, "auto"):
            raise ConfigError(unknown_name("implementation", self.implementation, [*IMPLEMENTATIONS, "auto"]))
        if self.backward not in get_args(Backward):
            raise ConfigError(unknown_name("backward", self.backward, get_args(Backward)))
        if not isinstance(self.sub_centers, int) or not 1 <= self.sub_centers <= MOST_SUB_CENTERS:
            raise ConfigError(
                f"sub_centers is {self.sub_centers!r}, expected a whole number from 1 to {MOST_SUB_CENTERS}"
            )
        if self.sub_centers > 1 and self.implementation == "triton":
            raise ConfigError(
                f'implementation is "triton" with {self.sub_centers} sub_centers: {NO_SUB_CENTERS}; use "auto", '
                '"chunked" or "eager", or sub_centers 1'
            )
        if self.backward != "float32" and self.implementation == "eager":
            raise ConfigError(
                f'backward is "{self.backward}", which implementation "eager" does not have: use "auto", "chunked" or '
                '"triton", or leave backward out'
            )
        if not isinstance(self.sample_rate, Real) or not 0 < self.sample_rate <= 1:
            raise ConfigError(f"sample_rate is {self.sample_rate!r}, expected a number in (0, 1]")
        if self.exact_hardest_negative and self.sample_rate == 1:
            raise ConfigError(
                "exact_hardest_negative needs a sample_rate below 1: with sample_rate 1 the hardest negative is "
                "exact anyway. Remove one of them"
            )
        if self.memory is not None and not isinstance(self.memory, MemoryConfig):
            raise ConfigError(
                f"memory is {self.memory!r}, expected None, a BroadFaceConfig or a VPLConfig of facemargin.heads"
            )
        if self.memory is not None and self.sub_centers > 1:
            raise ConfigError(
                f"memory is {self.memory} with {self.sub_centers} sub_centers: a memory is made for one centre a "
                "class. Set sub_centers to 1, or leave the memory out"
            )
        if self.memory is not None and self.sample_rate < 1:
            raise ConfigError(
                f"memory is {self.memory} with sample_rate {self.sample_rate}: the classes in a memory would not all "
                "be among a step's sampled ones. Set sample_rate to 1, or leave the memory out"
            )
