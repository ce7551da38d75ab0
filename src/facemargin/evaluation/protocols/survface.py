"""QMUL-SurvFace, read from its original folders: verification, and open-set identification.

    Face_Verification_Test_Set/positive_pairs_names.mat, negative_pairs_names.mat (variables of these names);
        images in verification_images/
    Face_Identification_Test_Set/gallery_img_ID_pairs.mat (gallery_set, gallery_ids), mated_probe_img_ID_pairs.mat
        (mated_probe_set, mated_probe_ids); images in gallery/, mated_probe/ and unmated_probe/

TAR at FAR 30, 20, 10 and 1 %; TPIR20@FPIR: mated probes whose mate is among the first 20 and above the threshold.
Cheng, Zhu and Gong, "Surveillance Face Recognition Challenge", arXiv 1804.09691.
Shapes: K pairs.
"""

from pathlib import Path

import numpy as np

from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.pairs.odd_pairs import say_odd_pairs
from facemargin.errors import DataError
from facemargin.evaluation.protocols.identification import searches_of
from facemargin.evaluation.protocols.protocol import PairExperiment, Protocol, Rule, register_protocol
from facemargin.evaluation.protocols.search_lists import Entry
from facemargin.evaluation.protocols.tinyface import folder_entries, mat_entries
from facemargin.files.mat import names_of, read_mat

FARS = (0.3, 0.2, 0.1, 0.01)
RANKS = (1, 20)
FPIRS = (0.3, 0.2, 0.1, 0.01)
OPEN_SET_RANK = 20


@register_protocol("survface", "QMUL-SurvFace, verification")
def load_verification(folder: Path, rule: Rule) -> Protocol:
    root = _inner(folder, "Face_Verification_Test_Set")
    positive, negative = (_pairs(root / f"{kind}_pairs_names.mat") for kind in ("positive", "negative"))
    names_K2 = np.concatenate([positive, negative])
    names, rows = np.unique(names_K2.ravel().astype(str), return_inverse=True)
    first_K, second_K = rows.reshape(-1, 2).T
    same_K = np.arange(len(names_K2)) < len(positive)
    images = ImageFiles(root / "verification_images", names.tolist())
    say_odd_pairs(str(root), images.describe, first_K, second_K, same_K)
    return Protocol("survface", images, (PairExperiment("1:1", first_K, second_K, same_K, FARS),))


@register_protocol("survface-identification", "QMUL-SurvFace, open-set identification")
def load_identification(folder: Path, rule: Rule) -> Protocol:
    root = _inner(folder, "Face_Identification_Test_Set")
    unmated = [Entry(entry.image, f"unmated {entry.image}") for entry in folder_entries(root / "unmated_probe")]
    lists = {
        "gallery": mat_entries(root / "gallery_img_ID_pairs.mat", "gallery_set", "gallery_ids", "gallery"),
        "probe": [
            *mat_entries(root / "mated_probe_img_ID_pairs.mat", "mated_probe_set", "mated_probe_ids", "mated_probe"),
            *unmated,
        ],
    }
    return searches_of("survface-identification", root, {"search": lists}, RANKS, FPIRS, OPEN_SET_RANK)


def _inner(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder


def _pairs(path: Path) -> np.ndarray:
    (cells,) = read_mat(path, path.stem)
    if cells.ndim != 2 or cells.shape[1] != 2 or not len(cells):
        raise DataError(f"{path}: {path.stem} has shape {cells.shape}, expected (pairs, 2)")
    return names_of(cells, path, path.stem)
