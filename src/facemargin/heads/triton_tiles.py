"""What of the triton head depends on the device: sizes of tiles and of chunks, in one table.

Shapes: B samples, C classes, D feature values, K classes of one chunk.
"""

from typing import NamedTuple


class Tiles(NamedTuple):
    """How a kernel cuts B×C×D, the warps of a program, and how many loads are under way at a time."""

    block_b: int
    block_c: int
    block_d: int
    warps: int
    stages: int


class Settings(NamedTuple):
    """statistics, gradient: the tiles of these kernels. centers: those of the kernel that computes the gradient of the
    centres, or None for an ordinary product and a second pass over its result. chunk_entries: entries of the gradient
    G_BK that are held at a time; a chunk must be enough work to hide the launches of its kernels."""

    statistics: Tiles
    gradient: Tiles
    centers: Tiles | None
    chunk_entries: int


#: By family of devices, precision of the cosines and type of backward's factors. All were chosen by the
#: registers, spills and shared memory that the compiler reports: the largest tile that fits, as it reads the fewest
#: operands. Those of Hopper with TF32 and float32 are also the fastest of those timed on an H100, and its chunks: at
#: 1024 × 205,990 backward takes 3.8 ms with 65,536 classes a chunk, 4.3 with 16,384 and 6.1 with 8,192. The matrix
#: units of Hopper take 16-bit factors in any layout, TF32 ones in one only, which Gᵀ·x does not have.
#: `benchmarks/triton_head.py --tiles` times others.
SETTINGS: dict[tuple[str, str, str], Settings] = {
    ("hopper", "tf32", "float32"): Settings(
        Tiles(128, 256, 32, 8, 3), Tiles(128, 256, 32, 8, 3), centers=None, chunk_entries=2**26
    ),
    ("hopper", "tf32x3", "float32"): Settings(
        Tiles(128, 128, 32, 8, 3), Tiles(128, 128, 32, 8, 3), centers=None, chunk_entries=2**26
    ),
    ("hopper", "tf32", "bf16"): Settings(
        Tiles(128, 256, 32, 8, 3), Tiles(128, 128, 32, 8, 3), centers=Tiles(64, 128, 256, 8, 3), chunk_entries=2**26
    ),
    ("hopper", "tf32x3", "bf16"): Settings(
        Tiles(128, 128, 32, 8, 3), Tiles(128, 128, 32, 8, 3), centers=Tiles(64, 128, 256, 8, 3), chunk_entries=2**26
    ),
    ("ampere", "tf32", "float32"): Settings(
        Tiles(64, 128, 32, 8, 3), Tiles(64, 128, 32, 8, 3), centers=None, chunk_entries=2**24
    ),
    ("ampere", "tf32x3", "float32"): Settings(
        Tiles(64, 64, 32, 8, 3), Tiles(64, 64, 32, 8, 3), centers=None, chunk_entries=2**24
    ),
    ("ampere", "tf32", "bf16"): Settings(
        Tiles(64, 128, 32, 8, 3), Tiles(64, 128, 32, 8, 3), centers=Tiles(32, 128, 128, 8, 3), chunk_entries=2**24
    ),
    ("ampere", "tf32x3", "bf16"): Settings(
        Tiles(64, 64, 32, 8, 3), Tiles(64, 64, 32, 8, 3), centers=Tiles(32, 128, 128, 8, 3), chunk_entries=2**24
    ),
    ("interpreter", "ieee", "float32"): Settings(
        Tiles(16, 32, 16, 4, 1), Tiles(16, 16, 16, 4, 1), centers=None, chunk_entries=2**24
    ),
    ("interpreter", "ieee", "bf16"): Settings(
        Tiles(16, 32, 16, 4, 1), Tiles(16, 16, 16, 4, 1), centers=Tiles(16, 16, 32, 4, 1), chunk_entries=2**24
    ),
}
