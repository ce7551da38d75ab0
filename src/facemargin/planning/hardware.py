"""What a GPU and its links can do: datasheet values, and the fraction of them that training is assumed to reach."""

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

    flops_16bit: matrix products in bf16 or fp16 that accumulate in float32; flops_tf32: in TF32 (float32's where there
    is none); flops_float32: in float32. memory: bytes; bandwidth: of that memory. link: what a GPU sends to others of
    its node, in one direction. network: what a whole node sends to others, in one direction. bf16: whether it computes
    in it, for a processor whether this machine's does. device: what torch calls its kind.
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

    def precision(self, wanted: Precision) -> Precision:
        """The backbone's precision: "auto" is bf16 where there is bf16 and float32 elsewhere, as in a recipe.

        ConfigError for bf16 on a GPU that does not compute in it, and for 16 bits on a processor that emulates them,
        which takes more memory, how much depends on its instruction set.
        """
        if self.device == "cpu" and (wanted == "fp16" or (wanted == "bf16" and not self.bf16)):
            raise ConfigError(
                f"{self.name}: without instructions for {wanted}, torch copies each image once for every tap of a "
                "convolution, which no plan counts: take float32 as the precision"
            )
        if wanted == "bf16" and not self.bf16:
            raise ConfigError(f"{self.name} does not compute in bf16: take fp16 or float32 as the precision")
        if wanted == "auto":
            return "bf16" if self.bf16 else "float32"
        return wanted


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Assumed fractions of the peak values: of matrix products, of the memory's bandwidth, of the links.

    The defaults are round numbers with which a plan agrees with what arcface_torch's documentation gives for eight V100
    (docs/plan.md); with 1 each, times are lower bounds.
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
    """`tflops`: 16-bit, TF32, float32. `gigabytes`: memory; bandwidth, link and network a second."""
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


# NVIDIA's datasheets, dense. `link` is half of what they give for NVLink or PCIe, which counts both directions. The
# network is not the GPU's: 400, 200 and 4 × 100 Gb/s adapters for the 8 GPUs of a DGX H100, A100 and V100; 100 Gb/s
# for a node of the others.
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
    """The GPU `name` of the table with what is given in its place, or hardware of another kind: "custom", a GPU, or
    "cpu".

    tflops: TFLOP/s of every matrix product; memory in GB; bandwidth, link and network in GB/s. The other kinds need the
    first three; their links are as fast as their memory unless they are given. Raises ConfigError for an unknown name,
    a value that is missing and one that is not positive.
    """
    given = {"flops": tflops, "memory": memory, "bandwidth": bandwidth, "link": link, "network": network}
    for option, number in given.items():
        if number is not None and not number > 0:
            raise ConfigError(f"{option} is {number}, expected a positive number")
    if name in OTHERS:
        missing = [option for option in ("flops", "memory", "bandwidth") if given[option] is None]
        if missing:
            raise ConfigError(f"{name} hardware is in no table: give {', '.join(missing)}, too")
        link, network = link or bandwidth, network or bandwidth
        device = OTHERS[name]
        bf16 = device == "cuda" or computes_bf16(torch.device("cpu"))
        base = replace(_gpu(name, (0, 0, 0), (0, 0, 0, 0), bf16), device=device)
    elif name in GPUS:
        base = GPUS[name]
    else:
        raise ConfigError(unknown_name("gpu", name, [*GPUS, *OTHERS]))

    def value(own: float, given: float | None, unit: float) -> float:
        return own if given is None else given * unit

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
