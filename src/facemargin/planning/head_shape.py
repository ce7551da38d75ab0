"""The part of the B×C work that one GPU does. Shapes: C classes, P processes, B samples of the global batch."""

import math
from dataclasses import dataclass

from facemargin.heads.sharding import shard_range
from facemargin.planning.job import HeadKind, Job


@dataclass(frozen=True)
class HeadShape:
    """rows: the number of centres that the GPU holds. active_rows: how many of them take part in a step. samples: the
    number of samples whose cosines to these centres it computes. gathered: whether these are the samples of all
    GPUs."""

    rows: int
    active_rows: int
    samples: int
    embedding_size: int
    gathered: bool

    @property
    def cosines(self) -> int:
        return self.samples * self.active_rows


def head_shape(job: Job, kind: HeadKind) -> HeadShape:
    """The shape on the first GPU, which has one of the largest shards."""
    if kind == "dense":
        return HeadShape(job.classes, job.classes, job.batch, job.embedding_size, gathered=False)
    first, last = shard_range(job.classes, 0, job.gpus)
    rows = last - first
    active = rows if kind == "class-parallel" else max(int(job.sample_rate * rows), expected_positives(job, rows))
    return HeadShape(rows, active, job.global_batch, job.embedding_size, gathered=job.gpus > 1)


def expected_positives(job: Job, rows: int) -> int:
    """Expected number of `rows` classes that occur in a global batch whose labels are drawn evenly, rounded up:
    rows·(1 − (1 − 1/C)^B)."""
    if job.classes == 1:
        return 1
    absent = job.global_batch * math.log1p(-1 / job.classes)
    return min(rows, math.ceil(-rows * math.expm1(absent)))
