"""What embeddings, or the recording of a training, say of a training set: wrong labels, copies, nobody's pictures."""

from facemargin.auditing.result import Audit, AuditedData, LookedFor, load_audit
from facemargin.auditing.run import audit
from facemargin.data.findings import KINDS, Finding

__all__ = ["KINDS", "Audit", "AuditedData", "Finding", "LookedFor", "audit", "load_audit"]
