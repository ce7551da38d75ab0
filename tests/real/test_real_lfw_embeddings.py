"""A trained MobileFaceNet's embeddings of LFW folds 1–7 give the accuracies that InsightFace's own routine gives."""

from pathlib import Path

import numpy as np
import pytest

from facemargin.data.pairs.lfw import load_lfw_pairs
from facemargin.evaluation import (
    Embeddings,
    PairScores,
    certified_upper_bound,
    certify_embeddings,
    evaluate_verification,
    summarize,
    verification_accuracy,
)

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


@pytest.mark.slow
def test_a_certified_threshold_is_that_of_all_pairs_of_people():
    """14 million pairs, tile by tile, against all of them in one matrix."""
    with np.load(LFW / "mobilefacenet_embeddings.npz", allow_pickle=False) as archive:
        rows, names = archive["embeddings"], [path.split("/")[0] for path in archive["paths"].tolist()]
    norms = np.linalg.norm(rows, axis=1)
    vectors = (rows / norms[:, None]).astype(np.float32)
    found = certify_embeddings(Embeddings(vectors, norms, norms), names, fmr=1e-2, fnmr=0.05)
    ((band,), fmr) = found.bands, found.bands[0].fmr
    person = np.unique(names, return_inverse=True)[1]
    images = np.bincount(person)
    assert (fmr.people, fmr.units, fmr.pairs) == (2948, 1474, 14_393_688)
    scores = vectors @ vectors.T
    accepted = np.triu((scores >= fmr.threshold) & (person[:, None] != person), 1)
    assert np.count_nonzero(accepted) == pytest.approx(fmr.errors, abs=3)  # rounding at the threshold itself
    first, second = np.nonzero(accepted)
    observed = (1 / (images[person[first]] * images[person[second]])).sum() / (2948 * 2947 / 2)
    assert observed == pytest.approx(fmr.observed, rel=1e-4)
    assert certified_upper_bound(fmr.observed, 1474, 0.975) == pytest.approx(1e-2, rel=1e-3)
    low, high = fmr.estimated
    assert low < fmr.observed < high < fmr.certified == 1e-2
    assert band.fnmr.people == np.count_nonzero(images > 1) and band.fnmr.observed < 0.05
    refused = certify_embeddings(Embeddings(vectors, norms, norms), names, fmr=1e-3).bands[0].fmr
    assert refused.threshold is None and refused.refusal == (
        "FMR 0.001 needs 5,990 people with no false match, the pairs have 2,948; the lowest that can be certified is "
        "0.203 %"
    )
