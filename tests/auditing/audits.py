"""An audit of embedded faces, with a finding of every kind."""

from facemargin.auditing import KINDS, Audit, AuditedData, Finding, LookedFor
from facemargin.data.source import LabeledImages


def audit_of_faces(images: LabeledImages, more: list[Finding] | None = None) -> Audit:
    """Of three or more people with three images each, at least, in their order."""
    each = len(images) // images.num_identities
    path, names = images.describe, images.identity_names
    findings = [
        Finding(path(0), "mislabelled", 0.98, names[0], names[1], path(each), "nearer to the other"),
        Finding(path(1), "duplicate", 0.97, names[0], "", path(2), "the same picture"),
        Finding(path(each + 1), "unrecognisable", 0.96, names[1], reason="blurred"),
        Finding(path(each + 2), "no_face", 0.6, names[1], reason="a wall"),
        Finding(path(0), "split", 0.95, names[0], names[2], path(2 * each), "alike"),
        Finding(path(2 * each), "merged", 0.3, names[2], "", path(2 * each + 1), "two groups"),
        *(more or []),
    ]
    kinds = {kind: LookedFor("by hand", 0.1, 0.875) for kind in KINDS}
    groups = {names[2]: [path(2 * each)]}
    return Audit(findings, kinds, AuditedData.of(images), "embeddings", groups=groups)
