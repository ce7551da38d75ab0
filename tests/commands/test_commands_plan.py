"""`facemargin plan`, by its `main`: what is shown, what is written, what is refused."""

import json

import pytest

from facemargin.commands import plan
from facemargin.errors import ConfigError

SMALL = ("--backbone", "small_resnet", "--embedding", "64", "--batch", "32")


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        capsys.readouterr()
        assert plan.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run


def row(out, name):
    (line,) = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def test_a_hundred_million_classes(run, tmp_path):
    path = tmp_path / "plans" / "plan.json"
    out = run("--classes", "1e8", "--gpus", "64", "--backbone", "ir_101", "--batch", "256", "--json", path)
    assert "100,000,000 classes" in out and "16,384 a step" in out
    assert row(out, "head weights") == ["204.80", "3.20", "3.20"]
    assert row(out, "head gradient") == ["204.80", "3.20", "0.32"]
    assert row(out, "of 72.00 usable") == ["does not fit", "fits", "fits"]
    written = json.loads(path.read_text())
    assert list(written["heads"]) == ["dense", "class-parallel", "sampled"]
    parallel = written["heads"]["class-parallel"]
    assert parallel["memory"]["head_weights"] == 10**8 // 64 * 512 * 4
    assert parallel["memory"]["total"] == sum(v for k, v in parallel["memory"].items() if k != "total")
    assert parallel["sent"] == pytest.approx(sum(one["sent"] for one in parallel["exchanges"]))
    features = next(one for one in parallel["exchanges"] if one["what"] == "features")
    assert features["bytes"] == 16_384 * 512 * 4 and features["sent"] == features["bytes"] * 63 / 64
    assert parallel["images_per_second"] == pytest.approx(16_384 / parallel["time"]["total"])
    assert not written["heads"]["dense"]["fits"] and parallel["fits"]
    assert written["job"]["global_batch"] == 16_384 and written["notes"]


def test_the_numbers_it_rests_on_are_shown(run):
    out = " ".join(run("--classes", "5000", "--gpu", "a100_40gb", "--efficiency.compute", "0.42", *SMALL).split())
    for text in ("312 TFLOP/s", "156 in TF32 × 0.42", "1555 GB/s", "of 40 GB, 4 GB are left", "2·(P−1)/P"):
        assert text in out
    out = run("--classes", "5000", "--gpu", "h100", "--float32-products", "float32", "--network", "12.5", *SMALL)
    assert "66.9 in float32" in " ".join(out.split()) and "12.5 between nodes" in " ".join(out.split())


def test_a_cpu_by_its_numbers(run):
    out = run(
        "--classes", "5000", "--gpu", "cpu", "--flops", "0.1", "--memory", "16", "--bandwidth", "20", "--gpus", "2",
        "--precision", "float32", *SMALL,
    )  # fmt: skip
    assert "2 × cpu" in out and "small_resnet in float32" in out


def test_adamw_is_planned_without_sampling(run):
    out = run("--classes", "5000", "--optimizer", "adamw", *SMALL)
    assert len(row(out, "head weights")) == len(row(out, "images/s, all GPUs")) == 2
    assert "there is no such head with adamw" in " ".join(out.split())


def test_options_change_what_they_say(run):
    def head_row(name, *options):
        return row(run("--classes", "2e6", "--gpus", "8", *SMALL, *options), name)

    assert head_row("head gradient", "--sample-rate", "0.5") == ["0.51", "0.06", "0.03"]
    assert head_row("implementation", "--implementation", "triton") == ["triton"] * 3
    assert head_row("head optimizer", "--optimizer", "adamw") == ["1.02", "0.13"]
    assert head_row("target cosines, all-reduce", "--head", "curricularface")[1:] == ["0.002", "0.002"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--classes", "10.5"), "--classes is 10.5, expected a whole number"),
        (("--classes", "inf"), "--classes is inf, expected a whole number"),
        (("--classes", "100", "--gpu", "h1000"), "did you mean 'h100'"),
        (("--classes", "100", "--backbone", "ir_110"), "unknown backbone 'ir_110'"),
        (("--classes", "100", "--head", "funfaec"), "did you mean 'funface'"),
        (("--classes", "100", "--gpu", "v100", "--precision", "bf16"), "V100 32 GB does not compute in bf16"),
        (("--classes", "100", "--gpu", "cpu"), "give flops, memory, bandwidth as well"),
        (("--classes", "100", "--reserve", "1.5"), "reserve is 1.5"),
        (("--classes", "100", "--sample-rate", "0"), "sample_rate is 0"),
    ],
)
def test_mistakes_are_said(arguments, message):
    with pytest.raises(ConfigError, match=message):
        plan.main(["--backbone", "small_resnet", *arguments])


def test_embedding_and_galleries_are_planned_too(run, tmp_path):
    path = tmp_path / "embed.json"
    out = run("--embed", "1e9", "--backbone", "ir_50", "--gpu", "h200", "--json", path)
    assert "embedding 1,000,000,000 images by ir_50" in out and "1 machine " in out and "2.06 TB" in out
    figures = {figure["what"]: figure for figure in json.loads(path.read_text())["figures"]}
    assert figures["8 GPUs"]["value"] == pytest.approx(10**9 / (8 * 2983) / 3600)
    assert "for the peak of H200" in figures["one H200"]["source"] and figures["one H200"]["how"] == "derived"
    out = run("--gallery", "1e8", "--images-per-person", "3")
    assert "a gallery of 100,000,000 people, 512 values" in out and "300,000,000 images" in out and "206 GB" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is to be planned: give one of --classes"),
        (["--embed", "1e6", "--gallery", "5"], "--embed and --gallery are to be planned: give one of"),
        (["--embed", "1.5"], "--embed is 1.5, expected a whole number"),
        (["--gallery", "inf"], "--gallery is inf, expected a whole number"),
        (["--embed", "5", "--recorder"], "--recorder does not apply to a plan with --embed: remove --recorder"),
        (["--embed", "5", "--efficiency.compute", "0.5"], "--efficiency does not apply to a plan with --embed"),
        (["--embed", "5", "--memory", "80"], "--memory does not apply to a plan with --embed"),
        (["--gallery", "5", "--gpus", "4"], "--gpus does not apply to a plan with --gallery"),
        (["--classes", "5", "--detect"], "--detect does not apply to a plan with --classes"),
    ],
)
def test_plans_of_something_else_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        plan.main(arguments)
