"""Faces found, landmark errors and time of the two detectors, CenterFace and YuNet, on the same photographs.

Claim: YuNet is several times as fast as CenterFace, and its landmarks are less exact.
`python benchmarks/detectors.py FOLDER [faces]`. FOLDER has aligned faces of 112 × 112 pixels (such as LFW's), whose
landmarks are those of the template. Each face is scaled, turned and put on a photograph of 640 × 480 pixels. Without a
folder, ORL faces are used (AT&T Laboratories Cambridge), whose landmarks are not known.

Each photograph is read by both detectors, one after the other, in alternating order. Times are medians; the ratio
is the median over photographs, with quartiles.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import cv2
import numpy as np
import onnxruntime
from measure import machine, ratio
from numpy.typing import NDArray

from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector, create_detector
from facemargin.detection.face import Face
from facemargin.errors import DataError

DETECTORS = ("centerface", "yunet")
CASES = ((0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (1.0, 25.0), (0.5, 25.0))
"""(scale of the face, degrees by which it is turned)."""
WIDTH, HEIGHT = 640, 480
MIN_SCORE = 0.5

Photograph = tuple[RGBImage, NDArray[np.float64], tuple[float, float]]
"""The photograph, the matrix from the face's pixels to the photograph's, and the middle of the face in it."""


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    faces = open_images(folder or "orl-full:1-40")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    chosen = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int).tolist()
    if folder is not None:
        require_aligned(faces, chosen)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, OpenCV {cv2.__version__}, onnxruntime {onnxruntime.__version__}; "
        f"{len(chosen)} faces of {'the ORL set' if folder is None else 'the folder'} per row, min_score {MIN_SCORE}\n"
    )
    print(
        "| scale | turned by | detector | found | other faces | landmarks, pixels of 112 | angle off by "
        "| ms per photograph | share of CenterFace's time |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    detectors = {name: create_detector(name, min_score=MIN_SCORE) for name in DETECTORS}
    for scale, degrees in CASES:
        drawn = list(photographs(faces, chosen, scale, degrees))
        answers, seconds = detect_in_turn(detectors, drawn)
        for name in DETECTORS:
            columns = found_and_errors(answers[name], drawn, knows_landmarks=folder is not None)
            share = (
                ""
                if name == DETECTORS[0]
                else "{:.2f} ({:.2f}–{:.2f})".format(*ratio(seconds[name], seconds[DETECTORS[0]]))
            )
            columns += [f"{1000 * statistics.median(seconds[name]):.0f}", share]
            print(f"| {scale} | {degrees:g}° | {name} | {' | '.join(columns)} |", flush=True)


def require_aligned(faces: ImageSource, chosen: Sequence[int]) -> None:
    """Raise DataError for a face of another size, whose landmarks are not those of the template."""
    for index in chosen:
        if faces.read(index).shape != (TEMPLATE_SIDE, TEMPLATE_SIDE, 3):
            height, width = faces.read(index).shape[:2]
            raise DataError(
                f"{faces.describe(index)} has {width} × {height} pixels, expected aligned faces of {TEMPLATE_SIDE} × "
                f"{TEMPLATE_SIDE} pixels"
            )


def detect_in_turn(
    detectors: dict[str, Detector], drawn: Sequence[Photograph]
) -> tuple[dict[str, list[list[Face]]], dict[str, list[float]]]:
    """The faces that each detector finds in each photograph, and the seconds that it takes. The first photograph is
    read once more beforehand, as a warm-up."""
    answers: dict[str, list[list[Face]]] = {name: [] for name in detectors}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        detector.detect(drawn[0][0])
    for number, (photograph, _, _) in enumerate(drawn):
        for name, detector in list(detectors.items())[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            answers[name].append(detector.detect(photograph))
            seconds[name].append(time.perf_counter() - start)
    return answers, seconds


def found_and_errors(answers: list[list[Face]], drawn: Sequence[Photograph], knows_landmarks: bool) -> list[str]:
    """Four columns of the table: the number of photographs whose face was found, the number of other faces, and the
    median errors of the landmarks and of the angle."""
    found, others = 0, 0
    errors, turns = [], []
    for seen, (_, matrix_23, middle) in zip(answers, drawn, strict=True):
        at_the_face = [face for face in seen if contains(face, middle)]
        found += bool(at_the_face)
        others += len(seen) - len(at_the_face)
        if at_the_face and knows_landmarks:
            back_52 = cv2.transform(at_the_face[0].landmarks_52[None], cv2.invertAffineTransform(matrix_23))[0]
            errors.append(float(np.linalg.norm(back_52 - TEMPLATE_52, axis=1).mean()))
            turns.append(abs(eye_angle(back_52) - eye_angle(TEMPLATE_52)))
    exact = [f"{statistics.median(errors):.1f}", f"{statistics.median(turns):.1f}°"] if errors else ["–", "–"]
    return [str(found), str(others), *exact]


def photographs(faces: ImageSource, chosen: Sequence[int], scale: float, degrees: float) -> Iterator[Photograph]:
    """A photograph for each chosen face."""
    for index in chosen:
        face = faces.read(index)
        generator = np.random.default_rng(index)
        blobs = generator.integers(60, 180, (8, 10, 3)).astype(np.uint8)
        photograph: RGBImage = np.asarray(cv2.resize(blobs, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
        middle = (WIDTH / 2 + generator.uniform(-60, 60), HEIGHT / 2 + generator.uniform(-40, 40))
        center = ((face.shape[1] - 1) / 2, (face.shape[0] - 1) / 2)
        matrix_23 = np.asarray(cv2.getRotationMatrix2D(center, degrees, scale), np.float64)
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
