"""The part of the B×C work that one GPU does. Shapes: C classes, P processes, B samples of the global batch."""

import math
from dataclasses import dataclass

from facemargin.heads.sharding import shard_range
from facemargin.planning.job import HeadKind, Job


@dataclass(frozen=True)
class HeadShape:
    """rows: the number of centres that the GPU holds. active_rows: how many of them take part in a step. samples: the
    number of samples whose cosines to these centres it computes. gathered: whether these are the samples of all
    GPUs. sub_centers: how many of the centres are of one class."""

    rows: int
    active_rows: int
    samples: int
    embedding_size: int
    gathered: bool
    sub_centers: int = 1

    @property
    def active_classes(self) -> int:
        return self.active_rows // self.sub_centers

    @property
    def cosines(self) -> int:
        """To all centres of a step."""
        return self.samples * self.active_rows


def head_shape(job: Job, kind: HeadKind) -> HeadShape:
    """The shape on the first GPU, which has one of the largest shards."""
    if kind == "dense":
        rows = job.classes * job.sub_centers
        return HeadShape(rows, rows, job.batch, job.embedding_size, False, job.sub_centers)
    first, last = shard_range(job.classes, 0, job.gpus)
    k, classes = job.sub_centers, last - first
    active = classes
    if kind == "sampled":
        active = max(int(job.sample_rate * classes), expected_positives(job, classes))
    return HeadShape(classes * k, active * k, job.global_batch, job.embedding_size, job.gpus > 1, k)


def expected_positives(job: Job, rows: int) -> int:
    """Expected number of `rows` classes that occur in a global batch whose labels are drawn evenly, rounded up:
    rows·(1 − (1 − 1/C)^B)."""
    if job.classes == 1:
        return 1
    absent = job.global_batch * math.log1p(-1 / job.classes)
    return min(rows, math.ceil(-rows * math.expm1(absent)))
