"""Template pooling and 1:N search against figures made by the published IJB scripts."""

from pathlib import Path

import numpy as np
import pytest

from facemargin.evaluation import identification, pool_templates

ORACLE = Path(__file__).parents[2].parent / "shared" / "oracles" / "ijb_protocol_small.npz"

pytestmark = pytest.mark.skipif(not ORACLE.is_file(), reason=f"{ORACLE} is absent")


@pytest.fixture(scope="module")
def oracle():
    with np.load(ORACLE, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def templates(oracle):
    return pool_templates(oracle["features"], oracle["template_ids"], oracle["media_ids"])


def test_pooled_templates(oracle, templates):
    np.testing.assert_array_equal(templates.ids, oracle["pooled_ids"])
    np.testing.assert_allclose(templates.vectors, oracle["pooled"], atol=1e-6)


def test_scores_of_template_pairs(oracle, templates):
    first = templates.vectors[np.searchsorted(templates.ids, oracle["pair_a"])]
    second = templates.vectors[np.searchsorted(templates.ids, oracle["pair_b"])]
    np.testing.assert_allclose((first * second).sum(axis=1), oracle["pair_scores"], atol=1e-6)


def test_identification_by_the_published_rule(oracle, templates):
    template_ids, subject_ids = oracle["template_subjects"]
    subjects = dict(zip(template_ids.tolist(), subject_ids.tolist(), strict=True))

    def rows_and_subjects(chosen):
        return templates.vectors[np.searchsorted(templates.ids, chosen)], [subjects[t] for t in chosen.tolist()]

    probe, probe_ids = rows_and_subjects(oracle["probe_templates"])
    gallery, gallery_ids = rows_and_subjects(oracle["gallery_templates"])
    fpirs = oracle["fpir"].tolist()
    result = identification(probe, gallery, probe_ids, gallery_ids, fpirs=fpirs, rule="published")
    assert result.rank_rates == {rank: pytest.approx(float(oracle[f"rank{rank}"])) for rank in (1, 5, 10)}
    assert list(result.tpir_at_fpir.values()) == pytest.approx(oracle["tpir_at_fpir"].tolist())
