"""Run folders made up for tests: plausible scores of a few people, a short training log. Shapes: N images, K pairs."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np

from facemargin.decision.checked_model import CheckedModel
from facemargin.evaluation import Bootstrap, PairScores
from facemargin.evaluation.checked_quality import DiscardResult, KindResponse, NotFacesRanked, QualityCheck
from facemargin.report import FaceGallery
from facemargin.report.decision_gallery import Decided, DecisionCounts, DecisionGallery

FEW_RESAMPLES = Bootstrap(resamples=20)


def pair_scores(
    system="facemargin",
    dataset="people",
    people=6,
    images=6,
    separation=3.0,
    quality=False,
    identities=True,
    folds=False,
    seed=0,
) -> PairScores:
    """All pairs of `people` × `images`; with quality, pairs of a low-quality image score nearer to zero."""
    rng = np.random.default_rng(seed)
    identity_N = np.repeat(np.arange(people), images)
    first_K, second_K = np.array(list(combinations(range(people * images), 2))).T
    same_K = identity_N[first_K] == identity_N[second_K]
    quality_N = rng.uniform(0.2, 1, people * images)
    pair_quality_K = np.minimum(quality_N[first_K], quality_N[second_K])
    scores_K = separation * same_K * (pair_quality_K if quality else 0.6) + rng.normal(size=len(same_K))
    return PairScores(
        system=system,
        dataset=dataset,
        scores_K=scores_K,
        same_K=same_K,
        quality_a_K=quality_N[first_K] if quality else None,
        quality_b_K=quality_N[second_K] if quality else None,
        identities_a_K=identity_N[first_K] if identities else None,
        identities_b_K=identity_N[second_K] if identities else None,
        folds_K=np.arange(len(same_K)) % 5 if folds else None,
    )


def gallery(count=20, credit="Faces: a made-up collection", seed=0) -> FaceGallery:
    rng = np.random.default_rng(seed)
    images_NHWC = rng.integers(0, 256, (count, 24, 20, 3), dtype=np.uint8)
    return FaceGallery(images_NHWC, rng.permutation(count) / 7, [f"picture {i}" for i in range(count)], credit)


def write_csv(path: Path, columns: dict) -> None:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in [columns.keys(), *rows]) + "\n")


def metrics_columns(rows=80) -> dict:
    rng = np.random.default_rng(1)
    step_R = np.arange(1, rows + 1) * 10
    noise_R = rng.normal(0, 0.02, rows)
    return {
        "step": step_R,
        "epoch": step_R / 100,
        "loss": 20 * np.exp(-step_R / 300) + 3 + 20 * noise_R,
        "classification": 19 * np.exp(-step_R / 300) + 2 + 20 * noise_R,
        "norm_regulariser": np.full(rows, 1.0) + np.exp(-step_R / 300),
        "learning_rate": 0.1 * (1 - step_R / (rows * 10)),
        "gradient_norm": 5 + noise_R,
        "target_cosine": 1 - np.exp(-step_R / 400) + noise_R,
        "certainty_ratio": np.exp(5 * np.abs(noise_R) + step_R / 300),
        "feature_norm": 20 + 10 * noise_R,
        "margin_scaler": noise_R,
        "images_per_second": np.full(rows, 300.0),
    }


def validation_columns() -> dict:
    return {
        "step": [200, 400, 600, 800],
        "epoch": [2, 4, 6, 8],
        "dataset": ["people", "people", "people", "people"],
        "accuracy": ["", "", "", ""],
        "balanced_accuracy": [0.6, 0.7, 0.75, 0.76],
        "tar_at_far_0.01": [0.1, 0.3, 0.35, 0.4],
    }


def write_run(folder: Path) -> Path:
    """A run with everything: two data sets, three systems, faces, training and validation logs."""
    for number, dataset in enumerate(("people", "people-degraded")):
        place = folder / "evaluation" / dataset
        place.mkdir(parents=True)
        pair_scores("facemargin", dataset, quality=True, seed=number).save(place / "facemargin.npz")
        pair_scores("PCA", dataset, separation=1.5, seed=number + 2).save(place / "pca.npz")
        pair_scores("raw pixels", dataset, separation=1.0, seed=number + 4).save(place / "raw-pixels.npz")
    gallery().save(folder / "evaluation" / "people-degraded" / "faces.npz")
    write_csv(folder / "metrics.csv", metrics_columns())
    write_csv(folder / "validation.csv", validation_columns())
    (folder / "recipe.yaml").write_text("epochs: 8\nhead:\n  name: funface\n")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "threads": 2, "seconds": 61.5}))
    return folder


def quality_check(helps=True) -> QualityCheck:
    return QualityCheck(
        measure="norm",
        faces="people",
        images=36,
        people=6,
        stepped=6,
        strengths=(0.0, 0.5, 1.0),
        resampled="people",
        kinds=(KindResponse("blur", -0.9, (-1.0, -0.8)), KindResponse("noise", -0.1, None)),
        not_faces=(NotFacesRanked("uniform noise", 10, 0 if helps else 9),),
        discards=(DiscardResult("degraded", 90, 30, 0.3, 0.7, -0.3, (-0.4, -0.2)),),
        fmr=0.01,
        impostors=540,
        verdict="helps except for" if helps else "not shown to help",
        exceptions=("noise",) if helps else (),
        reasons=("it falls with blur",) if helps else ("noise ranks above faces",),
    )


def decisions(seed=0) -> DecisionGallery:
    return DecisionGallery(
        images_E2HWC=np.random.default_rng(seed).integers(0, 256, (3, 2, 16, 16, 3), dtype=np.uint8),
        examples=[
            Decided("two pictures of one person", "same", 0.61, 12.0, 11.5),
            Decided("two people", "different", 0.04, 12.0, 11.9),
            Decided("one person, the second picture ruined", "too poor to decide", 0.31, 12.0, 4.4),
        ],
        counts=[DecisionCounts("one person", True, 80, 7, 3), DecisionCounts("two people", False, 0, 500, 40)],
        threshold=0.365,
        quality_floor=9.5,
        fmr=0.001,
        measured_on="other people, 5,973 genuine and 1,994,027 impostor pairs",
        credit="Faces: a made-up collection",
        doubt="they were found in another way",
    )


def write_checked(folder: Path, dataset: str, helps: bool) -> None:
    """Into an evaluation's folder: a check of the model's quality, with pictures of a data set."""
    place = folder / "evaluation" / dataset
    place.mkdir(parents=True, exist_ok=True)
    CheckedModel([1.0], "flip", {"norm": quality_check(helps)}).save(folder / "quality_check.json")
    gallery(seed=1).save(place / "checked_faces.npz")
    gallery(4, seed=2).save(place / "not_faces.npz")


def write_released(folder: Path) -> Path:
    """What a released recogniser shows: two data sets, a check of its quality, decisions; into a run's folder."""
    for number, dataset in enumerate(("aligned", "aligned-with-degraded")):
        place = folder / "released" / "evaluation" / dataset
        place.mkdir(parents=True)
        pair_scores("sface", dataset, separation=50 if number == 0 else 3, quality=True).save(place / "sface.npz")
    write_checked(folder / "released", "aligned", helps=True)
    decisions().save(folder / "released" / "evaluation" / "aligned" / "decisions.npz")
    (folder / "released" / "summary.txt").write_text("A recogniser of others.\n", encoding="utf-8")
    return folder
