"""Which images an audit was of, and which images of a set its findings mean. Shapes: N images."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.findings import FINDINGS_FILE, KINDS, SURE, Finding, Kind, read_findings
from facemargin.data.image_places import ImagePlaces
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.training.data_fingerprint import DataFingerprint

AUDIT_FILE = "audit.json"
AUDIT_FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditedData:
    """Which images were audited: the `name` of the set, how many, and digests of the people's names in their order, of
    all labels, and of the stored bytes of up to 1,024 images drawn evenly."""

    name: str
    images: int
    people: int
    names_digest: str
    labels_digest: str
    pictures_digest: str

    @classmethod
    def of(cls, images: LabeledImages) -> "AuditedData":
        fingerprint = DataFingerprint.of(images)
        return cls(
            images.name,
            len(images),
            images.num_identities,
            hashlib.blake2b(fingerprint.people.numpy().tobytes(), digest_size=16).hexdigest(),
            fingerprint.labels,
            hashlib.blake2b(fingerprint.sample_S.numpy().astype("<i8").tobytes(), digest_size=16).hexdigest(),
        )

    def differences(self, images: LabeledImages) -> str:
        """What differs where `images` are not those that were audited, in the same order; empty if they are. Where they
        lie does not matter."""
        now = AuditedData.of(images)
        return "; ".join(
            f"{what} {getattr(self, name):,} before, {getattr(now, name):,} now"
            if isinstance(getattr(now, name), int) and isinstance(getattr(self, name), int)
            else what
            for name, what in _DIFFERENCES.items()
            if getattr(now, name) != getattr(self, name)
        )

    def require_same(self, images: LabeledImages) -> None:
        """Raises DataError, saying what differs, unless `images` are those that were audited, in the same order."""
        if differs := self.differences(images):
            raise DataError(
                f"{images.name} is not the set that was audited, {self.name}: {differs}. Its findings would mean other "
                "images: audit it again"
            )


_DIFFERENCES = {
    "images": "the number of images:",
    "people": "the number of people:",
    "names_digest": "other names of people, or in another order",
    "labels_digest": "other labels, or images in another order",
    "pictures_digest": "other pictures",
}


def read_audit_file(path: Path) -> dict[str, Any]:
    """What an audit.json says. Raises DataError if it is missing or damaged, or of a later facemargin."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        written = about["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, error) from error
    if written != AUDIT_FORMAT:
        raise DataError(f"{path} has format {written!r}, expected {AUDIT_FORMAT}: it needs a later facemargin")
    return dict(about)


def damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or missing ({error!r}): audit again")


class FoundImages:
    """Which of `images` the findings in the `folder` of an audit mean.

    If they are those that were audited, by the digests in audit.json, it does not matter where they lie. If they are
    not, or there is no audit.json, images are recognised by their paths alone, and the former is warned of. Raises
    DataError if the audit has findings of image `kinds` that `images` do not have."""

    def __init__(self, images: LabeledImages, folder: Path, kinds: Sequence[Kind]) -> None:
        self.findings: list[Finding] = read_findings(folder / FINDINGS_FILE)
        self._num_images = len(images)
        of_kinds = [finding for finding in self.findings if finding.kind in kinds]
        path = folder / AUDIT_FILE
        try:
            data = AuditedData(**read_audit_file(path)["data"]) if path.exists() else None
        except (TypeError, KeyError) as error:
            raise damaged(path, error) from error
        differs = "there is no audit.json, so only paths tell" if data is None else data.differences(images)
        if not differs:
            places = ImagePlaces(images, self.findings)
            self._images = {finding: places.of(finding.path, finding.label) for finding in of_kinds}
            return
        number = {images.describe(index): index for index in range(len(images))} if of_kinds else {}
        if missing := [finding.path for finding in of_kinds if finding.path not in number]:
            raise DataError(
                f"{folder / FINDINGS_FILE}: {counted(len(missing), 'finding is', 'findings are')} of images that "
                f"{images.name} does not have, such as {missing[0]}: the audit was of another set ({differs}). Audit "
                f"{images.name}"
            )
        if data is not None and of_kinds:
            logger.warning(
                "%s is not quite the set that was audited, %s: %s. The images that were found are recognised by their "
                "paths, which are all there; audit %s again if they may hold other pictures now",
                images.name,
                data.name,
                differs,
                images.name,
            )
        self._images = {finding: [number[finding.path]] for finding in of_kinds}

    def image(self, finding: Finding) -> int:
        """The number of the image of a finding of the `kinds`."""
        return self._images[finding][0]

    def kinds_of_images(self, least: float = SURE) -> NDArray[np.str_]:
        """Of every image (N,) the kind of its surest finding with a score of `least` or more, or ""."""
        kind_N = np.full(self._num_images, "", dtype=f"<U{max(map(len, KINDS))}")
        for finding in sorted(self._images, key=lambda finding: finding.score):
            if finding.score >= least:
                kind_N[self._images[finding]] = finding.kind
        return kind_N

    def among(self, kinds: Sequence[Kind], least: float = SURE) -> NDArray[np.bool_]:
        """Which images (N,) have a finding of one of the `kinds` with a score of `least` or more."""
        among_N = np.zeros(self._num_images, bool)
        for finding, images in self._images.items():
            if finding.kind in kinds and finding.score >= least:
                among_N[images] = True
        return among_N
