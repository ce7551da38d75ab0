"""What embeddings, or the recording of a training, say of a training set: wrong labels, copies, nobody's pictures."""

from facemargin.auditing.decisions import Decision, read_decisions, write_decisions
from facemargin.auditing.result import Audit, LookedFor, load_audit
from facemargin.auditing.run import audit
from facemargin.data.findings import KINDS, Finding
from facemargin.training.audited_data import AuditedData

__all__ = [
    "KINDS",
    "Audit",
    "AuditedData",
    "Decision",
    "Finding",
    "LookedFor",
    "audit",
    "load_audit",
    "read_decisions",
    "write_decisions",
]
