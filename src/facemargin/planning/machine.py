"""The hardware of a plan, and the fractions of its peak values that are reached."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from facemargin.planning.hardware import Efficiency, Float32Products, Hardware


@dataclass(frozen=True)
class Operation:
    """flops: a multiply-add counts as two. bytes: read and written, each tensor once. half: whether it computes in bf16
    or fp16."""

    flops: float
    bytes: float
    half: bool = False


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One GPU and its links, the fractions of their peak values that are reached, and how float32 products are
    computed."""

    hardware: Hardware
    efficiency: Efficiency = field(default_factory=Efficiency)
    float32_products: Float32Products = "tf32"

    def seconds(self, operations: Iterable[Operation]) -> float:
        """Σ max(flops/(peak FLOP/s · efficiency), bytes/(bandwidth · efficiency)), one operation after another."""
        hardware, efficiency = self.hardware, self.efficiency
        single = hardware.flops_tf32 if self.float32_products == "tf32" else hardware.flops_float32
        bytes_per_second = hardware.bandwidth * efficiency.memory
        seconds = 0.0
        for operation in operations:
            peak = hardware.flops_16bit if operation.half else single
            seconds += max(operation.flops / (peak * efficiency.compute), operation.bytes / bytes_per_second)
        return seconds

    def link_rate(self, gpus: int, gpus_per_node: int) -> float:
        """Bytes/s that a process sends in a ring of `gpus`: the rate of its link within a node. Between nodes, the ring
        of all processes enters and leaves each node once, so that the node's network carries the data of a single
        process."""
        hardware = self.hardware
        rate = hardware.link if gpus <= gpus_per_node else min(hardware.link, hardware.network)
        return rate * self.efficiency.communication
