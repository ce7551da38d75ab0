import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import identification
from facemargin.evaluation.metrics import search as module


@st.composite
def searches(draw):
    """Probes and gallery of few distinct directions, so that similarities tie, and whose cosines (multiples of 1/4) no
    order of summing rounds; at least one probe is mated."""
    ids = st.integers(0, 4)
    gallery_ids = draw(st.lists(ids, min_size=1, max_size=8))
    probe_ids = [gallery_ids[0], *draw(st.lists(ids, max_size=9))]
    axes = st.sampled_from(np.eye(4).tolist() + (-4 * np.eye(4)).tolist())
    rows = st.one_of(axes, st.lists(st.sampled_from([-1.0, 1.0]), min_size=4, max_size=4))
    gallery = draw(st.lists(rows, min_size=len(gallery_ids), max_size=len(gallery_ids)))
    probe = draw(st.lists(rows, min_size=len(probe_ids), max_size=len(probe_ids)))
    return np.array(probe, float), np.array(gallery, float), np.array(probe_ids), np.array(gallery_ids)


def search_by_loops(probe, gallery, probe_ids, gallery_ids):
    """Per probe: best mate score or None, its rank, best non-mate score; and all non-mate scores."""
    unit_probe = probe / np.linalg.norm(probe, axis=1, keepdims=True)
    unit_gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    similarity = unit_probe @ unit_gallery.T
    rows, all_nonmates = [], []
    for p, identity in enumerate(probe_ids):
        mates = [similarity[p, g] for g, other in enumerate(gallery_ids) if other == identity]
        nonmates = [similarity[p, g] for g, other in enumerate(gallery_ids) if other != identity]
        all_nonmates += nonmates
        mate = max(mates, default=None)
        rank = None if mate is None else 1 + sum(score >= mate for score in nonmates)
        rows.append((mate, rank, max(nonmates, default=-np.inf)))
    return rows, all_nonmates


@given(searches())
def test_rank_rates_count_mated_probes_and_any_mate(search):
    rows, _ = search_by_loops(*search)
    ranks = [rank for _, rank, _ in rows if rank is not None]
    result = identification(*search, ranks=(1, 2, 5))
    assert result.rank_rates == {k: pytest.approx(sum(rank <= k for rank in ranks) / len(ranks)) for k in (1, 2, 5)}
    assert (result.mated_probes, result.nonmated_probes) == (len(ranks), len(rows) - len(ranks))
    assert list(result.rank_rates.values()) == sorted(result.rank_rates.values())


