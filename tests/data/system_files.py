"""What systems leave in folders of images."""

import shutil
from pathlib import Path

FOLDERS = (
    ".ipynb_checkpoints",
    ".Trash-1000",
    ".git",
    "@eaDir",
    "lost+found",
    "__MACOSX",
    "$RECYCLE.BIN",
    "$Recycle.Bin",
    "System Volume Information",
    "#recycle",
)


def leave_system_files(folder: Path, image: Path) -> None:
    """Put what systems leave into `folder`: folders with a copy of `image` in them, its macOS companion, and more."""
    for name in FOLDERS:
        (folder / name).mkdir()
        shutil.copy(image, folder / name / image.name)
    (folder / f"._{image.name}").write_bytes(b"\0\5\26\7" + bytes(100))
    shutil.copy(image, folder / f".{image.name}")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"x")
