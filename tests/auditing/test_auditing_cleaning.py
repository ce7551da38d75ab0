"""What becomes of every image when findings are accepted, and which findings contradict each other."""

import numpy as np
import pytest

import facemargin as fm
from facemargin.auditing import AuditedData, LookedFor
from facemargin.auditing.accepted import accepted_findings
from facemargin.auditing.cleaning import plan_cleaning
from facemargin.auditing.decisions import Decision, finding_key, read_decisions, write_decisions
from facemargin.data.findings import KINDS
from facemargin.data.formats.blocks import Blocks
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.errors import DataError

LABELS = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
NAMES = ["Ann", "Bob", "Cid", "Dan"]


class Named(ArrayImages):
    """Images with a name each, under a folder."""

    def __init__(self, folder="set"):
        super().__init__(np.arange(10 * 12, dtype=np.uint8).reshape(10, 2, 2, 3), folder)

    def describe(self, index):
        return f"{self.name}/{index}.png"


def faces(folder="set"):
    return WithLabels(Named(folder), LABELS, NAMES)


def found(kind, image, suggested="", other=None, score=0.9):
    other_path = "" if other is None else f"set/{other}.png"
    return fm.Finding(f"set/{image}.png", kind, score, NAMES[LABELS[image]], suggested, other_path, "why")


def audit_of(findings, groups=None):
    kinds = {kind: LookedFor("how", 0.1, 0.9) for kind in KINDS}
    return fm.Audit(list(findings), kinds, AuditedData.of(faces()), "embeddings", groups=groups or {})


def clean(*findings, rejected=(), by_score=(), groups=None, images=None, wrong_labels="drop"):
    """The plan: `findings` are accepted by hand, in this order, `by_score` because of their score."""
    audit = audit_of([*findings, *rejected, *by_score], groups)
    decisions = [Decision(one, True, f"d.csv, line {n + 2}") for n, one in enumerate(findings)]
    decisions += [Decision(one, False, f"d.csv, line {n + 102}") for n, one in enumerate(rejected)]
    accepted = accepted_findings(audit, decisions, 0.0 if by_score else None)
    return plan_cleaning(images or faces(), audit, accepted, decisions, wrong_labels)


def people(cleaning):
    """{image: person} of the images that stay."""
    names = [cleaning.identity_names[label] for label in cleaning.labels_M]
    return dict(zip(cleaning.kept_M.tolist(), names, strict=True))


BEFORE = {index: NAMES[label] for index, label in enumerate(LABELS)}


def without(*images, **changed):
    return {index: changed.get(f"i{index}", name) for index, name in BEFORE.items() if index not in images}


def test_copies_and_images_of_nobody_are_dropped():
    cleaning = clean(found("duplicate", 1, other=0), found("unrecognisable", 5), found("no_face", 9))
    assert people(cleaning) == without(1, 5, 9)
    assert cleaning.emptied == ["Dan"] and cleaning.identity_names == ["Ann", "Bob", "Cid"]
    assert cleaning.why == {
        1: ["duplicate (d.csv, line 2): why"],
        5: ["unrecognisable (d.csv, line 3): why"],
        9: ["no_face (d.csv, line 4): why"],
    }
    assert cleaning.counts() == {"kept": 7, "dropped": 3}
    view = cleaning.cleaned()
    assert [view.describe(index) for index in range(3)] == ["set/0.png", "set/2.png", "set/3.png"]
    assert (view.read(1) == faces().read(2)).all()


def test_wrong_labels_are_dropped_or_moved():
    moved, nobody = found("mislabelled", 0, "Bob", 3), found("mislabelled", 5)
    assert people(clean(moved, nobody)) == without(0, 5)
    cleaning = clean(moved, nobody, wrong_labels="move")
    assert people(cleaning) == without(5, i0="Bob") and cleaning.actions_N[0] == "moved"