@given(searches(), st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_the_standard_rule_counts_false_alarms_per_probe(search, fpir):
    rows, all_nonmates = search_by_loops(*search)
    alarms = [nonmate for mate, _, nonmate in rows if mate is None]
    tpir = identification(*search, fpirs=[fpir]).tpir_at_fpir[fpir]
    if not alarms:
        assert math.isnan(tpir)
        return
    mated = [(mate, rank) for mate, rank, _ in rows if mate is not None]
    rates = [
        np.mean([mate >= threshold and rank == 1 for mate, rank in mated])
        for threshold in [*all_nonmates, *(mate for mate, _ in mated), np.inf]
        if np.mean([alarm >= threshold for alarm in alarms]) <= fpir
    ]
    assert tpir == pytest.approx(max(rates))


@given(searches(), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_published_rule_counts_nonmate_scores_of_all_pairs(search, fpir):
    probe, gallery, probe_ids, gallery_ids = search
    mated = np.isin(probe_ids, gallery_ids)
    search = probe[mated], gallery, probe_ids[mated], gallery_ids
    rows, all_nonmates = search_by_loops(*search)
    place = math.ceil(len(rows) * fpir)
    descending = sorted(all_nonmates, reverse=True)
    threshold = descending[place - 1] if place <= len(descending) else -np.inf
    result = identification(*search, fpirs=[fpir], rule="published")
    assert result.tpir_at_fpir[fpir] == pytest.approx(np.mean([mate > threshold for mate, _, _ in rows]))


@given(searches(), st.sampled_from(["standard", "published"]), st.sampled_from([1, 3, 100]), st.sampled_from([1, 5]))
def test_the_size_of_the_blocks_changes_nothing(search, rule, chunk, scores):
    probe, gallery, probe_ids, gallery_ids = search
    mated = np.isin(probe_ids, gallery_ids) | (rule == "standard")
    search = probe[mated], gallery, probe_ids[mated], gallery_ids
    whole = identification(*search, rule=rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ENTRIES_A_CHUNK", chunk)
        patch.setattr(module, "BLOCK_SCORES", scores)
        assert repr(identification(*search, rule=rule)) == repr(whole)


@given(searches(), st.sampled_from([1, 2, 3]), st.sampled_from([0.1, 0.5]))
def test_the_open_set_may_ask_for_a_rank(search, rank, fpir):
    rows, _ = search_by_loops(*search)
    alarms = sorted((nonmate for mate, _, nonmate in rows if mate is None), reverse=True)
    if not alarms:
        return
    allowed = int(fpir * len(alarms))
    rejected = alarms[allowed] if allowed < len(alarms) else -np.inf
    hits = [mate > rejected and place <= rank for mate, place, _ in rows if mate is not None]
    result = identification(*search, fpirs=[fpir], open_set_rank=rank)
    assert result.tpir_at_fpir[fpir] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("chunk", [1, 100])
def test_whoever_cannot_be_enrolled_is_last_in_every_search(monkeypatch, chunk):
    monkeypatch.setattr(module, "ENTRIES_A_CHUNK", chunk)
    probe = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [np.nan, 0, 0]])
    gallery = np.array([[0.1, 1, 0], [-1.0, 0, 0], [0, 0, 0]])
    result = identification(
        probe, gallery, [0, 1, 2, 9], [1, 0, 2], ranks=(1, 2, 3), fpirs=[0.5],
        probe_failed=[False, True, False, True], gallery_failed=[False, False, True],
    )  # fmt: skip
    # probe 0 has the second place, as its mate is opposite; probe 1 and the gallery's person 2 failed
    assert result.rank_rates == {1: 0, 2: pytest.approx(1 / 3), 3: 1}
    assert (result.mated_probes, result.nonmated_probes) == (3, 1)
    with pytest.raises(DataError, match=r"failed has shape \(1,\), expected \(3,\)"):
        identification(probe[:1], gallery, [0], [1, 0, 2], gallery_failed=[False])


def test_a_gallery_on_disk_is_searched_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_A_CHUNK", 64)
    rng = np.random.default_rng(0)
    gallery, probe = rng.normal(size=(1000, 8)).astype(np.float32), rng.normal(size=(50, 8)).astype(np.float32)
    gallery.tofile(tmp_path / "gallery")
    stored = np.memmap(tmp_path / "gallery", np.float32, "r", shape=gallery.shape)
    ids = np.arange(1000) % 300
    result = identification(probe, stored, ids[:50], ids, ranks=(1, 20), fpirs=[0.1], rule="published")
    rows, nonmates = search_by_loops(probe.astype(float), gallery.astype(float), ids[:50], ids)
    assert result.rank_rates == {k: np.mean([rank <= k for _, rank, _ in rows]) for k in (1, 20)}
    threshold = sorted(nonmates)[-5]
    assert result.tpir_at_fpir == {0.1: np.mean([mate > threshold for mate, _, _ in rows])}


def test_identities_may_be_names_and_rows_any_length():
    result = identification([[5.0, 0.0]], [[0.1, 0.0], [0.0, 9.0]], ["ann"], ["ann", "bob"])
    assert result.rank_rates[1] == 1


def test_a_constant_system_gets_no_credit_for_ties():
    ids = np.arange(10)
    assert identification(np.ones((10, 3)), np.ones((10, 3)), ids, ids).rank_rates == {1: 0, 5: 0, 10: 1}


def test_only_nonmates_make_false_alarms():
    """Three strangers, the loudest at .9: at FPIR 0.34 one may pass, at 0.01 none may."""
    gallery = np.eye(2)
    angle = np.arccos([0.95, 0.7, 0.9, 0.8, 0.2])
    probe = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    result = identification(probe, gallery, [0, 0, 7, 8, 9], [0, 1], fpirs=(0.01, 0.34, 0.67))
    assert result.tpir_at_fpir == {0.01: 0.5, 0.34: 0.5, 0.67: 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 0]], [[1.0]], [0], [0]), "expected equal"),
        (([[1.0, 0]], [[np.nan, 1.0]], [0], [0]), "row 0 of gallery is zero or not finite"),
        (([[1.0, 0], [0, 0]], [[1.0, 0]], [0, 0], [0]), "row 1 of probe is zero or not finite"),
        (([[1.0, 0]], [[1.0, 0]], [0, 1], [0]), "probe_ids has shape"),
        (([[1.0, 0]], [[1.0, 0]], [0], [1]), "none of the 1 probe has"),
        ((np.empty((0, 2)), [[1.0, 0]], [], [1]), "at least one row"),
    ],
)
def test_unusable_arrays_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        identification(*arguments)


def test_the_published_rule_needs_mates():
    with pytest.raises(DataError, match="1 probe without a mate in the gallery;"):
        identification(np.eye(2), np.eye(2), [0, 5], [0, 1], rule="published")


@pytest.mark.parametrize("options", [{"ranks": [0]}, {"fpirs": [0.0]}, {"rule": "ijbs"}, {"open_set_rank": 0}])
def test_unusable_settings_are_refused(options):
    with pytest.raises(ConfigError):
        identification(np.eye(2), np.eye(2), [0, 1], [0, 1], **options)
