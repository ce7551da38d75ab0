"""A journal on disk of the faces found in each image, so that work on many photographs can continue after an
interruption."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facemargin.counting import counted
from facemargin.detection.detector import Setting, differing_settings
from facemargin.detection.face import Face
from facemargin.files.line_journal import LineJournal


@dataclass(frozen=True)
class ImageFaces:
    """The chosen `faces` of the image called `name`, which has `width` × `height` pixels, and the `files` that were
    written for them. `num_faces` is the number of faces before the choice. `problem` says why there are no faces; it is
    empty if there are some."""

    name: str
    width: int = 0
    height: int = 0
    faces: tuple[Face, ...] = ()
    files: tuple[str, ...] = ()
    problem: str = ""
    num_faces: int = 0

    def to_json(self) -> dict[str, Any]:
        faces = [
            {"score": round(face.score, 4), "box": _rounded(face.box), "landmarks": _rounded(face.landmarks_52)}
            for face in self.faces
        ]
        sizes: dict[str, Any] = {"path": self.name, "width": self.width, "height": self.height}
        return sizes | {"faces": faces, "found": self.num_faces, "files": list(self.files), "problem": self.problem}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ImageFaces":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for any other content."""
        faces = []
        for face in content["faces"]:
            left, top, right, bottom = map(float, face["box"])
            landmarks_52 = np.array(face["landmarks"], dtype=np.float64).reshape(5, 2)
            faces.append(Face((left, top, right, bottom), float(face["score"]), landmarks_52))
        files = tuple(map(str, content["files"]))
        if len(files) not in (0, len(faces)):
            raise ValueError(f"{counted(len(files), 'file')} for {counted(len(faces), 'face')}")
        width, height = int(content["width"]), int(content["height"])
        num_faces = int(content.get("found", len(faces)))
        return cls(str(content["path"]), width, height, tuple(faces), files, str(content["problem"]), num_faces)


class FaceJournal:
    """The journal in the file `path`, which is created if it does not exist. If an image was added twice, its last
    entry is used.

    Raises DataError if the file was written with other settings, if it is not a journal, or if another process is
    writing to it, and OutputError if it cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Setting]) -> None:
        self.path = path
        self._lines = LineJournal(
            path,
            settings,
            lambda content: ImageFaces.from_json(content).name,
            kind="faces",
            differ=lambda theirs: (
                f"was written with other settings ({_shown(theirs, settings)}, not {_shown(settings, theirs)}); use "
                "those settings, give another output, or delete the file to start again"
            ),
        )

    def __enter__(self) -> "FaceJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def __len__(self) -> int:
        return len(self._lines)

    def names(self) -> list[str]:
        """The names of the images that have an entry."""
        return self._lines.keys()

    def get(self, name: str) -> ImageFaces | None:
        """The entry of an image; None if there is none."""
        content = self._lines.get(name)
        return None if content is None else ImageFaces.from_json(content)

    def add(self, record: ImageFaces) -> None:
        """Add an entry and pass it to the operating system, so that it is not lost if this process is killed. Raises
        OutputError if it cannot be written; earlier entries stay."""
        self._lines.add(record.name, record.to_json())

    def records(self, names: list[str]) -> Iterator[ImageFaces]:
        """The entries of `names`, in this order. Names without an entry are left out."""
        return (record for name in names if (record := self.get(name)) is not None)


def _shown(settings: Any, others: Any) -> str:
    """The settings that the others do not have. The first line of a damaged file may be any JSON."""
    return differing_settings(*(line if isinstance(line, dict) else {} for line in (settings, others)))


def _rounded(values: Any) -> Any:
    return np.asarray(values).round(3).tolist()
