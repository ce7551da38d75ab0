"""IJB-B and IJB-C, 1:1 and 1:N, from the folder that InsightFace distributes.

    meta/ijbc_face_tid_mid.txt           image template media
    meta/ijbc_name_5pts_score.txt        image x1 y1 … x5 y5 score, in the same order
    meta/ijbc_template_pair_label.txt    template1 template2 label
    meta/ijbc_1N_gallery_G1.csv, …_G2.csv (IJB-B: S1, S2), ijbc_1N_probe_mixed.csv
    loose_crop/                          the images

Whitelam et al., IJB-B, CVPRW 2017; Maze et al., IJB-C, ICB 2018.
Shapes: N images, K pairs, U templates, P probes, G gallery entries.
"""

from functools import partial
from pathlib import Path

import numpy as np

from facemargin.data.aligned_files import AlignedFiles
from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.evaluation.protocols.identification import FPIRS, RANKS
from facemargin.evaluation.protocols.ijb_files import (
    read_images,
    read_landmarks,
    read_subjects,
    read_template_pairs,
    template_rows,
)
from facemargin.evaluation.protocols.pairs import FARS
from facemargin.evaluation.protocols.protocol import (
    PairExperiment,
    Protocol,
    Rule,
    SearchExperiment,
    TemplateLists,
    register_protocol,
)

_GALLERIES = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}


def _load(name: str, folder: Path, rule: Rule) -> Protocol:
    meta = folder / "meta"
    if not meta.is_dir():
        raise DataError(
            f"{folder} has no folder meta; expected the folder of InsightFace's download, with "
            f"meta/{name}_face_tid_mid.txt and loose_crop/"
        )
    lists = read_images(meta / f"{name}_face_tid_mid.txt")
    landmarks_N52, detector_N = read_landmarks(meta / f"{name}_name_5pts_score.txt", lists.names)
    images = AlignedFiles(folder / "loose_crop", lists.names, landmarks_N52)
    ids_U, template_N = np.unique(lists.template_N, return_inverse=True)
    searches, note = _searches(name, meta, ids_U, rule)
    person_of = {
        int(ids_U[row]): int(person)
        for search in searches
        for rows, people in ((search.probe_P, search.probe_ids_P), (search.gallery_G, search.gallery_ids_G))
        for row, person in zip(rows, people, strict=True)
    }
    return Protocol(
        name=name,
        images=images,
        experiments=(_verification(meta / f"{name}_template_pair_label.txt", ids_U, person_of), *searches),
        templates=TemplateLists(ids_U, template_N, lists.media_N, np.arange(len(images)), detector_N),
        image_key=images.alignment_key(),
        notes=(note,) if note else (),
    )


register_protocol("ijbb", "IJB-B, 1:1 and 1:N, in InsightFace's layout")(partial(_load, "ijbb"))
register_protocol("ijbc", "IJB-C, 1:1 and 1:N, in InsightFace's layout")(partial(_load, "ijbc"))


def _verification(path: Path, ids_U: IntArray, person_of: dict[int, int]) -> PairExperiment:
    """`person_of`: the subject of each template in the lists of the searches, which are those of the pairs, too."""
    first_K, second_K, same_K = read_template_pairs(path)
    known = all(template in person_of for template in np.unique([first_K, second_K]).tolist())
    people_U = np.array([person_of.get(template, -1) for template in ids_U.tolist()]) if known else None
    rows = (template_rows(ids_U, first_K, path), template_rows(ids_U, second_K, path))
    return PairExperiment("1:1", *rows, same_K, FARS, people_U)


def _searches(name: str, meta: Path, ids_U: IntArray, rule: Rule) -> tuple[list[SearchExperiment], str]:
    """One search per gallery, as the protocol says, or one search of both galleries with the rule of the published
    script; and notes."""
    probe_path = meta / f"{name}_1N_probe_mixed.csv"
    paths = {gallery: meta / f"{name}_1N_gallery_{gallery}.csv" for gallery in _GALLERIES[name]}
    if not any(path.exists() for path in (probe_path, *paths.values())):
        return [], f"only 1:1 is scored, because {meta} does not have {probe_path.name} and the lists of the galleries"
    probes = read_subjects(probe_path)
    galleries = {gallery: read_subjects(path) for gallery, path in paths.items()}
    if rule == "published":
        both: dict[int, int] = {}
        for subjects in galleries.values():
            twice = [template for template in subjects if both.get(template, subjects[template]) != subjects[template]]
            if twice:
                raise DataError(
                    f"{meta}: template {twice[0]} shows subject {both[twice[0]]} in one gallery, but "
                    f"{subjects[twice[0]]} in the other"
                )
            both |= subjects
        galleries, paths = {" + ".join(galleries): both}, {" + ".join(galleries): meta}
    probe_P = template_rows(ids_U, np.array(list(probes)), probe_path)
    searches = [
        SearchExperiment(
            name=f"1:N {gallery}",
            probe_P=probe_P,
            gallery_G=template_rows(ids_U, np.array(list(subjects)), paths[gallery]),
            probe_ids_P=np.array(list(probes.values())),
            gallery_ids_G=np.array(list(subjects.values())),
            ranks=RANKS,
            fpirs=FPIRS,
            rule=rule,
        )
        for gallery, subjects in galleries.items()
    ]
    return searches, ""