def test_two_labels_become_the_one_with_more_images():
    cleaning = clean(found("split", 3, "Cid", 5), found("split", 9, "Bob", 4))
    assert people(cleaning) == without(i3="Cid", i4="Cid", i9="Cid")
    assert cleaning.counts() == {"kept": 7, "joined": 3} and cleaning.emptied == []


@pytest.mark.parametrize(("has_names", "second"), [(True, "Cid (2)"), (False, "0")])
def test_two_people_get_two_labels(has_names, second):
    images = faces()
    images.has_names = has_names
    merged = found("merged", 7, other=5)
    groups = {"Cid": ["set/7.png", "set/8.png"]}
    cleaning = clean(merged, groups=groups, images=images)
    assert people(cleaning) == without(i7=second, i8=second)
    # a third image goes to the person of them that it is like
    for near, person in ((8, second), (6, "Cid")):
        cleaning = clean(
            merged, found("mislabelled", 0, "Cid", near), groups=groups, images=images, wrong_labels="move"
        )
        assert people(cleaning) == without(i0=person, i7=second, i8=second)


def test_a_joined_label_is_not_wrong():
    split, wrong = found("split", 0, "Bob", 3), found("mislabelled", 4, "Ann", 0)
    for wrong_labels in ("drop", "move"):
        cleaning = clean(split, wrong, wrong_labels=wrong_labels)
        assert people(cleaning) == without(i3="Ann", i4="Ann")
        assert cleaning.why[4] == [
            "split (d.csv, line 2): why",
            "mislabelled (d.csv, line 3): why; but the two labels are joined",
        ]


def test_a_copy_stays_where_the_other_goes_for_its_label():
    across = found("duplicate", 0, "Bob", 3)
    cleaning = clean(across, found("mislabelled", 3, "Ann", 0))
    assert people(cleaning) == without(3)
    assert cleaning.why[0] == ["duplicate (d.csv, line 2): why; but the other is dropped, for its label"]
    # under the same label, the copy has the wrong one, too; so has a copy of a copy
    within, chain = found("duplicate", 4, other=3), found("duplicate", 0, "Bob", 4)
    assert people(clean(within, found("mislabelled", 3, "Ann"))) == without(3, 4)
    assert people(clean(within, chain, found("mislabelled", 3, "Ann"))) == without(3, 4)
    assert people(clean(across, found("unrecognisable", 3))) == without(0, 3)


def test_a_picture_that_is_lost_under_two_labels_stays_under_a_third():
    # 3 and 5 go for their labels; 4 is a copy of both, under a label of 3; 9, under another, is a copy of 4 alone
    copies = [found("duplicate", 4, other=3), found("duplicate", 4, "Cid", 5), found("duplicate", 9, "Bob", 4)]
    cleaning = clean(*copies, found("mislabelled", 3), found("mislabelled", 5))
    assert people(cleaning) == without(3, 4, 5)


def test_a_copy_that_is_moved_is_not_lost_for_the_label_it_leaves():
    copy, moved = found("duplicate", 4, other=3), found("mislabelled", 4, "Cid", 5)
    assert people(clean(copy, moved, found("mislabelled", 3), wrong_labels="move")) == without(3, i4="Cid")


def test_copies_across_labels_that_are_joined_stay_once_and_no_label_is_called_wrong():
    copy, joined = found("duplicate", 0, "Bob", 3), found("split", 3, "Ann", 0)
    cleaning = clean(copy, joined)
    assert people(cleaning) == without(0, i3="Ann", i4="Ann")
    assert cleaning.why[0] == ["duplicate (d.csv, line 2): why; the two labels are joined"]


