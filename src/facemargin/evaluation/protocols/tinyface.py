"""TinyFace's identification protocol, read from its original folder: rank 1, 5 and 20, where any mate counts.

Testing_Set/gallery_match_img_ID_pairs.mat gallery_set, gallery_ids; images in Gallery_Match/
Testing_Set/probe_img_ID_pairs.mat probe_set, probe_ids; images in Probe/ Testing_Set/Gallery_Distractor/ all images, as
distractors

Cheng, Zhu and Gong, "Low-Resolution Face Recognition", ACCV 2018.
"""

from pathlib import Path

from facemargin.errors import DataError
from facemargin.evaluation.protocols.identification import searches_of
from facemargin.evaluation.protocols.protocol import Protocol, Rule, register_protocol
from facemargin.evaluation.protocols.search_lists import Entry
from facemargin.files.listing import entries, is_image_name
from facemargin.files.mat import ids_of, names_of, read_mat

RANKS = (1, 5, 20)


@register_protocol("tinyface", "TinyFace, identification among distractors")
def load_tinyface(folder: Path, rule: Rule) -> Protocol:
    root = folder / "Testing_Set" if (folder / "Testing_Set").is_dir() else folder
    lists = {
        "gallery": mat_entries(root / "gallery_match_img_ID_pairs.mat", "gallery_set", "gallery_ids", "Gallery_Match"),
        "distractors": folder_entries(root / "Gallery_Distractor"),
        "probe": mat_entries(root / "probe_img_ID_pairs.mat", "probe_set", "probe_ids", "Probe"),
    }
    for kind in ("gallery", "probe"):
        for entry in lists[kind]:
            if Path(entry.image).name.split("_")[0].lstrip("0") != (entry.identity or "").lstrip("0"):
                raise DataError(
                    f"{root}: {entry.image} has identity {entry.identity} in the .mat file; expected the number "
                    "at the start of its name"
                )
    return searches_of("tinyface", root, {"search": lists}, RANKS, ())


def mat_entries(path: Path, set_variable: str, ids_variable: str, folder: str) -> list[Entry]:
    """The entries of a list in a .mat file. The images are in `folder`, next to the file."""
    names, ids = read_mat(path, set_variable, ids_variable)
    names_E = names_of(names, path, set_variable).ravel()
    ids_E = ids_of(ids, path, ids_variable, len(names_E))
    return [Entry(f"{folder}/{name}", str(number)) for name, number in zip(names_E, ids_E, strict=True)]


def folder_entries(folder: Path) -> list[Entry]:
    """All images of a folder, as distractors. Raises DataError if there are none."""
    try:
        names = [path.name for path in entries(folder) if is_image_name(path.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    if not names:
        raise DataError(f"{folder} holds no images")
    return [Entry(f"{folder.name}/{name}", None) for name in names]
