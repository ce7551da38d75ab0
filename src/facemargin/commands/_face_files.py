"""Writes tables of faces, and pictures with marked faces."""

import csv
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from facemargin.data.images.kind import COMMON_SUFFIXES
from facemargin.data.source import RGBImage
from facemargin.detection.face import Face
from facemargin.detection.journal import ImageFaces
from facemargin.errors import DataError
from facemargin.files.atomic import write_atomically

_LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_COLUMNS = (
    ["path", "face", "file", "score", "left", "top", "right", "bottom"]
    + [f"{name}_{axis}" for name in _LANDMARKS for axis in "xy"]
    + ["problem"]
)

# The quality of JPEG files. It is high, because faces are small and recognition suffers from compression.
_WRITTEN = COMMON_SUFFIXES | {".jpeg"}
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_QUALITY, 101]


def write_faces_csv(records: Iterable[ImageFaces], path: Path) -> None:
    """One row per face, and a row with the problem for an image without faces. Coordinates are in pixels."""
    rows = (row for record in records for row in _rows(record))
    write_csv(_COLUMNS, rows, path)


def write_csv(columns: list[str], rows: Iterable[Iterable[object]], path: Path) -> None:
    """The file is written completely or not at all. File names that are not UTF-8 are written byte for byte."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)

    write_atomically(path, write)


def write_image(image: RGBImage, path: Path) -> None:
    """Write an image in the format of its suffix, completely or not at all. Grey images are written as .pgm."""
    suffix = path.suffix.lower()
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if suffix == ".pgm" else image[:, :, ::-1]
    options = _QUALITY if suffix in (".jpg", ".jpeg") else _LOSSLESS_WEBP if suffix == ".webp" else []
    encodes, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    if not encodes:
        raise DataError(f"{path}: OpenCV cannot write images of this format: use another suffix")
    write_atomically(path, lambda temporary: temporary.write_bytes(encoded.tobytes()))


def image_file_name(name: str) -> str:
    """`name`, if its suffix is that of a common format; otherwise `name` followed by .png."""
    return name if Path(name).suffix.lower() in _WRITTEN else f"{name}.png"


def draw_faces(image: RGBImage, faces: Iterable[Face]) -> RGBImage:
    """A copy of the image with boxes, scores and landmarks."""
    drawn = image.copy()
    thickness = max(1, max(image.shape[:2]) // 500)
    for face in faces:
        left, top, right, bottom = (round(value) for value in face.box)
        cv2.rectangle(drawn, (left, top), (right, bottom), (0, 255, 0), thickness)
        for x, y in face.landmarks_52:
            cv2.circle(drawn, (round(x), round(y)), thickness + 1, (255, 0, 0), -1)
        place = left, max(top - 4, 12)
        cv2.putText(drawn, f"{face.score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1)
    return drawn


def _rows(record: ImageFaces) -> list[list[object]]:
    if not record.faces:
        return [[record.name, *[""] * (len(_COLUMNS) - 2), record.problem]]
    files = record.files or ("",) * len(record.faces)
    return [
        [record.name, number, file, f"{face.score:.4f}"]
        + [f"{value:.2f}" for value in (*face.box, *face.landmarks_52.reshape(-1))]
        + [record.problem]
        for number, (face, file) in enumerate(zip(record.faces, files, strict=True), 1)
    ]
