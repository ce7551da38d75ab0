"""Figures that were measured, with where: what plans of embedding and of galleries are computed from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """`value` in `unit`, and how it was `measured`."""

    value: float
    unit: str
    measured: str


H100_BF16 = Measured(
    2983, "images/s", "H100, IR-50, two views, bf16, the lowest of several runs; benchmarks/results/gpu.md"
)
H100_FLOAT32 = Measured(
    2036, "images/s", "H100, IR-50, two views, float32, the lowest of several runs; benchmarks/results/gpu.md"
)
CORE_BF16 = Measured(
    43.5, "images/s", "a core of a Xeon with AMX (two measured), IR-50, one view, bf16; benchmarks/results/embedding.md"
)
CORE_FLOAT32 = Measured(
    10.8, "images/s", "a core of the same Xeon, IR-50, one view, float32; benchmarks/results/embedding.md"
)
DECODING = Measured(
    9116,
    "images/s",
    "a core of an EPYC, JPEG files of 112 × 112 pixels, read and decoded; benchmarks/results/decode.md",
)
DETECTION = Measured(
    15.4,
    "photographs/s",
    "two busy cores of an EPYC, YuNet, 640 × 480 pixels, 65 ms each; benchmarks/results/detectors.md",
)
JPEG = Measured(6143, "bytes", "the mean JPEG of 112 × 112 pixels in benchmarks/results/decode.md")
SEARCH = Measured(
    150.3,
    "searches/s of a million people",
    "two cores of a Xeon, exact, 3,728 searches at a time, 24.8 s; benchmarks/results/ijb_scoring.md",
)
PERSON_ROW = Measured(87, "bytes", "a person in a gallery's SQLite file; 50,000 people written")
IMAGE_ROW = Measured(134, "bytes", "an image in a gallery's SQLite file; 250,000 images written")
