"""Writes a folder of copies for each group of images, completely or not at all."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from facemargin.errors import OutputError
from facemargin.files.atomic import PARTIAL, flush_all


def write_group_folders(groups: Iterable[tuple[Path, str]], output: Path) -> None:
    """Copy every image to the folder of its group in the new folder `output`, under its own name; of several of one
    name the later get a number. Raises OutputError, and leaves nothing behind, if something cannot be copied."""
    partial = output.with_name(f".{output.name}.{os.getpid()}{PARTIAL}")
    try:
        partial.mkdir(parents=True)
        for path, group in groups:
            folder = partial / group
            folder.mkdir(exist_ok=True)
            shutil.copyfile(path, _unused(folder / path.name))
        flush_all(partial)
        partial.rename(output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unused(path: Path) -> Path:
    number, unused = 1, path
    while unused.exists():
        number += 1
        unused = path.with_stem(f"{path.stem}_{number}")
    return unused
