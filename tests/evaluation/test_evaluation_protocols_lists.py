import numpy as np
import pytest

from facemargin.data.formats.orl import embedded_verification_set
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import evaluate_verification, roc_curve, tar_at_far
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics import people_search, search
from facemargin.evaluation.protocols.figures import protocol_figures
from facemargin.evaluation.protocols.known import list_protocols, load_protocol
from facemargin.evaluation.protocols.protocol import PROTOCOLS
from facemargin.evaluation.protocols.protocol_table import protocol_settings
from facemargin.evaluation.protocols.score_protocol import score_protocol
from tests.protocol_folders import write_survface, write_tinyface

GALLERY = ["image,identity,template,media", "a1.jpg,ann,1,v", "a2.jpg,ann,1,v", "a3.jpg,ann,1,w", "b1.jpg,bob,2,v"]
PROBE = ["media,image,extra,template,identity", "x,p1.jpg,,1,bob", "x,b1.jpg,,1,bob", "y,p2.jpg,,2,eve"]


def write_list(folder, kind, lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}.csv").write_text("\n".join(lines) + "\n")


def score(protocol, features, readable=None, **options):
    readable = np.ones(len(features), dtype=bool) if readable is None else readable
    return score_protocol(protocol, features, readable, "mine", **options)


def features_by_name(protocol, seed=0):
    """The same for the same name, whatever protocol it is in: mostly that of the person, who is in the name."""
    rows = []
    for index in range(len(protocol.images)):
        name = protocol.images.describe(index).rsplit("/", 1)[-1]
        person = np.random.default_rng([ord(letter) for letter in name.split("_")[0]]).normal(size=8)
        own = np.random.default_rng([ord(letter) for letter in protocol.images.describe(index)]).normal(size=8)
        rows.append(person + 0.7 * own)
    return np.array(rows, dtype=np.float32)


def test_every_protocol_is_described_and_named():
    assert set(list_protocols()) >= {"pairs", "identification", "ijbb", "ijbc", "ijbs", "tinyface", "survface"}
    assert all(PROTOCOLS.description(name) for name in list_protocols())
    with pytest.raises(ConfigError, match=r"unknown protocol 'ijba'; did you mean 'ijb"):
        load_protocol("ijba", None)


def test_lists_of_images_share_them_and_search_among_distractors(tmp_path):
    write_list(tmp_path, "gallery", ["image,identity", "g/a.jpg,ann", "g/b.jpg,bob", "g/b2.jpg,bob"])
    write_list(tmp_path, "distractors", ["identity,image", ",d1.jpg", "zoe,d2.jpg"])
    write_list(tmp_path, "probe", ["identity,image", "ann,p.jpg", 'bob,"q,1.jpg"', "eve,e.jpg"])
    protocol = load_protocol("identification", tmp_path)
    found = [protocol.images.describe(i).removeprefix(f"{tmp_path}/") for i in range(len(protocol.images))]
    assert found == ["g/a.jpg", "g/b.jpg", "g/b2.jpg", "d1.jpg", "d2.jpg", "p.jpg", "q,1.jpg", "e.jpg"]
    (one,) = protocol.experiments
    assert one.gallery_G.tolist() == [0, 1, 2, 3, 4] and one.probe_P.tolist() == [5, 6, 7]
    # a distractor is nearer to ann's probe than she is
    features = np.eye(8, dtype=np.float32)
    features[5] = [1, 0, 0, 0.5, 1.1, 0, 0, 0]
    features[6] = [0, 0.1, 1, 0.5, 0, 0, 0, 0]
    result = score(protocol, features)
    identification = result.searches[0].identification
    assert identification.rank_rates == {1: 0.5, 5: 1, 10: 1}
    assert (identification.mated_probes, identification.nonmated_probes, result.searches[0].gallery) == (2, 1, 5)
    assert result.preset is None and result.templates == 0
    (tmp_path / "images").mkdir()
    assert load_protocol("identification", tmp_path).images.describe(0) == f"{tmp_path}/images/g/a.jpg"


def test_lists_of_templates_pool_their_images(tmp_path):
    write_list(tmp_path, "gallery", GALLERY)
    write_list(tmp_path, "probe", PROBE)
    protocol = load_protocol("identification", tmp_path)
    assert len(protocol.images) == 6  # b1.jpg is in both lists
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    a1, a2, a3, b1, p1, p2 = features.astype(float)
    unit = [v / np.linalg.norm(v) for v in ((a1 + a2) / 2 + a3, b1, (p1 + b1) / 2, p2)]
    result = score(protocol, features)
    assert result.templates == 4
    found = result.searches[0].identification
    mate, other = unit[2] @ unit[1], unit[2] @ unit[0]
    assert found.rank_rates[1] == float(mate > other)
    stranger = max(unit[3] @ unit[0], unit[3] @ unit[1])
    assert found.tpir_at_fpir[0.1] == float(mate > stranger and mate > other)


