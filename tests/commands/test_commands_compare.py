"""Heads compared as a user does it: real trainings in real processes, stopped and continued."""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from facemargin.commands import compare
from facemargin.commands._compared_scores import place_figures
from facemargin.commands.compare import require_nothing_lost
from facemargin.comparison.plan import parse_heads, plan_runs
from facemargin.comparison.run import ComparisonRun, run_result, stored_scores
from facemargin.data.formats.orl import embedded_verification_set
from facemargin.errors import ConfigError
from facemargin.evaluation import error_versus_discard, tar_at_far
from facemargin.evaluation.origin import Origin, note_origin, read_origin, set_origin
from facemargin.margins import list_margins
from facemargin.models.load import load
from facemargin.quality.degradation import degraded_twin
from facemargin.report import load_run
from facemargin.training.checkpoint import checkpoint_steps
from tests.processes import Program
from tests.systems import linux_only

RECIPE = {
    "head": {"name": "funface", "scale": 16.0},
    "backbone": {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 16},
    "data": {"train": "orl:1-4", "workers": 0, "cache_decoded": True},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "schedule": {"name": "cosine"},
    "validation": {"views": "one"},
    "checkpoint": {"every_steps": 5},
    "logging": {"every_steps": 1},
    "epochs": 4,
    "batch_size": 20,
}
STEPS = 4 * 2


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def start(*arguments) -> Program:
    return Program("-m", "facemargin", "compare", *arguments, start_new_session=True)


def children(pid: int) -> list[int]:
    """The processes that train; multiprocessing has another one beside them."""
    pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in pids if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def has_pending(pid: int, number: int) -> bool:
    """Whether a signal waits for a process that is held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16) >> (number - 1) & 1)


def wait_for(condition):
    """Until `condition()`; one that never comes true meets the test's own time limit."""
    while not condition():
        time.sleep(0.01)


def hold_at(process: Program, folders: Sequence[Path], steps: int) -> list[int]:
    """Hold the process of each run as soon as it has logged `steps`, however fast it is; their numbers."""
    held: dict[Path, int] = {}

    def all_are_held() -> bool:
        assert process.poll() is None, process.communicate()
        for worker in children(process.pid):
            folder = Path(f"/proc/{worker}/fd/1").readlink().parent  # its log.txt
            if folder in folders and folder not in held and len(rows(folder)) >= steps:
                os.kill(worker, signal.SIGSTOP)
                held[folder] = worker
        return len(held) == len(folders)

    wait_for(all_are_held)
    return list(held.values())


def rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def losses(folder: Path) -> list[str]:
    return [row["loss"] for row in rows(folder)]


