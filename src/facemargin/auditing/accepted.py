"""The findings of an audit that are acted on."""

from collections.abc import Sequence
from dataclasses import dataclass

from facemargin.auditing.decisions import Decision, finding_key, require_of_audit
from facemargin.auditing.result import Audit
from facemargin.data.findings import Finding


@dataclass(frozen=True)
class Accepted:
    """A finding that is acted on. `where` says who decided: a line of a file, or the score."""

    finding: Finding
    where: str
    by_hand: bool

    def __str__(self) -> str:
        finding = self.finding
        names = " ".join(filter(None, (finding.kind, finding.path, finding.suggested and f"({finding.suggested})")))
        return f"{self.where} ({names})"


def accepted_findings(audit: Audit, decisions: Sequence[Decision], accept_from: float | None) -> list[Accepted]:
    """The findings to act on: those accepted by hand, in their order, and those that nobody decided on whose score is
    at least `accept_from`, surest first. Raises DataError if a decision is on no finding of the audit."""
    require_of_audit(decisions, audit)
    decided = {finding_key(decision.finding) for decision in decisions}
    found = [Accepted(decision.finding, decision.where, True) for decision in decisions if decision.accepted]
    if accept_from is not None:
        sure = [finding for finding in audit if finding.score >= accept_from and finding_key(finding) not in decided]
        sure.sort(key=lambda finding: -finding.score)
        found += [Accepted(finding, f"score {finding.score:.4g}", False) for finding in sure]
    return found


def reason(one: Accepted) -> str:
    """Why something was done, for a log."""
    details = f": {one.finding.reason}" if one.finding.reason else ""
    return f"{one.finding.kind} ({one.where}){details}"