@pytest.mark.parametrize(
    ("kind", "lines", "message"),
    [
        (
            "gallery",
            ["image", "a.jpg"],
            r"gallery.csv line 1: the columns are 'image', expected exactly one column 'identity'",
        ),
        ("gallery", ["image,image,identity", "a,b,c"], r"line 1: .*exactly one column 'image'"),
        ("gallery", [*GALLERY, "a.jpg,ann"], r"gallery.csv line 6: 2 columns, expected 4 as in the header"),
        ("gallery", [*GALLERY, "a.jpg,,1,v"], r"gallery.csv line 6: column 'identity' is empty"),
        (
            "gallery",
            [*GALLERY, "a.jpg,bob,1,v"],
            r"gallery.csv line 6: template 1 shows bob, but ann on an earlier line",
        ),
        ("gallery", GALLERY[:1], r"gallery.csv lists no images"),
        ("gallery", [""], r"gallery.csv line 1: the columns are '', expected exactly one column 'image'"),
        ("gallery", ["image,identity", 'a.jpg,"ann'], r"gallery.csv line 2 is not valid CSV"),
        ("probe", ["image,identity", "\x00,b"], r"probe.csv|none of the 1 probe has"),
        (
            "distractors",
            ["identity", "a"],
            r"distractors.csv line 1: the columns are 'identity', expected exactly one column 'image'",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_named_with_its_line(tmp_path, kind, lines, message):
    write_list(tmp_path, "gallery", GALLERY)
    write_list(tmp_path, "probe", PROBE)
    write_list(tmp_path, kind, lines)
    with pytest.raises(DataError, match=message):
        protocol = load_protocol("identification", tmp_path)
        score(protocol, np.ones((len(protocol.images), 2), np.float32))


IDENTITIES = ["image,identity", "a.jpg,ann", "b.jpg,bob"]
PROBES = ["image,identity", "p.jpg,ann", "q.jpg,eve"]


@pytest.mark.parametrize(
    ("gallery", "probe", "distractors", "message"),
    [
        ([*IDENTITIES, "a.jpg,bob"], PROBES, None, "gallery.csv line 4: a.jpg shows bob, but ann on an earlier line"),
        (IDENTITIES, [*PROBES, "a.jpg,eve"], None, "a.jpg shows ann in the list gallery, but eve in the list probe"),
        (IDENTITIES, PROBES, ["image", "b.jpg"], r"1 file \(b.jpg\) is in both the gallery and the distractors list"),
        (
            IDENTITIES,
            PROBES,
            ["image", "p.jpg", "q.jpg"],
            r"2 files \(p.jpg, q.jpg\) are in both the probe and the distractors list",
        ),
        (IDENTITIES, PROBES, ["image,identity", "d.jpg,eve"], r"1 file \(d.jpg\) is in the distractors list as eve"),
        (IDENTITIES, ["image,identity", "p.jpg,ANN"], None, "none of the 1 probe has .* such as 'ANN' and 'ann'"),
        (["image,identity", "a.jpg,31.0"], ["image,identity", "p.jpg,0031"], None, "such as '0031' and '31.0'"),
        (["image,image,identity", "a,b,c"], PROBES, None, "exactly one column 'image'"),
        (["image,identity,media,media", "a,b,c,d"], PROBES, None, "exactly one column 'media'"),
    ],
)
def test_lists_that_contradict_each_other_name_the_files(tmp_path, gallery, probe, distractors, message):
    write_list(tmp_path, "gallery", gallery)
    write_list(tmp_path, "probe", probe)
    if distractors:
        write_list(tmp_path, "distractors", distractors)
    with pytest.raises(DataError, match=message):
        load_protocol("identification", tmp_path)


def test_what_may_be_but_moves_figures_is_said_beside_them(tmp_path):
    write_list(tmp_path, "gallery", [*IDENTITIES, "a.jpg,ann", "c.jpg,Eve"])
    write_list(tmp_path, "probe", [*PROBES, "./b.jpg,bob", "q.jpg,eve"])
    protocol = load_protocol("identification", tmp_path)
    assert protocol.notes == (
        "identities of the probes and of the gallery that differ in spelling only and count as different people: 1, "
        "such as 'eve' and 'Eve'",
        "1 file (a.jpg) is listed more than once as gallery, and counts that often",
        "1 file (q.jpg) is listed more than once as probe, and counts that often",
        "1 file (b.jpg) is in both the gallery and the probes: such a probe finds itself",
    )
    assert score(protocol, np.random.default_rng(0).normal(size=(5, 3))).notes == protocol.notes
    for name in ("clean", "part"):
        write_list(tmp_path / name, "gallery", IDENTITIES)
        write_list(tmp_path / name, "probe", PROBES)
    assert load_protocol("identification", tmp_path / "clean").notes == ()


def test_a_list_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gallery.csv cannot be read: No such file"):
        load_protocol("identification", tmp_path)
    for name in ("ijbs", "dronesurf"):
        with pytest.raises(
            DataError, match=r"has none of the folders .*; expected at least one, with gallery.csv and probe.csv"
        ):
            load_protocol(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "parts", "figures"),
    [
        ("ijbs", ["surveillance_to_still", "surveillance_to_surveillance"],
         ["rank 1", "rank 5", "rank 10", "TPIR at FPIR 0.01", "TPIR at FPIR 0.1"]),
        ("dronesurf", ["active", "passive"], ["rank 1", "rank 5"]),
    ],
)  # fmt: skip
def test_parts_are_searched_each_by_itself(tmp_path, name, parts, figures):
    for part in parts:
        write_list(tmp_path / part, "gallery", GALLERY)
        write_list(tmp_path / part, "probe", PROBE)
    protocol = load_protocol(name, tmp_path)
    assert len(protocol.images) == 6
    result = score(protocol, np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    assert [figure.name for figure in protocol_figures(result)] == [f"{p} {f}" for p in parts for f in figures]
    first, second = (one.identification for one in result.searches)
    assert first == second


def test_tinyface_is_searched_among_its_distractors(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "ENTRIES_A_CHUNK", 4)
    write_tinyface(tmp_path)
    for root in (tmp_path, tmp_path / "Testing_Set"):
        protocol = load_protocol("tinyface", root)
        assert len(protocol.images) == 10 + 7 + 10
        features = features_by_name(protocol)
        result = score(protocol, features)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        person = [protocol.images.describe(i).rsplit("/", 1)[-1].split("_")[0] for i in range(27)]
        ranks = []
        for probe in range(17, 27):
            scores = unit[:17] @ unit[probe]
            best = max(scores[g] for g in range(10) if person[g] == person[probe])
            ranks.append(1 + sum(scores[g] >= best for g in range(17) if g >= 10 or person[g] != person[probe]))
        rates = {rank: np.mean([found <= rank for found in ranks]) for rank in (1, 5, 20)}
        assert result.searches[0].identification.rank_rates == pytest.approx(rates)
        assert [figure.name for figure in protocol_figures(result)] == ["rank 1", "rank 5", "rank 20"]
    assert 0 < rates[1] < 1


def test_survface_verifies_its_pairs(tmp_path):
    write_survface(tmp_path)
    protocol = load_protocol("survface", tmp_path)
    features = features_by_name(protocol)
    result = score(protocol, features)
    index = {protocol.images.describe(i).rsplit("/", 1)[-1]: i for i in range(len(protocol.images))}
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    people = range(6)
    scores = [unit[index[f"{p}_0.png"]] @ unit[index[f"{q}_1.png"]] for p in people for q in people]
    same = [p == q for p in people for q in people]
    expected = tar_at_far(scores, same, [0.3, 0.2, 0.1, 0.01])
    assert result.verification[0].tar_at_far.tar == expected.tar
    assert result.verification[0].eer == pytest.approx(roc_curve(scores, same).eer)
    assert protocol_figures(result)[0].name == "TAR at FAR 0.3"
    # an image that is not readable matches nobody, in its own pair neither
    readable = np.arange(len(features)) != index["0_0.png"]
    missed = score(protocol, np.where(readable[:, None], features, 0), readable)
    scores = [-2 if p == 0 else value for p, value in zip([p for p in people for _ in people], scores, strict=True)]
    assert missed.verification[0].tar_at_far.tar == tar_at_far(scores, same, [0.3, 0.2, 0.1, 0.01]).tar
    assert (missed.unreadable, missed.failed) == (1, 1)


def test_survface_identifies_among_strangers(tmp_path):
    write_survface(tmp_path)
    protocol = load_protocol("survface-identification", tmp_path)
    result = score(protocol, features_by_name(protocol))
    found = result.searches[0]
    assert (found.open_set_rank, found.gallery) == (20, 12)
    assert (found.identification.mated_probes, found.identification.nonmated_probes) == (6, 5)
    figures = [figure.name for figure in protocol_figures(result)]
    assert figures == ["rank 1", "rank 20", *(f"TPIR20 at FPIR {fpir}" for fpir in (0.3, 0.2, 0.1, 0.01))]


@pytest.mark.parametrize("gallery", ["best", "mean"])
@pytest.mark.parametrize("block", [1, 2**22])
def test_a_person_of_the_gallery_may_be_one_candidate(tmp_path, monkeypatch, gallery, block):
    monkeypatch.setattr(people_search, "BLOCK_SCORES", block)
    monkeypatch.setattr(people_search, "ENTRIES_A_CHUNK", 5)
    people, strangers = [f"p{n}" for n in range(6)], ["s0", "s1", "s2"]
    enrolled = [f"{person}_g{n}.jpg" for person in people for n in range(3)]
    probes = [f"{person}_q{n}.jpg" for person in [*people, *strangers] for n in range(2)]
    write_list(tmp_path, "gallery", ["image,identity", *(f"{name},{name[:2]}" for name in enrolled)])
    write_list(tmp_path, "probe", ["image,identity", *(f"{name},{name[:2]}" for name in probes)])
    write_list(tmp_path, "distractors", ["image", "d0.jpg", "d1.jpg"])
    protocol = load_protocol("identification", tmp_path, gallery=gallery)
    features = np.random.default_rng(2).normal(size=(len(protocol.images), 4)).astype(np.float32)
    unit = dict(zip([*enrolled, "d0.jpg", "d1.jpg", *probes], features.astype(float), strict=True))
    ranks, alarms, mates = [], [], []
    for probe in probes:
        scores = {}
        for person in [*people, "d0", "d1"]:
            own = [vector for name, vector in unit.items() if name not in probes and name[:2] == person]
            rows = own if gallery == "best" else [np.mean(own, axis=0)]
            scores[person] = max(row @ unit[probe] / np.linalg.norm(row) / np.linalg.norm(unit[probe]) for row in rows)
        if probe[:2] in people:
            mate = scores.pop(probe[:2])
            ranks.append(1 + sum(score >= mate for score in scores.values()))
            mates.append(mate)
        else:
            alarms.append(max(scores.values()))
    result = score(protocol, features, preset="adaface")
    found = result.searches[0].identification
    assert found.rank_rates == {rank: pytest.approx(np.mean(np.array(ranks) <= rank)) for rank in (1, 5, 10)}
    # FPIR 0.1 of 6 strangers: none may be let in
    expected = np.mean([mate > max(alarms) and rank == 1 for mate, rank in zip(mates, ranks, strict=True)])
    assert found.tpir_at_fpir[0.1] == pytest.approx(expected)
    assert all(f"the {gallery} a person" in figure.behind for figure in protocol_figures(result))
    said = {"best": "a person scores as the best of their entries", "mean": "a person is the mean of their images"}
    assert said[gallery] in protocol_settings(result)
    assert result.searches[0].gallery == (20 if gallery == "best" else 8)


def test_a_gallery_is_named_and_refused_where_there_is_none(tmp_path):
    write_survface(tmp_path)
    result = score(protocol := load_protocol("survface-identification", tmp_path), features_by_name(protocol))
    assert "gallery: every entry a candidate" in protocol_settings(result)
    means = load_protocol("survface-identification", tmp_path, gallery="mean")
    assert score(means, features_by_name(means)).searches[0].gallery == 6
    for name, gallery, message in (
        ("survface", "best", "gallery best does not apply to survface: the protocol has no gallery"),
        ("survface-identification", "worst", "unknown gallery 'worst'; known: images, best, mean"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_protocol(name, tmp_path, gallery=gallery)
    write_list(tmp_path, "gallery", GALLERY)
    write_list(tmp_path, "probe", PROBE)
    with pytest.raises(ConfigError, match="its lists define templates already"):
        load_protocol("identification", tmp_path, gallery="mean")


def test_a_pairs_file_scores_as_a_verification_set_does():
    pairs = embedded_verification_set([31, 32, 33])
    features = np.random.default_rng(0).normal(size=(len(pairs.images), 8)).astype(np.float32)
    norms = np.linalg.norm(features, axis=1)
    embeddings = Embeddings(features / norms[:, None], norms, norms)
    expected = evaluate_verification(lambda images: embeddings, pairs, "mine")
    result = score(load_protocol("pairs", "orl:31-33"), features, rule="published")
    fars = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    tars = tar_at_far(expected.scores_K, expected.same_K, fars, "nearest")
    assert result.verification[0].tar_at_far.tar == tars.tar
    assert result.verification[0].auc == pytest.approx(roc_curve(expected.scores_K, expected.same_K).auc)
    curve = dict(zip(result.verification[0].far_T.round(9), result.verification[0].tar_T, strict=True))
    assert curve[0.1] == tar_at_far(expected.scores_K, expected.same_K, [0.1]).tar[0.1]


def test_features_that_do_not_fit_are_refused():
    protocol = load_protocol("pairs", "orl:31-33")
    with pytest.raises(DataError, match=r"3 features for the 30 images of pairs"):
        score(protocol, np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match=r"the features of image 0 are zero"):
        score(protocol, np.zeros((30, 2), np.float32))
