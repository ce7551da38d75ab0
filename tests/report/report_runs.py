"""Run folders made up for tests: plausible scores of a few people, a short training log. Shapes: N images, K pairs."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np

from facemargin.evaluation import Bootstrap, PairScores
from facemargin.report import FaceGallery

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
