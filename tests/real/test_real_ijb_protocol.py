"""Template pooling, pair scores and 1:N search against figures made by the published IJB scripts: through the metrics,
and through the protocol with its files."""

from pathlib import Path

import numpy as np
import pytest

from facemargin.data.alignment import TEMPLATE_52
from facemargin.evaluation import identification, pool_templates
from facemargin.evaluation.metrics.pair_scores import pair_scores
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.evaluation.protocols.score_protocol import protocol_units, score_protocol

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


@pytest.fixture(scope="module")
def protocol(oracle, tmp_path_factory):
    """The oracle's arrays as the files of IJB-C, its gallery in two halves."""
    folder = tmp_path_factory.mktemp("ijbc")
    landmarks = " ".join(map(str, TEMPLATE_52.ravel()))
    subjects = dict(zip(*oracle["template_subjects"].tolist(), strict=True))

    def write(name, lines):
        (folder / "meta").mkdir(exist_ok=True)
        (folder / "meta" / f"ijbc_{name}").write_text("\n".join(lines) + "\n")

    def subject_list(templates):
        return [
            "TEMPLATE_ID,SUBJECT_ID,FILENAME",
            *(f"{template},{subjects[template]},x.jpg" for template in templates),
        ]

    images = list(zip(oracle["template_ids"].tolist(), oracle["media_ids"].tolist(), strict=True))
    write("face_tid_mid.txt", [f"{row}.jpg {template} {media}" for row, (template, media) in enumerate(images)])
    write("name_5pts_score.txt", [f"{row}.jpg {landmarks} 0.5" for row in range(len(images))])
    pairs = zip(*(oracle[name].tolist() for name in ("pair_a", "pair_b", "pair_labels")), strict=True)
    write("template_pair_label.txt", [f"{a} {b} {label}" for a, b, label in pairs])
    gallery = oracle["gallery_templates"].tolist()
    write("1N_gallery_G1.csv", subject_list(gallery[:25]))
    write("1N_gallery_G2.csv", subject_list(gallery[25:]))
    write("1N_probe_mixed.csv", subject_list(oracle["probe_templates"].tolist()))
    return load_protocol("ijbc", folder, "published")


def test_the_protocols_files_lead_to_the_same_templates_and_scores(oracle, protocol):
    features = oracle["features"]
    units = protocol_units(protocol.templates, features, np.ones(len(features), dtype=bool), "adaface")
    assert protocol.templates.names.tolist() == oracle["pooled_ids"].tolist()
    np.testing.assert_allclose(units.vectors_UD, oracle["pooled"], atol=1e-6)
    verification = protocol.experiments[0]
    scores = pair_scores(units.vectors_UD, verification.first_K, verification.second_K)
    np.testing.assert_allclose(scores, oracle["pair_scores"], atol=1e-6)
    np.testing.assert_array_equal(verification.same_K, oracle["pair_labels"].astype(bool))


@pytest.mark.parametrize("preset", ["adaface", "insightface"])  # a detector that is equally sure of all changes nothing
def test_the_protocols_files_lead_to_the_published_figures(oracle, protocol, preset):
    features = oracle["features"]
    result = score_protocol(protocol, features, np.ones(len(features), dtype=bool), "x", preset, "one", "published")
    found = result.searches[0].identification
    assert found.rank_rates == {rank: pytest.approx(float(oracle[f"rank{rank}"])) for rank in (1, 5, 10)}
    assert oracle["fpir"].tolist() == list(found.tpir_at_fpir)
    assert list(found.tpir_at_fpir.values()) == pytest.approx(oracle["tpir_at_fpir"].tolist())
