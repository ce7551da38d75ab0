"""The package of docs/extending.md appears wherever a name can: the page, and what every registry is for."""

import json
import re

import numpy as np
import pytest
import torch
import yaml

from facemargin.plugins import KINDS
from tests.data.sample_images import write_people
from tests.docs.docs_pages import ROOT
from tests.docs.toy_package import PAGE, Installed, install_toy_faces
from tests.interop.foreign_files import state

pytestmark = pytest.mark.slow

# Of each kind a name of the package's, and words that stand beside it in lists.
NAMES = {
    "margins": ("toyface", "ToyFace (nobody, 2026)"),
    "formats": ("toy", "a folder with people.toy"),
    "writers": ("toy", "people.toy"),
    "pair_formats": ("toy-twins", "a folder with twins.toy"),
    "protocols": ("toy-pairs", "verification of the pairs in a folder's toys.txt"),
    "families": ("toynet", "ToyNet's weights are free for everyone"),
    "models": ("toynet-small", "ToyNet, trained on toys"),
    "detectors": ("whole", "treats every picture as one face that fills it"),
    "verbs": ("count-people", "say how many people are in a training set"),
    "metrics": ("d_prime", "how far apart genuine and impostor scores lie"),
    "backbones": ("toynet_4", "32 px"),
    "measures": ("greenness", "how green the picture is"),
}
# What is mistyped, and what is said of it.
MISTYPED = {
    "convert x y --to toi": "--to is toi; did you mean toy?",
    "evaluate x --data y --protocol toy-pair": "--protocol is toy-pair; did you mean toy-pairs?",
    "models toynet-smal": "unknown released model 'toynet-smal'; did you mean 'toynet-small'?",
    "check-model x --family toynett": "--family is toynett; did you mean toynet?",
    "detect x --detector whol": "--detector is whol; did you mean whole?",
    "count-peple": "unknown command 'count-peple'; did you mean 'count-people'?",
    "count-people --dta x": "unknown option --dta; did you mean --data?",
    "count-people --data nowhere": "facemargin count-people: nowhere does not exist",
    "train demo --head.name toyfaec": "unknown margin 'toyfaec'; did you mean 'toyface'?",
    "train demo --head.name toyface --head.softnes 1": "did you mean --head.softness?",
    "train demo --backbone.name toynet4": "unknown backbone 'toynet4'; did you mean 'toynet_4'?",
    "train demo --backbone.name toynet_4 --backbone.widht 1": "did you mean --backbone.width?",
}
HELPS = {
    "convert": "{folder,list,parquet,recordio,toy,webdataset}",
    "evaluate": ",toy-pairs}",
    "push": ",toynet}",
    "embed": "{centerface,whole,yunet}",
}
TINY = {
    "head": {"name": "toyface", "scale": 16.0, "softness": 0.25},
    "backbone": {"name": "toynet_4", "input_size": 16, "width": 4, "embedding_size": 16},
    "data": {"train": "orl:1-3", "workers": 0},
    "epochs": 1,
    "batch_size": 10,
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> Installed:
    return install_toy_faces(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pairs(toys):
    """A folder of faces, pairs of them in toys.txt and twins.toy, and embeddings of them in an .npz file."""
    folder = toys.folder / "pairs"
    write_people(folder, [3, 3, 3])
    paths = [f"person_{person:02d}/{number}.png" for person in range(3) for number in range(3)]
    lines = [f"{a} {b} {int(a[:9] == b[:9])}\n" for number, a in enumerate(paths) for b in paths[number + 1 :]]
    (folder / "toys.txt").write_text("".join(lines))
    (folder / "twins.toy").write_text("".join(f"{paths[3 * person]} {paths[3 * person + 1]}\n" for person in range(3)))
    vectors_ND = np.random.default_rng(0).normal(size=(9, 4)) + np.repeat(3 * np.eye(4)[:3], 3, axis=0)
    np.savez(folder / "theirs.npz", paths=np.array(paths), embeddings=vectors_ND)
    return folder


@pytest.fixture(scope="module")
def answers(toys, pairs):
    """What the command line says to all that needs no process of its own."""
    torch.save({"toy_weights": state("iresnet18", "toy.")}, toys.folder / "toynet.pth")
    (toys.folder / "no_twins").mkdir()
    (toys.folder / "no_twins" / "twins.toy").write_text("one.png\n")
    npz = pairs / "theirs.npz"
    lines = [*MISTYPED, *(f"{verb} --help" for verb in HELPS), "list", "completion bash", "completion fish"]
    return toys.answers(
        {line: line.split() for line in lines}
        | {
            "writer": ["convert", pairs, "toys", "--to", "toy"],
            "verb": ["count-people", "--data", "toys"],
            "metric": ["evaluate", npz, "--data", pairs / "toys.txt", "--output", "scored"],
            "pairs": ["evaluate", npz, "--data", pairs, "--output", "twins"],
            "empty pairs": ["evaluate", npz, "--data", toys.folder / "no_twins", "--output", "no_twins"],
            "protocol": ["evaluate", npz, "--protocol", "toy-pairs", "--data", pairs, "--output", "by_protocol"],
            "detector": ["detect", pairs, "--detector", "whole", "--output", "found.json"],
            "model": ["models", "toynet-small"],
            "family": ["convert-weights", "toynet.pth", "toynet.safetensors"],
        }
    )


def one_line(text: str) -> str:
    return " ".join(re.sub("[│┃╭╰─╮╯|]", " ", text).split())


def test_the_page_and_this_test_know_every_kind():
    text = PAGE.read_text(encoding="utf-8")
    assert set(NAMES) == set(KINDS)
    assert all(f"`{kind}`" in text for kind in NAMES)


def test_the_help_has_the_verb_and_waits_for_nothing_else(toys):
    done = toys.python("-X", "importtime", "-m", "facemargin", "--help")
    assert re.search(r"^  count-people +say how many people are in a training set$", done.stdout, re.MULTILINE)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time:" in line}
    assert "facemargin" in loaded and not loaded & {"torch", "numpy", "cv2"}


def test_lists_show_every_name_with_its_words(answers):
    code, out, err = answers["list"]
    shown = one_line(out)
    assert (code, err) == (0, "")
    for name, words in (NAMES[kind] for kind in NAMES if kind != "verbs"):
        assert f" {name} " in shown and words in shown
    assert "scale=64.0, softness=0.5" in shown


def test_the_completion_knows_every_name(answers):
    words = set(re.findall(r"[\w.-]+", answers["completion bash"][1]))
    unlisted = {"d_prime", "greenness", "toy-twins"}  # where an option takes them, it takes other texts, too
    assert {name for name, _ in NAMES.values()} - unlisted <= words
    assert "-a count-people -d 'say how many people are in a training set'" in answers["completion fish"][1]


def test_the_tables_of_the_documentation_have_every_name(toys):
    script = f"""
import importlib.util, sys, types
for name in ("mkdocs", "mkdocs.structure", "mkdocs.structure.files"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["mkdocs.structure.files"].File = object
for name in ("choices", "recipe_fields"):
    spec = importlib.util.spec_from_file_location(name, {str(ROOT / "docs" / "hooks")!r} + f"/{{name}}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print(module.page_text())
"""
    text = toys.python("-c", script).stdout
    for kind, (name, words) in NAMES.items():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert len(rows) == 1 and words in rows[0], kind
    assert "**`toyface`**" in text and "| `softness` | number | `0.5` | The number that is subtracted" in text


@pytest.mark.parametrize("line", MISTYPED)
def test_a_mistyped_name_is_taken_for_the_packages(answers, line):
    code, _, err = answers[line]
    assert code == 2 and MISTYPED[line] in err


@pytest.mark.parametrize("verb", HELPS)
def test_the_help_of_a_verb_offers_the_names(answers, verb):
    code, out, _ = answers[f"{verb} --help"]
    assert code == 0 and HELPS[verb] in one_line(out).replace(" ", "")


def test_a_set_is_written_in_the_format_and_read_by_the_verb(toys, answers):
    assert answers["writer"][0] == 0 and "9 images written as toy" in answers["writer"][1]
    labels = [line.split("\t")[0] for line in (toys.folder / "toys" / "people.toy").read_text().splitlines()]
    assert labels == ["0"] * 3 + ["1"] * 3 + ["2"] * 3
    assert answers["verb"] == (0, "3 people\n", "")


def test_the_metric_is_in_table_json_and_report(toys, answers):
    code, out, err = answers["metric"]
    assert (code, err) == (0, "")
    (place,) = (toys.folder / "scored" / "evaluation").iterdir()
    with np.load(place / "theirs.npz") as archive:
        genuine, impostor = (archive["scores_K"][archive["same_K"] == same].tolist() for same in (True, False))
    means = [sum(kind) / len(kind) for kind in (genuine, impostor)]
    spreads = [
        sum((v - mean) ** 2 for v in kind) / len(kind) for kind, mean in zip((genuine, impostor), means, strict=True)
    ]
    expected = (means[0] - means[1]) / (sum(spreads) / 2) ** 0.5
    figures = json.loads((place / "theirs.json").read_text())
    assert figures["d_prime"] == {"value": pytest.approx(expected), "interval": None}
    assert f" d′ {expected:.4f} " in one_line(out)
    report = (toys.folder / "scored" / "report.html").read_text(encoding="utf-8")
    assert "<th>d′</th>" in report.replace(' scope="col"', "") and f"{expected:.4f}" in report


def test_pairs_in_the_format_are_scored(toys, answers):
    code, out, err = answers["pairs"]
    assert (code, err) == (0, "") and "3 + 3 pairs" in out
    (place,) = (toys.folder / "twins" / "evaluation").iterdir()
    with np.load(place / "theirs.npz") as archive, np.load(toys.folder / "pairs" / "theirs.npz") as theirs:
        units_ND = theirs["embeddings"] / np.linalg.norm(theirs["embeddings"], axis=1, keepdims=True)
        genuine = [units_ND[3 * person] @ units_ND[3 * person + 1] for person in range(3)]
        impostor = [units_ND[3 * person] @ units_ND[3 * ((person + 1) % 3) + 1] for person in range(3)]
        assert archive["scores_K"].tolist() == pytest.approx(genuine + impostor)
        assert archive["same_K"].tolist() == [True] * 3 + [False] * 3
    code, _, err = answers["empty pairs"]
    assert code == 2 and "twins.toy: expected at least two lines" in err


def test_the_protocol_scores(toys, answers):
    code, out, _ = answers["protocol"]
    assert code == 0 and "toy-pairs" in out and "TAR" in out
    assert list((toys.folder / "by_protocol" / "protocols" / "toy-pairs").glob("*.json"))


def test_the_detector_finds_faces(toys, answers):
    code, out, _ = answers["detector"]
    assert code == 0 and "9 faces in 9 images" in out
    assert all(len(one["faces"]) == 1 for one in json.loads((toys.folder / "found.json").read_text()))


def test_the_measure_measures(toys):
    script = """
import facemargin as fm, numpy as np, torch
model = fm.wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4)), input_size=16)
images = [np.full((16, 16, 3), value, np.uint8) for value in (51, 102)]
print(fm.list_measures(), fm.measure_quality(model, images, "greenness:excess=0.1"))
"""
    done = toys.python("-c", script)
    assert "'greenness'" in done.stdout and "[0.1 0.3]" in done.stdout, done.stderr


def test_a_checkpoint_of_the_family_is_recognized(answers):
    code, out, _ = answers["family"]
    shown = one_line(out)
    assert code == 0 and "family ToyNet" in shown and "colour order BGR" in shown and "free for everyone" in shown


def test_the_released_model_is_described(answers):
    code, out, _ = answers["model"]
    assert code == 0 and "licence free for everyone commercial use allowed" in one_line(out)


@pytest.mark.long
def test_the_loss_trains_the_network_and_is_compared_by_the_metric(toys):
    (toys.folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    options = ["--heads", "toyface:softness=0.4", "--seeds", "1", "--data", "orl:39-40", "--output", "compared"]
    done = toys.python("-m", "facemargin", "compare", "tiny.yaml", *options)
    assert done.returncode == 0, done.stderr
    table = (toys.folder / "compared" / "comparison.md").read_text(encoding="utf-8")
    heading, _, row = table[table.index("| Head") :].splitlines()[:3]
    assert " d′ " in heading and "`toyface:softness=0.4`" in row
    values = json.loads((toys.folder / "compared" / "comparison.json").read_text())["runs"][0]["metrics"]["orl:39-40"]
    assert isinstance(values["d_prime"], float)
    run = toys.folder / "compared" / "toyface,softness=0.4" / "seed_0"
    assert "toynet_4" in (run / "recipe.yaml").read_text(encoding="utf-8")


def test_a_package_that_is_broken_is_named_and_the_rest_works(tmp_path):
    broken = Installed(tmp_path)
    files = {
        "broken_faces.py": "import there_is_no_such_module\n",
        "taken_faces.py": "from facemargin.commands import register_verb\nregister_verb('train', '')(print)\n",
    }
    broken.add("broken-faces", files, {"margins": "broken_faces", "verbs": "taken_faces", "margin": "broken_faces"})
    done = broken.python("-m", "facemargin", "list")
    assert done.returncode == 0 and "funface" in done.stdout
    warnings = done.stderr.splitlines()
    missing = "the margins of the package broken-faces are missing: its module broken_faces"
    assert sum(missing in warning for warning in warnings) == 1
    assert any("No module named 'there_is_no_such_module'" in warning for warning in warnings)
    assert any("command 'train' is facemargin's own" in warning for warning in warnings)
    assert any(
        "adds 'margin' to facemargin by broken_faces" in warning and "'margins'" in warning for warning in warnings
    )
    assert all(line.startswith("warning: ") for line in warnings)
