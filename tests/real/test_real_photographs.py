"""Detection and alignment on real faces, whose place is known because they were put there, and thresholds that hold on
people they were not measured on."""

from dataclasses import fields

import cv2
import numpy as np
import pytest

from facemargin.data.alignment import TEMPLATE_52, similarity_transform
from facemargin.data.crop import crop_face
from facemargin.data.open import open_verification
from facemargin.decision.measuring import measure_thresholds
from facemargin.detection.centerface import CenterFace
from facemargin.evaluation import PairScores, evaluate_verification
from facemargin.features.embeddings_file import EmbeddingsFile
from tests.photographs import canvas, put


@pytest.fixture(scope="module")
def lfw(shared_data):
    return open_verification(shared_data / "data" / "lfw")


@pytest.fixture(scope="module")
def pasted(lfw):
    """(face, its matrix into the photograph, faces found) of 20 aligned faces, turned by up to 20° and scaled."""
    detector = CenterFace()
    generator = np.random.default_rng(0)
    results = []
    for number, index in enumerate(generator.permutation(len(lfw.images))[:20]):
        face = lfw.images.read(int(index))
        photograph = canvas(384, 448, seed=number)
        scale, degrees = (0.7, 1.0, 1.5, 3.0)[number % 4], generator.uniform(-20, 20)
        matrix_23 = put(photograph, face, (220, 190), scale, degrees)
        results.append((face, matrix_23, photograph, detector.detect(photograph)))
    return results


def nearest(matrix_23, faces):
    """The face found nearest to the one that was put there, and how many pixels of the aligned face its landmarks are
    off on average."""
    scale = np.sqrt(np.linalg.det(matrix_23[:, :2]))
    truth_52 = TEMPLATE_52 @ matrix_23[:, :2].T + matrix_23[:, 2]
    errors = [np.linalg.norm(face.landmarks_52 - truth_52, axis=1).mean() / scale for face in faces]
    return faces[int(np.argmin(errors))], min(errors)


def test_nearly_all_faces_are_found_and_nothing_else(pasted):
    found = [len(faces) for *_, faces in pasted]
    assert sum(count >= 1 for count in found) >= 19
    assert sum(found) <= 21


def test_aligned_crops_are_those_that_were_put_there(pasted):
    landmarks, shifts, turns, scales, correlations = [], [], [], [], []
    for face, matrix_23, photograph, faces in pasted:
        if not faces:
            continue
        one, error = nearest(matrix_23, faces)
        landmarks.append(error)
        whole = similarity_transform(one.landmarks_52, TEMPLATE_52) @ np.vstack([matrix_23, [0, 0, 1]])
        moved_52 = TEMPLATE_52 @ whole[:, :2].T + whole[:, 2]
        shifts.append(np.linalg.norm(moved_52 - TEMPLATE_52, axis=1).mean())
        turns.append(np.degrees(np.arctan2(whole[1, 0], whole[0, 0])))
        scales.append(np.hypot(whole[1, 0], whole[0, 0]))
        crop = crop_face(photograph, one.landmarks_52)
        correlations.append(np.corrcoef(crop[16:96, 16:96].ravel(), face[16:96, 16:96].ravel())[0, 1])
    # Two detectors disagree by about 2.5 pixels of 112 on where a face lies, however well it is seen.
    assert np.mean(landmarks) < 4.5 and np.mean(shifts) < 3.3 and np.quantile(shifts, 0.9) < 6.5
    assert np.mean(np.abs(turns)) < 4 and abs(np.mean(turns)) < 2 and 0.95 < np.mean(scales) < 1.08
    assert np.mean(correlations) > 0.85


def test_a_face_of_a_thousand_pixels_is_aligned_as_a_small_one(lfw):
    face = lfw.images.read(0)
    detector = CenterFace()
    crops = []
    for scale in (1.5, 9.0):
        photograph = np.full((int(170 * scale), int(170 * scale), 3), 120, np.uint8)
        put(photograph, cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), (85 * scale,) * 2)
        (found,) = detector.detect(photograph)
        crops.append(crop_face(photograph, found.landmarks_52)[16:96, 16:96].astype(float))
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.95


def test_thresholds_hold_on_other_people(shared_data, lfw):
    stored = EmbeddingsFile(shared_data / "data" / "lfw" / "mobilefacenet_embeddings.npz")
    scores = evaluate_verification(stored.embed, lfw, "MobileFaceNet")
    halves = []
    for folds in ((0, 1, 2, 3), (4, 5, 6)):
        chosen = np.isin(scores.folds_K, folds)
        arrays = {f.name: getattr(scores, f.name)[chosen] for f in fields(scores) if f.name.endswith("_K")}
        halves.append(PairScores("MobileFaceNet", "lfw", **arrays))
    measured_on, other = halves
    points = measure_thresholds(measured_on)
    assert [point.target_fmr for point in points][-1] == 0.001  # of 1,200 impostors
    for point in points:
        fmr = np.mean(other.scores_K[~other.same_K] >= point.threshold)
        # Both halves have 1,200 impostor pairs; people in several of them make the rates differ somewhat more.
        assert abs(fmr - point.fmr) <= 5 * np.sqrt(point.target_fmr / 1200), point
    by_fmr = {point.target_fmr: point for point in points}
    assert by_fmr[0.01].fnmr < 0.03
    assert 0.005 < by_fmr[0.01].too_poor < 0.05
