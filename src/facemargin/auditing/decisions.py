"""What somebody decided on the findings of an audit: findings.csv with a column more, `decision`."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from facemargin.auditing.result import Audit
from facemargin.data.findings import COLUMNS, Finding, read_rows
from facemargin.errors import DataError
from facemargin.files.atomic import write_atomically
from facemargin.registry import unknown_name

DECISIONS_FILE = "decisions.csv"
DECISION_COLUMN = "decision"
ACCEPT, REJECT = "accept", "reject"

FindingKey = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Decision:
    """Whether a `finding` was accepted or rejected, and `where` that stands: "decisions.csv, line 3"."""

    finding: Finding
    accepted: bool
    where: str


def finding_key(finding: Finding) -> FindingKey:
    """What makes it this finding; another audit of the same images may give it another score and other words."""
    return finding.path, finding.kind, finding.label, finding.suggested, finding.other_path


def read_decisions(path: Path | str) -> list[Decision]:
    """The decisions of a file with the columns of findings.csv and `decision`: accept, reject, or nothing, which is not
    decided yet and left out. Raises DataError, which names the file and the line, for anything else, and for two
    decisions on one finding that differ."""
    found: dict[FindingKey, Decision] = {}
    for finding, where, (text,) in read_rows(Path(path), [DECISION_COLUMN]):
        word = text.strip().lower()
        if not word:
            continue
        if word not in (ACCEPT, REJECT):
            raise DataError(f"{where}: {unknown_name('decision', text, [ACCEPT, REJECT])}")
        decision = Decision(finding, word == ACCEPT, where)
        before = found.setdefault(finding_key(finding), decision)
        if before.accepted != decision.accepted:
            raise DataError(f"{where}: {word}, but {before.where} decides otherwise on the same finding; remove one")
    return list(found.values())


def write_decisions(decisions: Iterable[tuple[Finding, bool]], path: Path | str) -> None:
    """Write findings, each with whether it was accepted, completely or not at all. Raises OutputError."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*COLUMNS, DECISION_COLUMN])
            writer.writerows([*astuple(finding), ACCEPT if accepted else REJECT] for finding, accepted in decisions)

    write_atomically(Path(path), write)


def require_of_audit(decisions: Iterable[Decision], audit: Audit) -> None:
    """Raises DataError, which names the first, if a decision is on no finding of the audit."""
    known = set(map(finding_key, audit))
    strange = [decision for decision in decisions if finding_key(decision.finding) not in known]
    if strange:
        first = strange[0]
        more = f", as of {len(strange) - 1:,} more" if len(strange) > 1 else ""
        raise DataError(
            f"{first.where}: the audit has no such finding ({first.finding.kind}, {first.finding.path}){more}: the "
            "decisions were made on another audit. Give its folder as --audit, or decide again on this one's page"
        )
