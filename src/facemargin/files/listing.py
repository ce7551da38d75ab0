"""What counts in a folder of images or videos, and in an archive of one: files and folders that somebody put there, not
those that operating systems, network drives and editors keep beside them."""

from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".pgm", ".ppm", ".pnm", ".pbm",
        ".tif", ".tiff", ".gif", ".jp2", ".j2k", ".avif", ".heic", ".heif",
    }
)  # fmt: skip
"""Files that are looked at as images. What they are is told from their content."""

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
        ".wmv", ".asf", ".flv", ".ogv",
    }
)  # fmt: skip
"""Files that are looked at as videos, where videos are asked for. What they are is told from their content."""

_SYSTEM_NAMES = frozenset(
    {
        # Synology, QNAP
        "@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot",
        # Windows
        "$recycle.bin", "recycler", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",
        # macOS
        "__macosx", "icon\r",
        # Linux, Python
        "lost+found", "__pycache__",
    }
)  # fmt: skip


def plain_path(name: str) -> str:
    """A path in a list without what says nothing: "./a//b.jpg" is "a/b.jpg", so that a file that is written in both
    ways is one file. Through ".." it may be another (by a link): that stays."""
    return PurePosixPath(name).as_posix() if "./" in name or "//" in name else name


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name (its last part alone) is nobody's image and no person: the names that
    begin with a dot (`.ipynb_checkpoints`, `.Trash-1000`, macOS's `._face.jpg`, `.DS_Store`) and those of a list
    (`@eaDir`, `lost+found`, `__MACOSX`, `$RECYCLE.BIN`, `Thumbs.db`, …)."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def is_image_name(name: str) -> bool:
    """Whether a file of this name is looked at as an image: by its suffix, unless it is the system's."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not is_system_name(name)


def is_video_name(name: str) -> bool:
    """Whether a file of this name is looked at as a video: by its suffix, unless it is the system's."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and not is_system_name(name)


def entries(folder: Path) -> list[Path]:
    """The files and folders in `folder` that are not the system's, sorted by name. OSErrors are the caller's."""
    return sorted(path for path in folder.iterdir() if not is_system_name(path.name))