@pytest.mark.parametrize("wrong_labels", ["drop", "move"])
@pytest.mark.parametrize("seed", range(4))
def test_findings_that_meet_lose_no_picture_and_leave_none_twice(seed, wrong_labels):
    generator = np.random.default_rng(seed)
    for _ in range(150):
        findings = [drawn(generator) for _ in range(int(generator.integers(1, 14)))]
        # an audit has one finding of a wrong label an image
        keys = [one.path if one.kind == "mislabelled" else finding_key(one) for one in findings]
        findings = list(dict(zip(keys, findings, strict=True)).values())
        accepted = accepted_findings(audit_of(findings), [], 0.0)
        try:
            cleaning = plan_cleaning(faces(), audit_of(findings), accepted, (), wrong_labels)
        except DataError as error:
            assert "no image would be left" in str(error)
            continue
        refused = [sentence.split(": ")[0] for sentence in cleaning.not_applied]
        require_consistent(cleaning, [one.finding for one in accepted if str(one) not in refused], wrong_labels)


def drawn(generator):
    image, other = generator.choice(10, 2, replace=False).tolist()
    kind = str(generator.choice(["duplicate", "duplicate", "duplicate", "mislabelled", "split", "no_face"]))
    person = NAMES[LABELS[other]] if LABELS[other] != LABELS[image] else ""
    if kind == "split" and not person:
        kind = "duplicate"
    if kind == "no_face" or (kind == "mislabelled" and generator.random() < 0.4):
        return found(kind, image, score=float(generator.random()))
    return found(kind, image, person, other, float(generator.random()))


def require_consistent(cleaning, findings, wrong_labels):
    """Loops over what was applied: whom every image shows now, and what becomes of the images of every picture."""
    one = {name: name for name in NAMES}
    for finding in findings:
        if finding.kind == "split":
            old = one[finding.suggested]
            one = {name: one[finding.label] if label == old else label for name, label in one.items()}
    number = {f"set/{index}.png": index for index in range(10)}
    whose = {index: one[BEFORE[index]] for index in range(10)}
    wrong, nobody, group = {}, set(), {index: {index} for index in range(10)}
    pairs = []
    for finding in findings:
        index = number[finding.path]
        if finding.kind == "no_face":
            nobody.add(index)
        if finding.kind == "mislabelled" and (not finding.suggested or one[finding.suggested] != one[finding.label]):
            if wrong_labels == "move" and finding.suggested:
                whose[index] = one[finding.suggested]
            else:
                wrong[index] = whose[index]
        if finding.kind == "duplicate":
            pairs.append((index, number[finding.other_path]))
            together = group[index] | group[number[finding.other_path]]
            group |= dict.fromkeys(together, together)
    left = people(cleaning)
    for index, person in left.items():
        assert one[person] == whose[index] and index not in wrong and index not in nobody
    assert all(index not in left or kept not in left for index, kept in pairs)
    for index in range(10):
        if not group[index] & nobody and whose[index] not in {wrong[other] for other in group[index] & set(wrong)}:
            assert group[index] & set(left)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (found("duplicate", 0, other=1), found("duplicate", 1, other=0), "of the two copies neither would be left"),
        (found("mislabelled", 0, "Bob"), found("mislabelled", 0, "Cid"), "moves the image to another person"),
        (found("mislabelled", 0, "Bob"), found("no_face", 0), "says whom the image shows"),
        (found("unrecognisable", 0), found("mislabelled", 0, "Bob"), "drops the image"),
        (found("split", 0, "Cid"), found("merged", 5, other=7), "not known which of the two people"),
        (found("merged", 5, other=7), found("split", 0, "Cid"), "not known which of them"),
    ],
)
def test_contradictions(first, second, message):
    groups = {"Cid": ["set/5.png"]}
    with pytest.raises(DataError, match="1 decision contradicts others; reject one of each two") as error:
        clean(first, second, groups=groups, wrong_labels="move")
    assert message in str(error.value)
    assert "d.csv, line 2" in str(error.value) and "d.csv, line 3" in str(error.value)
    # what was decided by hand goes before a score, a sure finding before one less sure
    cleaning = clean(second, by_score=[first], groups=groups, wrong_labels="move")
    assert people(cleaning) == people(clean(second, groups=groups, wrong_labels="move"))
    assert len(cleaning.not_applied) == 1 and cleaning.not_applied[0].startswith(f"score 0.9 ({first.kind}")


