"""The speed and memory of GPUs and their links: datasheet values, and the fractions of them that training is assumed to
reach."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from facemargin.backbones.precision import computes_bf16
from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

Precision = Literal["auto", "float32", "bf16", "fp16"]
Device = Literal["cuda", "cpu"]
Float32Products = Literal["tf32", "float32"]

_TERA, _GIGA = 1e12, 1e9


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Peak values of one GPU in FLOP/s, bytes and bytes/s; a multiply-add is two FLOP, sparsity is not counted.

    flops_16bit: matrix products in bf16 or fp16 that accumulate in float32; flops_tf32: in TF32 (the value of float32
    for a GPU without TF32); flops_float32: in float32. memory: bytes; bandwidth: of that memory. link: the rate at
    which a GPU sends to others of its node, in one direction. network: the rate at which a whole node sends to others,
    in one direction. bf16: whether it computes in bf16 (for "cpu": whether this machine's processor does). device:
    torch's name for this kind of device. fused_head: whether the head's "auto" is "triton" for large products: on
    NVIDIA GPUs from compute capability 8.0 on, which are those that compute in bf16.
    """

    name: str
    flops_16bit: float
    flops_tf32: float
    flops_float32: float
    memory: float
    bandwidth: float
    link: float
    network: float
    bf16: bool = True
    device: Device = "cuda"

    @property
    def fused_head(self) -> bool:
        return self.device == "cuda" and self.bf16

    def precision(self, wanted: Precision) -> Precision:
        """The backbone's precision: "auto" is bf16 on hardware that computes in bf16 and float32 on other hardware, as
        in a recipe.

        Raises ConfigError for bf16 on a GPU that does not compute in it, and for 16 bits on a processor without
        instructions for it: emulation takes more memory, and how much depends on the instruction set.
        """
        if self.device == "cpu" and (wanted == "fp16" or (wanted == "bf16" and not self.bf16)):
            raise ConfigError(
                f"{self.name}: this processor has no instructions for {wanted}, and torch then needs additional "
                "memory that a plan cannot predict: use float32 as the precision"
            )
        if wanted == "bf16" and not self.bf16:
            raise ConfigError(f"{self.name} does not compute in bf16: use fp16 or float32 as the precision")
        if wanted == "auto":
            return "bf16" if self.bf16 else "float32"
        return wanted


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """The assumed fractions of the peak values that are reached: by matrix products, by the memory, by the links.

    The defaults are round numbers. With them, a plan agrees with the times in arcface_torch's documentation for eight
    V100 (docs/plan.md). With 1 for each, times are lower bounds.
    """

    compute: float = 0.35
    """The fraction of the peak rate that matrix products reach."""
    memory: float = 0.5
    """The fraction of the memory's bandwidth that is reached."""
    communication: float = 0.7
    """The fraction of the links' rate that is reached."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value <= 1:
                raise ConfigError(f"efficiency.{name} is {value}, expected a fraction above 0 and up to 1")


def _gpu(
    name: str, tflops: tuple[float, float, float], gigabytes: tuple[float, float, float, float], bf16: bool = True
) -> Hardware:
    """`tflops`: 16-bit, TF32, float32. `gigabytes`: memory; bandwidth, link and network per second."""
    memory, bandwidth, link, network = (value * _GIGA for value in gigabytes)
    half, tf32, single = (value * _TERA for value in tflops)
    return Hardware(
        name=name,
        flops_16bit=half,
        flops_tf32=tf32,
        flops_float32=single,
        memory=memory,
        bandwidth=bandwidth,
        link=link,
        network=network,
        bf16=bf16,
    )


# From NVIDIA's datasheets, without sparsity. `link` is half of their value for NVLink or PCIe, which counts both
# directions. The network belongs to the node: 400, 200 and 4 × 100 Gb/s adapters for the 8 GPUs of a DGX H100, A100 and
# V100; 100 Gb/s for a node of the others.
GPUS = {
    "h200": _gpu("H200", (989.4, 494.7, 66.9), (141, 4800, 450, 400)),
    "h100": _gpu("H100", (989.4, 494.7, 66.9), (80, 3350, 450, 400)),
    "a100_80gb": _gpu("A100 80 GB", (312, 156, 19.5), (80, 2039, 300, 200)),
    "a100_40gb": _gpu("A100 40 GB", (312, 156, 19.5), (40, 1555, 300, 200)),
    "v100": _gpu("V100 32 GB", (125, 15.7, 15.7), (32, 900, 150, 50), bf16=False),
    "l4": _gpu("L4", (121, 60, 30.3), (24, 300, 32, 12.5)),
    "rtx_4090": _gpu("RTX 4090", (165.2, 82.6, 82.6), (24, 1008, 32, 12.5)),
}

OTHERS: dict[str, Device] = {"custom": "cuda", "cpu": "cpu"}


def find_hardware(
    name: str,
    *,
    tflops: float | None = None,
    memory: float | None = None,
    bandwidth: float | None = None,
    link: float | None = None,
    network: float | None = None,
) -> Hardware:
    """The GPU `name` of the table, or other hardware: "custom" (a GPU) or "cpu". Given values replace those of the
    table.

    tflops: TFLOP/s of every matrix product; memory in GB; bandwidth, link and network in GB/s. "custom" and "cpu" need
    the first three; their links are as fast as their memory unless given. Raises ConfigError for an unknown name and
    for a value that is missing or not positive.
    """
    given = {"flops": tflops, "memory": memory, "bandwidth": bandwidth, "link": link, "network": network}
    for option, number in given.items():
        if number is not None and not number > 0:
            raise ConfigError(f"{option} is {number}, expected a positive number")
    if name in OTHERS:
        missing = [option for option in ("flops", "memory", "bandwidth") if given[option] is None]
        if missing:
            raise ConfigError(f"the values of {name} hardware are not known: give {', '.join(missing)} as well")
        link, network = link or bandwidth, network or bandwidth
        device = OTHERS[name]
        bf16 = device == "cuda" or computes_bf16(torch.device("cpu"))
        base = replace(_gpu(name, (0, 0, 0), (0, 0, 0, 0), bf16), device=device)
    elif name in GPUS:
        base = GPUS[name]
    else:
        raise ConfigError(unknown_name("gpu", name, [*GPUS, *OTHERS]))

    def value(table_value: float, given: float | None, unit: float) -> float:
        return table_value if given is None else given * unit

    return replace(
        base,
        flops_16bit=value(base.flops_16bit, tflops, _TERA),
        flops_tf32=value(base.flops_tf32, tflops, _TERA),
        flops_float32=value(base.flops_float32, tflops, _TERA),
        memory=value(base.memory, memory, _GIGA),
        bandwidth=value(base.bandwidth, bandwidth, _GIGA),
        link=value(base.link, link, _GIGA),
        network=value(base.network, network, _GIGA),
    )
