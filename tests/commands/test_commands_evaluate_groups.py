import json

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.evaluation import group_rates
from facemargin.evaluation.groups import ImageGroups
from facemargin.evaluation.scores import PairScores


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    images = open_verification("orl:1-24").images
    paths = np.array([images.describe(number) for number in range(len(images))])
    rng = np.random.default_rng(0)
    centers = np.repeat(rng.normal(size=(24, 16)), 10, axis=0)
    for name, noise in (("good", 0.7), ("poor", 1.2)):
        np.savez(folder / f"{name}.npz", paths=paths, embeddings=centers + noise * rng.normal(size=(240, 16)))
    lines = [f"s{person},{'north' if person <= 12 else 'south'}" for person in range(1, 25)]
    (folder / "groups.csv").write_text("\n".join(["person,site", *lines, "s30,east"]) + "\n")
    return folder


def test_groups_are_printed_stored_and_reported(command, embeddings, tmp_path):
    code, out, _ = command(
        "evaluate", embeddings / "good.npz", "--data", "orl:1-24", "--groups", embeddings / "groups.csv",
        "--fmr", "0.02", "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    for text in ("groups by site", "north", "FMR by pair of groups", "1 person that no set has: s30"):
        assert text in " ".join(out.split())
    place = tmp_path / "out" / "evaluation" / "orl-1-24"
    stored = json.loads((place / "good.json").read_text())["groups"]["site"]["rates"]
    scores, groups = PairScores.load(place / "good.npz"), ImageGroups.load(place / "groups.npz")
    north_a, north_b = (people < 12 for people in (scores.identities_a_K, scores.identities_b_K))
    expected = group_rates(
        scores.scores_K, scores.same_K, scores.identities_a_K, scores.identities_b_K,
        np.where(north_a, "north", "south"), np.where(north_b, "north", "south"), fmr=0.02,
    )  # fmt: skip
    assert groups.fmr == 0.02 and stored["threshold"] == expected.threshold
    assert [rate["observed"] for rate in stored["rates"]] == [rate.observed for rate in expected.rates]
    assert "Groups by site" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fmr", "0.1"], "--fmr is that of the rates by group: add --groups"),
        (["--threshold", "0.1"], "--threshold is that of the rates by group"),
        (["--groups", "groups.csv", "--fmr", "0.1", "--threshold", "0.1"], "remove one of them"),
        (["--groups", "groups.csv", "--fmr", "2"], "--fmr is 2, expected a rate between 0 and 1"),
        (["--groups", "groups.csv", "--fmr", "nan"], "--fmr is nan"),
        (["--groups", "groups.csv", "--threshold", "inf"], "--threshold is inf"),
        (["--groups", "nothing.csv"], "nothing.csv cannot be read"),
        (["--groups", "groups.csv", "--protocol", "pairs"], "--groups does not apply to --protocol"),
    ],
)
def test_options_that_do_not_fit_are_refused(command, embeddings, tmp_path, options, message):
    options = [str(embeddings / option) if option.endswith(".csv") else option for option in options]
    arguments = ["evaluate", embeddings / "good.npz", "--data", "orl:1-24", *options, "--output", tmp_path / "out"]
    code, _, err = command(*arguments)
    assert code == 2 and message in err and not (tmp_path / "out").exists()


def test_one_threshold_is_not_that_of_several_models(command, embeddings, tmp_path):
    code, _, err = command(
        "evaluate", embeddings / "good.npz", embeddings / "poor.npz", "--data", "orl:1-24",
        "--groups", embeddings / "groups.csv", "--threshold", "0.5", "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 2 and "--threshold is given for 2 models" in err
