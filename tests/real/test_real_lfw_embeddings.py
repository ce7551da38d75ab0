"""A trained MobileFaceNet's embeddings of LFW folds 1–7 give the accuracies that InsightFace's own routine gives."""

from pathlib import Path

import numpy as np
import pytest

from facemargin.data.pairs.lfw import load_lfw_pairs
from facemargin.evaluation import Embeddings, PairScores, evaluate_verification, summarize, verification_accuracy

LFW = Path(__file__).parents[2].parent / "shared" / "data" / "lfw"

pytestmark = pytest.mark.skipif(not LFW.is_dir(), reason=f"{LFW} is absent")


@pytest.fixture(scope="module")
def pairs() -> PairScores:
    with np.load(LFW / "mobilefacenet_embeddings.npz", allow_pickle=False) as archive:
        features = dict(zip(archive["paths"].tolist(), archive["embeddings"].astype(np.float64), strict=True))

    def embed(images):
        rows = np.array([features["/".join(Path(images.describe(i)).parts[-2:])] for i in range(len(images))])
        norms = np.linalg.norm(rows, axis=1)
        return Embeddings(rows / norms[:, None], norms, norms)

    return evaluate_verification(embed, load_lfw_pairs(LFW / "pairs.txt", LFW / "images"), "MobileFaceNet")


def test_the_grid_gives_the_published_routines_accuracies(pairs):
    result = verification_accuracy(pairs.scores_K, pairs.same_K, folds=7, grid="insightface")
    assert result.accuracies == pytest.approx([0.98333, 0.98667, 0.97833, 0.98667, 0.98667, 0.995, 0.985], abs=1e-5)
    assert result.mean == pytest.approx(0.98595, abs=1e-5)
    assert result.std == pytest.approx(0.00462, abs=1e-5)


def test_exact_thresholds_move_one_pair_of_the_last_fold(pairs):
    grid = verification_accuracy(pairs.scores_K, pairs.same_K, pairs.folds_K, grid="insightface")
    exact = verification_accuracy(pairs.scores_K, pairs.same_K, pairs.folds_K)
    assert exact.accuracies[:6] == grid.accuracies[:6]
    assert exact.accuracies[6] == pytest.approx(590 / 600)
    assert exact.mean == pytest.approx(0.98571, abs=1e-5)
    assert exact.std == pytest.approx(0.00470, abs=1e-5)


def test_the_whole_summary_of_a_real_system(pairs):
    summary = summarize(pairs)
    assert (summary.genuine, summary.impostors) == (2100, 2100)
    assert summary.accuracy.interval[0] < 0.98571 < summary.accuracy.interval[1]
    assert 0 < summary.roc.eer < 0.02
    for point in summary.tar_at_far.points:
        assert point.impostors_accepted == int(point.target_far * 2100)
        assert point.interval[0] <= point.tar <= point.interval[1]
