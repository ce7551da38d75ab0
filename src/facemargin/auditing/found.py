"""What an audit works on and what it gathers: embedded images, findings, and how they were looked for."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from facemargin.auditing.interclass import Interclass
from facemargin.auditing.planted import LISTED
from facemargin.auditing.result import LookedFor
from facemargin.auditing.space import Integers
from facemargin.data.findings import Finding, Kind
from facemargin.data.source import LabeledImages
from facemargin.evaluation.embeddings import Embed, Embeddings

Report = Callable[[int, int], None]
Progress = Callable[[str, str], AbstractContextManager[Report]]
"""A function that shows the progress of what is done, "comparing", with its unit, "labels"."""


def unseen(doing: str, unit: str) -> AbstractContextManager[Report]:
    """No progress is shown."""
    return nullcontext(lambda done, total: None)


@dataclass
class Found:
    """Findings, how they were looked for, what was left out, and a threshold for interclass filtering; see `Audit`."""

    findings: list[Finding] = field(default_factory=list)
    kinds: dict[Kind, LookedFor] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    interclass: Interclass | None = None

    def add(self, kind: Kind, findings: list[Finding], how: str, threshold: float = LISTED) -> None:
        """The findings of a kind: all that have at least the threshold as their score, or are listed anyway."""
        threshold = min([threshold, *(finding.score for finding in findings)])
        precision = float(np.mean([finding.score for finding in findings])) if findings else None
        self.findings += findings
        self.kinds[kind] = LookedFor(how, threshold, precision)


@dataclass(frozen=True)
class EmbeddedImages:
    """`embeddings` of the `images` at `rows_N`, those that can be read. `embed` embeds more pictures the same way, and
    `device` computes products."""

    images: LabeledImages
    embeddings: Embeddings
    rows_N: Integers
    embed: Embed
    device: torch.device

    def path(self, image: int) -> str:
        """What the set calls one of the embedded images."""
        return self.images.describe(int(self.rows_N[image]))

    def person(self, label: int) -> str:
        return self.images.identity_names[int(label)]
