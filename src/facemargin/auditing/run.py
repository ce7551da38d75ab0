"""`audit`: of a run's recording, of a model's embeddings, or of both."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from facemargin.auditing.alignment_doubt import alignment_doubt
from facemargin.auditing.copies import copies_by_pictures
from facemargin.auditing.embedded import audit_embeddings, duplicate_findings
from facemargin.auditing.found import EmbeddedImages, Found, Progress, unseen
from facemargin.auditing.interclass import interclass, nearest_other_center
from facemargin.auditing.recorded import audit_recording
from facemargin.auditing.result import Audit, LookedFor
from facemargin.auditing.visited import visited
from facemargin.counting import none_readable
from facemargin.data.findings import KINDS
from facemargin.data.open import open_images
from facemargin.data.overlap import difference_hash
from facemargin.data.source import LabeledImages
from facemargin.decision.fingerprint import fingerprint
from facemargin.detection.detector import Detector, require_detector
from facemargin.errors import ConfigError, DataError, ImageError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.store import extract_features, features_key
from facemargin.files.yaml import read_yaml
from facemargin.models.load import load
from facemargin.models.model import Model
from facemargin.models.readable import embed_readable
from facemargin.models.training_faces import warn_of_training_faces
from facemargin.models.views import Views
from facemargin.recording import load_recording
from facemargin.training.audited_data import AuditedData
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.training_images import open_training_images

_MOST_HASHED = 200_000
_COLUMNS = ("sample", "feature_norm", "target_cosine", "hardest_negative", "hardest_class")


def audit(
    run: Path | str | None = None,
    *,
    model: Model | Path | str | None = None,
    data: LabeledImages | Path | str | None = None,
    detector: Detector | str | None = None,
    batch_size: int | None = None,
    views: Views | None = None,
    store: Path | None = None,
    file_key: str = "",
    progress: Progress = unseen,
) -> Audit:
    """What is wrong with a training set.

    `audit(run)`: from the recording of a run that was trained with `recorder: true`: mislabelled, split and
    unrecognisable images, and duplicates by their pictures. `audit(model=…, data=…)`: from the embeddings of any model:
    all kinds. `audit(run, model=…)`: the recording's kinds from the recording, the others from embeddings of the run's
    images. `data` is by default the run's.

    `detector` looks for faces in images that seem to show none. Embeddings are kept in the folder `store`, from which
    an interrupted audit goes on; `file_key` identifies the file of a model without
    weights, such as an ONNX model, for it. Raises ConfigError unless a run, or a model with
    data, is given, and DataError for images or a recording that cannot be used.

    Examples:
        >>> import facemargin as fm, torch
        >>> _ = torch.manual_seed(0)
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=32), input_size=64)
        >>> found = fm.audit(model=model, data="orl:1-3")
        >>> found.source, found.data.people, found.data.images
        ('embeddings', 3, 30)
    """
    if run is None and (model is None or data is None):
        raise ConfigError("audit needs a run with a recording, or a model and data: give one, or both of the others")
    looks = None if detector is None else require_detector(detector)
    images = audited_images(run, data)
    if len(images) == 0:
        raise DataError(f"{images.name} holds no images to audit")
    recording = None if run is None else load_recording(run, _COLUMNS)
    found = Found() if recording is None else audit_recording(recording, images)
    if recording is not None:
        nearest_N = visited(recording).negative_N
        found.interclass = interclass(nearest_N, images, np.arange(len(images)), found.findings, "recording")
    network = load(model) if isinstance(model, (str, Path)) else model
    if network is None:
        _by_pictures(images, found, progress)
    else:
        warn_of_training_faces(network.info, images, _LEARNED)
        of_embeddings = _by_embeddings(images, network, looks, batch_size, views, store, file_key, progress)
        _add(found, of_embeddings)
    return Audit(
        found.findings,
        {kind: found.kinds[kind] for kind in KINDS},
        AuditedData.of(images),
        "embeddings" if recording is None else "recording",
        None if network is None else _described(model, network, views),
        None if recording is None else dict(recording.about),
        found.groups,
        found.left_out,
        found.interclass,
    )


_LEARNED = "it has learned its wrong labels, too, which then look right: audit with another model, such as sface"


def audited_images(run: Path | str | None, data: LabeledImages | Path | str | None) -> LabeledImages:
    """The images that `audit` looks at."""
    if isinstance(data, LabeledImages):
        return data
    if data is not None:
        return open_images(data)
    path = Path(str(run)) / "recipe.yaml"
    if not path.is_file():
        raise DataError(f"{run} has no recipe.yaml, so it is no run folder: give one that facemargin train wrote")
    return open_training_images(recipe_from_mapping(read_yaml(path), str(path)))


def _by_embeddings(
    images: LabeledImages,
    model: Model,
    detector: Detector | None,
    batch_size: int | None,
    views: Views | None,
    store: Path | None,
    file_key: str,
    progress: Progress,
) -> Found:
    with progress("embedding", "images") as report:
        if store is None:
            read = embed_readable(model, images, batch_size, views, report)
            embeddings, rows_N, unreadable = read.embeddings, read.indices_R, read.unreadable
        else:
            stored = extract_features(
                model, images, store, features_key(model, images, views, file_key), batch_size, views, report
            )
            rows_N = np.flatnonzero(stored.readable_N)
            if not len(rows_N):
                raise DataError(none_readable(len(images), images.name))
            vectors_ND = stored.features_ND[rows_N] / np.maximum(stored.norms_N[rows_N, None], 1e-12)
            embeddings = Embeddings(vectors_ND.astype(np.float32), stored.norms_N[rows_N], stored.quality_N[rows_N])
            unreadable = list(stored.unreadable.values())
    nothing_N = embeddings.norms == 0  # such a vector is like no other, and like all
    without = [images.describe(int(row)) for row in rows_N[nothing_N]]
    if nothing_N.all():
        raise DataError(f"{images.name}: the model gives every image a vector of zeros: nothing can be compared")
    if without:
        kept_N = ~nothing_N
        embeddings = Embeddings(embeddings.vectors[kept_N], embeddings.norms[kept_N], embeddings.quality[kept_N])
        rows_N = rows_N[kept_N]
    faces = EmbeddedImages(
        images, embeddings, rows_N, lambda pictures: model.embed(pictures, batch_size, views), model.device
    )
    found = audit_embeddings(faces, detector, progress)
    found.left_out += [f"no vector: the model gives {path} zeros" for path in without]
    nearest_N = nearest_other_center(embeddings.vectors, images.labels[rows_N], images.num_identities, faces.device)
    found.interclass = interclass(nearest_N, images, rows_N, found.findings, "embeddings")
    if doubt := alignment_doubt(images, detector):
        found.left_out.insert(0, doubt)
    found.left_out += [f"unreadable: {message}" for message in unreadable]
    return found


def _add(found: Found, more: Found) -> None:
    """The kinds of `more` that `found` does not have."""
    new = {kind for kind in more.kinds if kind not in found.kinds}
    found.findings += [finding for finding in more.findings if finding.kind in new]
    found.kinds |= {kind: more.kinds[kind] for kind in new}
    found.groups |= more.groups
    found.left_out += more.left_out


def _by_pictures(images: LabeledImages, found: Found, progress: Progress) -> None:
    """Duplicates, without a model; says what else needs one."""
    for kind in KINDS:
        if kind not in found.kinds:
            found.kinds[kind] = LookedFor("not looked for: a recording does not tell; --model MODEL adds it")
    if len(images) > _MOST_HASHED:
        found.kinds["duplicate"] = LookedFor(
            f"not looked for: comparing the pictures of more than {_MOST_HASHED:,} images needs embeddings; "
            "--model MODEL adds it"
        )
        return
    hashes, rows = [], []
    with progress("reading", "images") as report:
        for index in range(len(images)):
            try:
                hashes.append(np.packbits(difference_hash(images.read(index)) > 0))
                rows.append(index)
            except ImageError as error:
                found.left_out.append(f"unreadable: {error}")
            report(index + 1, len(images))
    if not rows:
        return
    rows_N = np.array(rows, dtype=np.int64)
    pairs = copies_by_pictures(images, np.stack(hashes), rows_N)
    nothing = Embeddings(*(np.empty((0, 0) if number == 0 else 0, np.float32) for number in range(3)))
    faces = EmbeddedImages(images, nothing, rows_N, _no_model, torch.device("cpu"))
    wrong = {finding.path for finding in found.findings if finding.kind == "mislabelled" and finding.score >= 0.5}
    wrong_N = np.array([float(images.describe(row) in wrong) for row in rows])
    found.add(
        "duplicate",
        duplicate_findings(faces, images.labels[rows_N], pairs, wrong_N, None),
        "pictures with nearly equal difference hashes, also mirrored, laid over each other: correlation of grey "
        "values. Copies that were cut need embeddings: --model MODEL adds them",
    )


def _no_model(_: Any) -> Embeddings:
    raise DataError("there is no model to embed with")


def _described(given: Model | Path | str | None, model: Model, views: Views | None) -> dict[str, Any]:
    name = str(given) if isinstance(given, (str, Path)) else model.info.backbone
    return {
        "name": name,
        "fingerprint": fingerprint(model, views),
        "views": views or model.info.views,
        "precision": model.precision,
    }
