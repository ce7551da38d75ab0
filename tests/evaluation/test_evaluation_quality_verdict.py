"""The criteria, one at a time, at their limits."""

import pytest

from facemargin.evaluation.checked_quality import DiscardResult, KindResponse, NotFacesRanked
from facemargin.evaluation.quality_verdict import judge


def kinds(**highest):
    names = ("blur", "noise", "jpeg", "occlusion")
    return [KindResponse(name, -0.9, (-1.0, highest.get(name, -0.5))) for name in names]


def discards(degraded=(-0.5, -0.1), clean=(-0.3, 0.1)):
    return [
        DiscardResult(faces, 100, 10, 0.3, 0.8, -0.2, interval)
        for faces, interval in (("degraded", degraded), ("clean", clean))
    ]


NO_FACE = "pictures without a face (texture)"
LOW = [NotFacesRanked("flat color", 50, 5)]


@pytest.mark.parametrize(
    ("kinds", "not_faces", "discards", "verdict", "exceptions"),
    [
        (kinds(), LOW, discards(), "helps", ()),
        (kinds(noise=-0.49), LOW, discards(), "helps except for", ("noise",)),
        (kinds(noise=0.2, blur=0.3), LOW, discards(), "not shown to help", ()),
        (kinds(), [NotFacesRanked("texture", 50, 6)], discards(), "helps except for", (NO_FACE,)),
        (kinds(), LOW, discards(degraded=(-0.5, 0.0)), "not shown to help", ()),
        (kinds(), LOW, discards(degraded=(0.1, 0.2)), "not shown to help", ()),
        (kinds(), LOW, discards(degraded=None), "not shown to help", ()),
        (kinds(), LOW, discards(clean=(0.01, 0.2)), "helps except for", ("faces that are not degraded",)),
        (kinds(), LOW, [], "not shown to help", ()),
    ],
)  # fmt: skip
def test_verdicts(kinds, not_faces, discards, verdict, exceptions):
    found = judge(kinds, not_faces, discards, "nobody knows", 100)
    assert found[:2] == (verdict, exceptions)
    assert (found[2][0] == "nobody knows") == (not discards)


def test_a_correlation_without_an_interval_counts_itself():
    exact = [KindResponse("blur", -1.0, None), KindResponse("noise", 0.0, None), KindResponse("jpeg", -1.0, None)]
    assert judge(exact, LOW, discards(), "", 100)[1] == ("noise",)


def test_reasons_say_what_was_found():
    odd = [NotFacesRanked("texture", 50, 20), *LOW]
    _, _, reasons = judge(kinds(noise=0.1), odd, discards(clean=(0.05, 0.2)), "", 12)
    assert reasons == (
        "on degraded faces, discarding up to 30% by quality leaves 20% fewer errors than discarding at random (95 %: "
        "-50% to -10%)",
        "on clean faces, discarding up to 30% by quality leaves 20% fewer errors than discarding at random (95 %: +5% "
        "to +20%)",
        "it does not surely fall with noise (ρ -0.90); it falls with blur (ρ -0.90), jpeg (ρ -0.90), occlusion (ρ "
        "-0.90)",
        "pictures without a face rank above the lowest tenth of clean faces: 20 of 50 (texture)",
        "the intervals rest on 12 people, so they are too narrow",
    )
