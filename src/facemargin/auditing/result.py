"""The result of an audit, and its folder: findings.csv and audit.json."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facemargin.auditing.interclass import Interclass
from facemargin.counting import counted
from facemargin.data.findings import FINDINGS_FILE, KINDS, Finding, Kind, read_findings, write_findings
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.files.atomic import write_text_atomically
from facemargin.training.audited_data import AUDIT_FILE, AUDIT_FORMAT, AuditedData, damaged, read_audit_file


@dataclass(frozen=True)
class LookedFor:
    """How findings of a kind were looked for: `how`, in words, or why they were not. `threshold`: the smallest score
    that is listed. `estimated_precision`: the share of the listed findings that is estimated to be right. Both are None
    where it was not looked for."""

    how: str
    threshold: float | None = None
    estimated_precision: float | None = None


@dataclass(frozen=True)
class Audit:
    """What `audit` found. Iterating gives the findings: by kind, surest first.

    `kinds` {kind: LookedFor} says how each kind was looked for. `groups` {label: paths} are the images of the smaller
    group under every label of a "merged" finding. `source` is "embeddings" or "recording"; `model` and `recording` say
    of which. `left_out` are sentences on what was not audited. `interclass`: a threshold for interclass filtering,
    where there are enough images to measure one.

    Examples:
        >>> import facemargin as fm
        >>> finding = fm.Finding("s2/9.png", "mislabelled", 0.98, "s2", "s1")
        >>> images, looked = fm.open_images("orl:1-2"), fm.auditing.LookedFor("by eye", 0.5)
        >>> data = fm.auditing.AuditedData.of(images)
        >>> audit = fm.Audit([finding], dict.fromkeys(fm.auditing.KINDS, looked), data, "embeddings")
        >>> len(audit), audit.counts()["mislabelled"], next(iter(audit)).suggested
        (1, 1, 's1')
    """

    findings: list[Finding]
    kinds: dict[Kind, LookedFor]
    data: AuditedData
    source: str
    model: dict[str, Any] | None = None
    recording: dict[str, Any] | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    interclass: Interclass | None = None

    def __post_init__(self) -> None:
        order = {kind: number for number, kind in enumerate(KINDS)}
        self.findings.sort(key=lambda finding: (order[finding.kind], -finding.score))

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def counts(self) -> dict[Kind, int]:
        """The number of findings of every kind, also 0."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def save(self, folder: Path | str) -> None:
        """Write findings.csv and audit.json to `folder`, which is made. Raises OutputError."""
        write_findings(self.findings, Path(folder) / FINDINGS_FILE)
        about = {
            "format": AUDIT_FORMAT,
            "source": self.source,
            "data": asdict(self.data),
            "model": self.model,
            "recording": self.recording,
            "kinds": {kind: {"findings": n, **asdict(self.kinds[kind])} for kind, n in self.counts().items()},
            "groups": self.groups,
            "left_out": self.left_out,
            "interclass": None if self.interclass is None else asdict(self.interclass),
        }
        write_text_atomically(Path(folder) / AUDIT_FILE, json.dumps(about, indent=1, allow_nan=False) + "\n")

    def require_same_data(self, images: LabeledImages) -> None:
        """Raises DataError, saying what differs, unless `images` are those that were audited, in the same order. Where
        they lie does not matter."""
        self.data.require_same(images)


def load_audit(folder: Path | str) -> Audit:
    """The audit that was saved to `folder`. Raises DataError, which names the file, if one is missing or damaged.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> images, looked = fm.open_images("orl:1-2"), fm.auditing.LookedFor("by eye", 0.5)
        >>> data, folder = fm.auditing.AuditedData.of(images), tempfile.mkdtemp()
        >>> fm.Audit([], dict.fromkeys(fm.auditing.KINDS, looked), data, "embeddings").save(folder)
        >>> audit = fm.load_audit(folder)
        >>> audit.require_same_data(images)
        >>> len(audit), audit.data.people
        (0, 2)
    """
    path = Path(folder) / AUDIT_FILE
    findings = read_findings(Path(folder) / FINDINGS_FILE)
    about = read_audit_file(path)
    try:
        kinds = {kind: LookedFor(*(about["kinds"][kind][name] for name in _LOOKED_FOR)) for kind in KINDS}
        counts = {kind: about["kinds"][kind]["findings"] for kind in KINDS}
        groups = {str(label): [str(path) for path in paths] for label, paths in about["groups"].items()}
        audit = Audit(
            findings, kinds, AuditedData(**about["data"]), str(about["source"]), about["model"], about["recording"],
            groups, [str(text) for text in about["left_out"]],
            Interclass(**about["interclass"]) if about.get("interclass") else None,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error
    if audit.counts() != counts:
        raise DataError(
            f"{path} tells of {counted(sum(counts.values()), 'finding')}, but {FINDINGS_FILE} beside it holds others, "
            f"{len(audit):,}: they belong to two audits, or rows were changed. To decide, keep decisions in a file of "
            "their own"
        )
    return audit


_LOOKED_FOR = ("how", "threshold", "estimated_precision")
