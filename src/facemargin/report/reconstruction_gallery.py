"""Faces and their reconstructions, stored for a report."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.files.npz import load_arrays
from facemargin.report.reconstruction_pictures import ReconstructionPictures


@dataclass(frozen=True)
class ReconstructionGallery:
    """`pictures` with one caption per face, and the credit line that the owner of the images requires. Raises DataError
    if their numbers differ."""

    pictures: ReconstructionPictures
    captions: list[str]
    credit: str

    def __post_init__(self) -> None:
        faces = len(self.pictures.pictures_BPHWC)
        if len(self.captions) != faces:
            raise DataError(
                f"{counted(len(self.captions), 'caption')} for {counted(faces, 'face')}, expected one of each"
            )

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        pictures = self.pictures
        text = json.dumps({"headings": pictures.headings, "captions": self.captions, "credit": self.credit})
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                pictures_BPHWC=pictures.pictures_BPHWC,
                angles_B3=pictures.angles_B3,
                psnr_B=pictures.psnr_B,
                text=np.array(text),
            )

    @classmethod
    def load(cls, path: Path) -> "ReconstructionGallery":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            text = json.loads(str(arrays["text"]))
            pictures = ReconstructionPictures(
                text["headings"], arrays["pictures_BPHWC"], arrays["angles_B3"], arrays["psnr_B"]
            )
            return cls(pictures, text["captions"], text["credit"])
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a gallery of reconstructed faces: {error}") from error