def changed_at(folder: Path) -> dict[str, int]:
    """When the files that training and scoring write were written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.suffix in (".safetensors", ".pt") or path.name in ("compare.json", "environment.json")
    }


@pytest.mark.slow
def test_heads_are_trained_alike_scored_and_compared(command, forked_runs, recipe, tmp_path):
    output = tmp_path / "out"
    heads = "arcface:margin=0.3,normface:scale=3e38"  # gradients of this scale overflow
    arguments = [
        "compare", recipe, "--heads", heads, "--seeds", "2", "--scale", "20", "--data", "orl:31-33", "--jobs", "2",
        "--output", output,
    ]  # fmt: skip
    code, out, err = command(*arguments)
    assert (code, err) == (1, "")
    assert "2 of 2" not in out and "0 of 2" in out
    content = json.loads((output / "comparison.json").read_text())
    assert [(run["head"], run["seed"]) for run in content["runs"]] == [
        (head, seed) for seed in (0, 1) for head in heads.split(",")
    ]
    for run in content["runs"]:
        failed = run["head"].startswith("normface")
        assert ("step 1: the loss is inf" in (run["failure"] or "")) == failed
        assert run["images_seen"] == (0 if failed else STEPS * 20)
        assert run["metrics"].keys() == (set() if failed else {"orl:31-33", "orl:31-33-degraded"})
        folder = output / run["head"].replace(":", ",") / f"seed_{run['seed']}"
        assert ("failed" if failed else "scored on orl:31-33-degraded") in (folder / "log.txt").read_text()
        written = yaml.safe_load((folder / "recipe.yaml").read_text())
        assert written["head"]["scale"] == (3e38 if failed else 20)
        assert (written["head"]["name"], written["seed"]) == (run["head"].split(":")[0], run["seed"])

    # The figures are those of the model that was trained.
    folder = output / "arcface,margin=0.3" / "seed_1"
    (run,) = [run for run in content["runs"] if (run["head"], run["seed"]) == ("arcface:margin=0.3", 1)]
    clean = embedded_verification_set([31, 32, 33])
    for pairs in (clean, degraded_twin(clean)):
        embeddings = load(folder).embed(pairs.images, views="one")
        vectors = embeddings.vectors.astype(np.float64)
        scores = np.array([vectors[a] @ vectors[b] for a, b in zip(pairs.first_K, pairs.second_K, strict=True)])
        values = run["metrics"][pairs.name]
        for far in (0.1, 0.01, 0.001):
            (point,) = tar_at_far(scores, pairs.same_K, [far]).points
            assert values[f"tar_at_far_{far:g}"] == point.tar
        quality = embeddings.norms.astype(np.float64)
        curve = error_versus_discard(scores, pairs.same_K, quality[pairs.first_K], quality[pairs.second_K])
        assert values["pauc"] == pytest.approx(curve.limits[-1].pauc)
        mean = content["spreads"][pairs.name]["pauc"]["arcface:margin=0.3"]["mean"]
        others = [one["metrics"][pairs.name]["pauc"] for one in content["runs"] if one["head"] == "arcface:margin=0.3"]
        assert mean == pytest.approx(sum(others) / 2) and others[0] != others[1]

    page = (output / "comparison.md").read_text()
    for text in ("## orl:31-33-degraded", "normface:scale=3e38, seed 1 failed", "margin=0.3", "Balanced accuracy"):
        assert text in page
    assert "it takes at least 2 seeds of arcface:margin=0.3 and of another head" in page
    assert str(tmp_path) not in page and "<svg" in (output / "comparison.svg").read_text()

    # One report shows all runs that did not fail, with everything that `evaluate` shows of several models.
    report = load_run(output)
    assert [evaluation.dataset for evaluation in report.evaluations] == ["orl:31-33", "orl:31-33-degraded"]
    for evaluation in report.evaluations:
        assert [system.system for system in evaluation.systems] == [f"arcface,margin=0.3 seed {n}" for n in (0, 1)]
    (scores,) = [one.scores_K for one in report.evaluations[0].systems if one.system.endswith("1")]
    assert tar_at_far(scores, clean.same_K, [0.1]).tar[0.1] == run["metrics"]["orl:31-33"]["tar_at_far_0.1"]
    shown = (output / "report.html").read_text()
    assert all(text in shown for text in ("Do the systems differ?", "Error versus discard", "DET"))
    named = re.findall("<[^<]*normface[^<]*<", shown)
    assert len(named) == 4 and all("Left out: normface,scale=3e38/seed_" in text for text in named)

    # The same command does only what is missing.
    (folder / "evaluation" / "orl-31-33" / "compare.json").unlink()
    before = changed_at(folder.parent)
    code, out, _ = command(*arguments)
    after = changed_at(folder.parent)
    assert code == 1 and "3/3 " in out and "4/4 " not in out  # the one to score and the two that failed
    assert after.keys() - before.keys() == {"seed_1/evaluation/orl-31-33/compare.json"}
    assert {name: after[name] for name in before} == before
    again = json.loads((output / "comparison.json").read_text())
    assert again["spreads"] == content["spreads"]

    # Another recipe is another comparison.
    code, _, err = command(*arguments, "--optimizer.learning-rate", "0.02")
    assert code == 2 and "optimizer.learning_rate (0.01 -> 0.02)" in err


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_a_comparison_that_is_killed_leaves_nobody_behind_and_continues(command, forked_runs, recipe, tmp_path):
    arguments = [recipe, "--heads", "funface,cosface", "--seeds", "1", "--data", "orl:31-32", "--epochs", "60"]
    process = start(*arguments, "--jobs", "2", "--data.workers", "1", "--output", tmp_path / "out")
    folders = [tmp_path / "out" / head / "seed_0" for head in ("funface", "cosface")]
    workers = hold_at(process, folders, steps=21)
    assert sorted(workers) == sorted(children(process.pid))
    process.kill()
    process.wait()
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    process.communicate()
    wait_for(lambda: not any(map(is_running, workers)))
    assert not any((folder / "model.safetensors").exists() for folder in folders)
    saved = [max(checkpoint_steps(folder / "checkpoints")) for folder in folders]
    assert min(saved) >= 20

    code, _, err = command("compare", *arguments, "--output", tmp_path / "out")
    assert code == 0, err
    for folder, step in zip(folders, saved, strict=True):
        assert f"after step {step}" in (folder / "log.txt").read_text()
        assert [int(row["step"]) for row in rows(folder)] == list(range(1, 121))
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [run["training_seconds"] for run in content["runs"]] == [None, None]
    assert "–" in (tmp_path / "out" / "comparison.md").read_text()


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_interrupting_writes_checkpoints_and_a_dead_process_does_not_stop_the_others(recipe, tmp_path):
    arguments = [
        recipe,
        "--heads",
        "funface,cosface",
        "--seeds",
        "1",
        "--data",
        "orl:31-32",
        "--output",
        tmp_path / "o",
    ]
    first, second = (tmp_path / "o" / head / "seed_0" for head in ("funface", "cosface"))
    process = start(*arguments, "--epochs", "50")
    (worker,) = hold_at(process, [first], steps=7)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    wait_for(lambda: has_pending(worker, signal.SIGTERM))  # what the first process asks of the others
    os.kill(worker, signal.SIGCONT)
    out, err = process.communicate()
    assert process.returncode == 130 and err == ""
    assert "the same command continues" in out
    assert max(checkpoint_steps(first / "checkpoints")) == len(rows(first)) > 6
    assert not second.exists() and not (tmp_path / "o" / "comparison.md").exists()

    # As if the machine had run out of memory: that run fails, the other one is finished.
    process = start(*arguments, "--epochs", "50")
    (worker,) = hold_at(process, [first], steps=len(rows(first)) + 1)
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1 and "Traceback" not in out + err
    assert "1/2  funface, seed 0: failed: its process ended with exit code -9" in out
    assert (second / "model.safetensors").exists() and not (first / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the first argument must be a recipe"),
        (["--heads", "funface"], "the first argument must be a recipe"),
        (["{recipe}", "--heads", ","], "--heads is empty"),
        (["{recipe}", "--heads", "funface,arcfaec"], "did you mean 'arcface'?"),
        (["{recipe}", "--heads", "funface,funface"], "--heads names funface twice"),
        (["{recipe}", "--heads", "funface:scale"], "'scale' is not a setting, expected name=value"),
        (["{recipe}", "--heads", "funface:scalee=3"], "--head.scale"),
        (["{recipe}", "--heads", "funface", "--seeds", "0"], "--seeds is 0, expected at least 1"),
        (["{recipe}", "--heads", "funface", "--jobs", "-1"], "--jobs is -1, expected at least 1"),
        (["{recipe}", "--heads", "funface", "--head.name", "arcface"], "remove --head.name"),
        (["{recipe}", "--heads", "funface", "--epoch", "3"], "--epochs"),
        (["{recipe}", "--heads", "funface", "--epochs", "0"], "epochs is 0"),
        (["{recipe}", "--heads", "funface", "--scale", "-1"], "scale is -1.0"),
        (["{recipe}", "--heads", "funface"], "no test set"),
        (["{recipe}", "--heads", "funface", "--data", "nowhere"], "nowhere does not exist"),
        (["{recipe}", "--heads", "funface", "--data", "nowhere", "--backbone.dropout", "3"], "dropout probability"),
        (
            ["{recipe}", "--heads", "funface", "--data", "orl:5-6", "orl:5-6"],
            "several test sets are called orl-5-6",
        ),
        (["{recipe}", "--heads", "funface", "--data", "orl:5-6", "--data.train", "nowhere"], "nowhere does not exist"),
        (["{recipe}", "--heads", "funface", "--data", "orl:5-6", "--data.train", ""], "data.train is empty"),
        (["nowhere.yaml", "--heads", "funface"], "there is no recipe file"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(command, recipe, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr(compare, "complete_runs", lambda *_: pytest.fail("a training was started"))
    options = ["--output", tmp_path / "out"] if arguments else []
    code, out, err = command("compare", *(word.format(recipe=recipe) for word in arguments), *options)
    assert code == 2
    assert message in out + err
    assert not (tmp_path / "out").exists()


def plan(recipe, heads, overrides=(), num_seeds=1, scale=None, data=("orl:5-6",)):
    return plan_runs(str(recipe), overrides, parse_heads(heads), num_seeds, scale, data, Path("out"), 1)


def test_all_heads_differ_in_nothing_but_the_head(recipe):
    runs = plan(recipe, "all", ["--epochs", "7"], scale=20)
    assert [run.head for run in runs] == list_margins()
    first = runs[0].load_recipe()
    assert first.epochs == 7
    for run in runs:
        one = run.load_recipe()
        assert (one.head.name, one.seed) == (run.head, run.seed)
        assert one.head.scale == 20 if hasattr(one.head, "scale") else run.head in ("sphereface", "lh2face", "url")
        for field in vars(first).keys() - {"head", "seed"}:
            assert getattr(one, field) == getattr(first, field)
    assert len({run.folder for run in runs}) == len(runs)


def test_seeds_count_from_the_recipes_own(recipe):
    assert [(run.head, run.seed) for run in plan(recipe, "arcface,funface", ["--seed", "5"], num_seeds=2)] == [
        ("arcface", 5), ("funface", 5), ("arcface", 6), ("funface", 6),
    ]  # fmt: skip
    assert plan(recipe, "arcface", ["--seed", "5"])[0].load_recipe().seed == 5


def test_a_heads_own_settings_come_before_the_scale_of_all(recipe):
    magface, funface = plan(recipe, "magface:lambda_g=2:scale=8,funface", scale=20)
    assert (magface.load_recipe().head.lambda_g, magface.load_recipe().head.scale) == (2, 8)
    assert funface.load_recipe().head.scale == 20
    assert plan(recipe, "funface")[0].load_recipe().head.scale == 16  # the recipe's


def test_the_recipes_validation_sets_are_the_test_sets_where_none_are_named(recipe):
    overrides = ["--validation.data", "orl:7-8"]
    assert plan(recipe, "arcface", overrides, data=())[0].data == ("orl:7-8",)
    assert plan(recipe, "arcface", overrides)[0].data == ("orl:5-6",)
    with pytest.raises(ConfigError, match="no test set"):
        plan(recipe, "arcface", data=())


def test_runs_share_the_threads_and_unfairness_is_said(command, recipe, tmp_path, monkeypatch):
    planned = []

    def complete_runs(runs, at_once, console):
        planned.append(([run.threads for run in runs], at_once))
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "complete_runs", complete_runs)
    monkeypatch.setattr(compare.torch, "get_num_threads", lambda: 5)
    arguments = ["compare", recipe, "--heads", "funface,arcface", "--seeds", "1", "--output", tmp_path / "out"]
    code, out, _ = command(*arguments, "--data", "orl:4-5", "--jobs", "2")
    assert code == 130
    assert "warning: shared between orl:1-4 (training) and orl:4-5 (test): 1 person by name (s4)" in out
    assert "the heads' scales differ (funface 16, arcface 64)" in out
    code, out, _ = command(*arguments, "--data", "orl:5-6", "--jobs", "9", "--scale", "20")
    assert "warning" not in out and "scales differ" not in out
    assert planned == [([2, 2], 2), ([1, 1], 9)]


def test_a_comparison_that_would_lose_something_is_refused(tmp_path):
    sets = [embedded_verification_set([31, 32])]
    runs = [
        ComparisonRun(head, seed, tmp_path, {}, "here", [], [], 1) for seed in (0, 1) for head in ("funface", "adaface")
    ]
    require_nothing_lost(tmp_path, runs, sets)
    before = {"heads": ["funface", "magface"], "seeds": [0, 2], "sets": [{"clean": "orl:31-32"}, {"clean": "lfw"}]}
    (tmp_path / "comparison.json").write_text(json.dumps(before))
    with pytest.raises(ConfigError, match="has head magface, seed 2, test set lfw, which this comparison would"):
        require_nothing_lost(tmp_path, runs, sets)
    (tmp_path / "comparison.json").write_text(json.dumps(before | {"heads": ["adaface"], "seeds": [1], "sets": []}))
    require_nothing_lost(tmp_path, runs, sets)  # it only grows
    for damaged in ("[]", json.dumps(before | {"heads": 5}), json.dumps(before | {"seeds": [{}]})):
        (tmp_path / "comparison.json").write_text(damaged)
        with pytest.raises(ConfigError, match=r"comparison.json is damaged"):
            require_nothing_lost(tmp_path, runs, sets)


def test_scores_of_other_pairs_of_the_same_name_do_not_count(tmp_path):
    pairs = embedded_verification_set([5, 6])
    folder = tmp_path / "funface" / "seed_0"
    path = folder / "evaluation" / "orl-5-6" / "compare.json"
    path.parent.mkdir(parents=True)
    counts = {"images": 20, "genuine": 90, "impostors": 100, "fingerprint": set_origin(pairs, 4).fingerprint}
    stored = {"pairs": counts, "metrics": {"a": 0.5, "b": None}, "seconds": 2}
    path.write_text(json.dumps(stored))
    assert stored_scores(folder, pairs) is None  # without scores, the report would lack this run
    for name in ("orl-5-6", "orl-5-7"):
        (tmp_path / "evaluation" / name).mkdir(parents=True)
        (tmp_path / "evaluation" / name / "funface-seed-0.npz").touch()
    found = stored_scores(folder, pairs)
    assert found.metrics["a"] == 0.5 and np.isnan(found.metrics["b"]) and found.seconds == 2
    fewer = replace(pairs, first_K=pairs.first_K[1:], second_K=pairs.second_K[1:], same_K=pairs.same_K[1:])
    assert stored_scores(folder, fewer) is None
    as_many = replace(embedded_verification_set([5, 7]), name=pairs.name)
    assert stored_scores(folder, as_many) is None
    run = ComparisonRun("funface", 0, folder, RECIPE, "here", [], [], 1)
    result = run_result(run, run.load_recipe(), [pairs, as_many], None)
    assert result.metrics == {}
    assert result.failure == "its scores on orl:5-6 are of other pairs than the set has now: run the command again"
    assert stored_scores(folder, embedded_verification_set([5, 7])) is None


def test_scores_of_runs_that_are_no_longer_compared_are_removed(tmp_path):
    pairs = embedded_verification_set([5, 6])
    runs = [
        ComparisonRun(head, 0, tmp_path / head / "seed_0", {}, "here", [], [], 1) for head in ("funface", "adaface")
    ]
    place_figures(runs, [pairs], overwrite=False)
    place = tmp_path / "evaluation" / "orl-5-6"
    note_origin(place, set_origin(pairs), {"sface": Origin("sface", "1a")})  # `evaluate` into the same folder
    for name in ("funface-seed-0", "adaface-seed-0", "sface"):
        (place / f"{name}.npz").touch()
    place_figures(runs[:1], [pairs], overwrite=False)
    assert sorted(path.name for path in place.iterdir()) == ["funface-seed-0.npz", "origin.json", "sface.npz"]
    assert list(read_origin(place / "origin.json")[1]) == ["funface-seed-0", "sface"]
    other = replace(embedded_verification_set([5, 7]), name=pairs.name)
    with pytest.raises(ConfigError, match="holds figures of"):
        place_figures(runs, [other], overwrite=False)
