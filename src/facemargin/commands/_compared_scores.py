"""Where `facemargin compare` keeps the scores of all its runs: laid out as those of `facemargin evaluate` with several
models, so that one report shows all of them."""

import json
from collections.abc import Sequence
from pathlib import Path

from facemargin.comparison.run import ComparisonRun, system_name
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.evaluation.folder import ORIGIN_FILE, evaluation_folder, slug
from facemargin.evaluation.origin import Origin, note_origin, read_origin, require_place, set_origin
from facemargin.files.atomic import write_text_atomically


def place_figures(runs: Sequence[ComparisonRun], sets: Sequence[VerificationSet], overwrite: bool) -> None:
    """Prepare the folder of every set for the scores of the runs, and note whose they are, in their order. Scores of
    runs that an earlier comparison had and this one has not are removed. Raises ConfigError if a folder has figures of
    other pairs, unless `overwrite`."""
    origins = {slug(system_name(run.folder)): Origin(_name(run.folder), "a run of a comparison") for run in runs}
    output = runs[0].folder.parents[1]
    for pairs in sets:
        place, data = evaluation_folder(output, pairs.name), set_origin(pairs)
        require_place(place, data, origins, overwrite, of_a_run=True)
        _remove_others(place, origins)
        note_origin(place, data, origins)


def _remove_others(place: Path, origins: dict[str, Origin]) -> None:
    known = read_origin(place / ORIGIN_FILE)
    if known is None:
        return
    data, systems = known
    ours = next(iter(origins.values())).fingerprint
    others = [name for name, origin in systems.items() if origin.fingerprint == ours and name not in origins]
    for name in others:
        (place / f"{name}.npz").unlink(missing_ok=True)
    content = {name: vars(origin) for name, origin in systems.items() if name not in others}
    write_text_atomically(place / ORIGIN_FILE, json.dumps({"data": vars(data), "systems": content}, indent=2))


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