def test_people_told_apart_are_not_joined_by_others():
    splits = [found("split", 0, "Bob"), found("split", 3, "Cid")]
    with pytest.raises(DataError, match=r"line 3 .*line 102 says that Ann and Cid are two"):
        clean(*splits, rejected=[found("split", 0, "Cid")])
    cleaning = clean(
        rejected=[found("split", 0, "Cid")], by_score=[splits[0], fm.Finding(*splits[1].__dict__.values())]
    )
    assert people(cleaning) == without(i3="Ann", i4="Ann") and len(cleaning.not_applied) == 1


def test_the_surest_of_a_score_goes_first():
    weak, strong = found("mislabelled", 0, "Bob", score=0.6), found("mislabelled", 0, "Cid", score=0.7)
    cleaning = clean(by_score=[weak, strong], wrong_labels="move")
    assert people(cleaning)[0] == "Cid" and "score 0.6" in cleaning.not_applied[0]
    audit = audit_of([weak, strong])
    assert [one.finding for one in accepted_findings(audit, [], 0.7)] == [strong]  # at least, not above
    assert accepted_findings(audit, [Decision(strong, False, "d")], 0.7) == []


def test_the_set_may_lie_elsewhere_but_must_be_the_same():
    finding = found("no_face", 1)
    assert people(clean(finding, images=faces("/far/set.v2"))) == without(1)
    other = WithLabels(Named(), [0, *LABELS[1:-1], 2], NAMES)
    with pytest.raises(DataError, match="is not the set that was audited"):
        clean(finding, images=other)
    with pytest.raises(DataError, match=r"names its images otherwise than the audit does, such as set/77.png"):
        clean(fm.Finding("set/77.png", "no_face", 0.9, "Ann"))
    with pytest.raises(DataError, match=r"set has no image set/1.png of 'Bob'"):
        clean(fm.Finding("set/1.png", "no_face", 0.9, "Bob"))


def test_nothing_left_is_refused():
    with pytest.raises(DataError, match="no image would be left"):
        clean(*(found("no_face", index) for index in range(10)))


def test_blocks_keep_their_images():
    images = faces()
    images.blocks = Blocks(np.array([0, 4, 6]), np.array([0, 0, 1]), 10)
    blocks = clean(found("no_face", 1), found("no_face", 4), found("no_face", 5), images=images).cleaned().blocks
    assert [blocks.bounds(block) for block in range(3)] == [(0, 3), (3, 3), (3, 7)]


def test_decisions_are_read_as_written(tmp_path):
    path = tmp_path / "new" / "d.csv"
    odd = fm.Finding('a/"x", \udcff.jpg', "split", 0.1, "a", "b", "c", "two\nlines")
    write_decisions([(odd, True), (found("no_face", 1), False)], path)
    assert [(one.finding, one.accepted) for one in read_decisions(path)] == [(odd, True), (found("no_face", 1), False)]
    assert read_decisions(path)[0].where == f"{path}, line 3"
    lines = path.read_bytes().splitlines(keepends=True)
    # a spreadsheet's: a byte order mark, a column more, an empty decision, capitals
    path.write_bytes(
        b"\xef\xbb\xbf" + lines[0] + lines[3].replace(b"reject", b"Accept ") + lines[3].replace(b"reject", b"")
    )
    assert [one.accepted for one in read_decisions(path)] == [True]
    path.write_bytes(lines[0] + lines[3] + lines[3].replace(b"reject", b"accept"))
    with pytest.raises(DataError, match=r"line 3: accept, but .*line 2 decides otherwise on the same finding"):
        read_decisions(path)
    path.write_bytes(lines[0] + lines[3].replace(b"reject", b"rejct"))
    with pytest.raises(DataError, match="line 2: unknown decision 'rejct'; did you mean 'reject'"):
        read_decisions(path)
    with pytest.raises(DataError, match=r"d.csv, line 9: the audit has no such finding \(no_face, set/1.png\)"):
        accepted_findings(audit_of([]), [Decision(found("no_face", 1), True, "d.csv, line 9")], None)
