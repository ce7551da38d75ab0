"""Made-up images and real files of them for the tests of this folder."""

from pathlib import Path

import cv2
import numpy as np


def smooth_image(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    """A colourful (height, width, 3) uint8 image, smooth enough to survive JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """An RGB image as the bytes of a file."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if suffix == ".pgm" else cv2.COLOR_RGB2BGR)
    written, encoded = cv2.imencode(suffix, pixels)
    assert written
    return encoded.tobytes()


def write_people(root: Path, images_per_person: list[int], suffix: str = ".png") -> None:
    """root/person_00/0.png, …: as many people as the list is long."""
    for person, count in enumerate(images_per_person):
        folder = root / f"person_{person:02d}"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}{suffix}").write_bytes(encode(smooth_image(100 * person + number), suffix))
