"""Faces found, landmark errors and time of the two detectors, CenterFace and YuNet, on the same photographs.

Claim: YuNet is several times as fast as CenterFace, and its landmarks are less exact.
`python benchmarks/detectors.py FOLDER [faces]`, a folder of aligned faces of 112 × 112 pixels (LFW's, say), whose
landmarks are those of the template: each is scaled, turned and put on a photograph of 640 × 480 pixels. Without a
folder: ORL faces (AT&T Laboratories Cambridge), whose landmarks are not known, so only what is found and the time.
Every photograph is read by both detectors in turn; the times are medians.
"""

import sys
import time
from collections.abc import Iterator
from statistics import median

import cv2
import numpy as np
from measure import machine
from numpy.typing import NDArray

from facemargin.data.alignment import TEMPLATE_52
from facemargin.data.open import open_images
from facemargin.data.source import RGBImage
from facemargin.detection.detector import create_detector
from facemargin.detection.face import Face

DETECTORS = ("centerface", "yunet")
CASES = ((0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (1.0, 25.0), (0.5, 25.0))
"""Scales of the face, and degrees that it is turned by."""
WIDTH, HEIGHT = 640, 480
MIN_SCORE = 0.5


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    faces = open_images(folder or "orl-full:1-40")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    chosen = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int).tolist()
    print(machine())
    print(
        f"\n{len(chosen)} faces of {'the ORL set' if folder is None else 'the folder'} a row, min_score {MIN_SCORE}\n"
    )
    print("| scale | turned | detector | found | others | landmarks, pixels of 112 | off by | ms a photograph |")
    print("|---|---|---|---|---|---|---|---|")
    detectors = {name: create_detector(name, min_score=MIN_SCORE) for name in DETECTORS}
    for scale, degrees in CASES:
        rows: dict[str, list[tuple[Face | None, int, float, NDArray[np.float64]]]] = {name: [] for name in DETECTORS}
        for photograph, matrix_23, middle in photographs(faces, chosen, scale, degrees):
            for name, detector in detectors.items():
                start = time.perf_counter()
                seen = detector.detect(photograph)
                seconds = time.perf_counter() - start
                here = [face for face in seen if contains(face, middle)]
                rows[name].append((here[0] if here else None, len(seen) - len(here), seconds, matrix_23))
        for name, row in rows.items():
            errors, turns = [], []
            for face, _, _, matrix_23 in row:
                if face is not None and folder is not None:
                    back_52 = cv2.transform(face.landmarks_52[None], cv2.invertAffineTransform(matrix_23))[0]
                    errors.append(float(np.linalg.norm(back_52 - TEMPLATE_52, axis=1).mean()))
                    turns.append(abs(eye_angle(back_52) - eye_angle(TEMPLATE_52)))
            found, others = sum(face is not None for face, *_ in row), sum(more for _, more, *_ in row)
            exact = f"{median(errors):.1f} | {median(turns):.1f}°" if errors else "– | –"
            milliseconds = 1000 * median(seconds for _, _, seconds, _ in row)
            print(
                f"| {scale} | {degrees:g}° | {name} | {found} | {others} | {exact} | {milliseconds:.0f} |", flush=True
            )


def photographs(
    faces: object, chosen: list[int], scale: float, degrees: float
) -> Iterator[tuple[RGBImage, NDArray[np.float64], tuple[float, float]]]:
    """A photograph for each face, the matrix from its pixels to the photograph's, and where its middle lies."""
    for index in chosen:
        face = faces.read(index)  # type: ignore[attr-defined]
        generator = np.random.default_rng(index)
        blobs = generator.integers(60, 180, (8, 10, 3)).astype(np.uint8)
        photograph = cv2.resize(blobs, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        middle = (WIDTH / 2 + generator.uniform(-60, 60), HEIGHT / 2 + generator.uniform(-40, 40))
        center = ((face.shape[1] - 1) / 2, (face.shape[0] - 1) / 2)
        matrix_23 = cv2.getRotationMatrix2D(center, degrees, scale)
        matrix_23[:, 2] += np.array(middle) - center
        drawn = cv2.warpAffine(face, matrix_23, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        whole = np.full(face.shape[:2], 255, np.uint8)
        inside = cv2.warpAffine(whole, matrix_23, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST)
        photograph[inside > 0] = drawn[inside > 0]
        yield photograph, matrix_23, middle


def contains(face: Face, point: tuple[float, float]) -> bool:
    left, top, right, bottom = face.box
    return left <= point[0] <= right and top <= point[1] <= bottom


def eye_angle(landmarks_52: NDArray[np.float64]) -> float:
    """Degrees of the line through both eyes."""
    across, down = landmarks_52[1] - landmarks_52[0]
    return float(np.degrees(np.arctan2(down, across)))


if __name__ == "__main__":
    main()
