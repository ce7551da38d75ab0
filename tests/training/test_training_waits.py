"""A step on a GPU waits for nothing; its result is read later, and a step that cannot be taken changes no weight."""

import importlib

import pytest
import torch
from torch.testing import assert_close

from facemargin.errors import NonFiniteLossError
from facemargin.margins import list_margins
from facemargin.training import trainer
from facemargin.training.gradients import LossScale
from facemargin.training.processes import Processes
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from tests.processes import run_processes
from tests.training.orl_runs import DATA, run
from tests.training.run_process import rows
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights
from tests.waits import Waits, WaitsForDeviceError

META = torch.device("meta")
LABELS = [0, 1, 2, 0, -1, 2, 1, 0]


def state_on_gpu(**changes):
    """A state on the device "meta", treated as a GPU: results are late, the optimizer's kernels are fused."""
    state = TrainingState(tiny_recipe(**{"ema_decay": 0.9, "gradient_clip": 1.0, **changes}), 3, META)
    state.late = True
    for group in state.optimizer.param_groups:
        group["fused"] = True
    state.optimizer._need_device_dtype_check_for_fused = False  # torch has such kernels for real devices only
    return state


@pytest.mark.parametrize(("implementation", "recorder"), [("eager", False), ("chunked", True)])
@pytest.mark.parametrize("name", list_margins())
def test_no_step_waits_for_the_device(name, implementation, recorder):
    state = state_on_gpu(head={"name": name, "implementation": implementation}, recorder=recorder)
    with Waits() as waits:
        results = [training_step(state, random_batch(LABELS), 0.1) for _ in range(3)]
    assert waits.found == []
    assert [result.step for result in results] == [1, 2, 3]
    assert all((result.visits is None) != recorder for result in results)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulation_steps": 2},
        {"accumulation_steps": 2, "recorder": "float32"},
        {"optimizer": {"name": "adamw"}},
        {"quality": {"weight": 1.0}},
        {"precision": "fp16"},
        {"reconstruction": {"mode": "joint", "latent_size": 8}},
        {"reconstruction": {"mode": "alone", "latent_size": 8}},
        {"gradient_clip": 0.0, "ema_decay": 0.0},
    ],
    ids=str,
)
def test_no_kind_of_step_waits_for_the_device(changes, monkeypatch):
    adam = importlib.import_module("torch.optim.adam")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda parameter: None)
    state = state_on_gpu(**changes)
    with Waits() as waits:
        for _ in range(3):
            training_step(state, random_batch(LABELS), 0.1)
    assert waits.found == []


def test_the_test_finds_a_step_that_waits():
    state = state_on_gpu()
    state.late = False
    with Waits() as waits:
        training_step(state, random_batch(LABELS), 0.1)
    assert len(waits.found) == 1 and "step_result.py" in waits.found[0]
    state.late = True
    state.optimizer.param_groups[0]["fused"] = False
    with Waits() as waits, pytest.raises(WaitsForDeviceError):
        training_step(state, random_batch(LABELS), 0.1)
    assert len(waits.found) == 1 and "optimizer.py" in waits.found[0]


def fused_state(late, **changes):
    """A state on the CPU whose optimizer decides as on a GPU."""
    state = tiny_state(**changes)
    state.late = late
    for group in state.optimizer.param_groups:
        group["fused"] = True
    return state


def everything(state):
    """Copies of all that a step moves."""
    average = {} if state.average is None else {f"average.{k}": v.clone() for k, v in state.average.state.items()}
    return weights(state) | average


CHANGES = [{}, {"optimizer": {"name": "adamw"}}, {"ema_decay": 0.9, "gradient_clip": 0.5, "accumulation_steps": 2}]


@pytest.mark.parametrize("changes", CHANGES, ids=["sgd", "adamw", "average, clipping, passes"])
def test_late_results_are_those_of_immediate_ones(changes):
    late, immediate = fused_state(True, **changes), fused_state(False, **changes)
    batches = [random_batch(LABELS, seed=seed) for seed in range(4)]
    later = [training_step(late, batch, 0.1) for batch in batches]
    for result, batch in zip(later, batches, strict=True):
        expected = training_step(immediate, batch, 0.1)
        assert (result.step, result.loss, result.parts) == (expected.step, expected.loss, expected.parts)
        assert result.gradient_norm == expected.gradient_norm and result.sample_means == expected.sample_means
    assert_close(everything(late), everything(immediate), rtol=0, atol=0)


def steps_of_process(group, late):
    """The results of some steps of a process, of which the third breaks its gradient alone; and what it ends with."""
    state = tiny_state(Processes(torch.device("cpu"), group), ema_decay=0.9)
    state.late = late
    results, problems = [], []
    for seed in range(4):
        batch = random_batch(LABELS[4 * group.rank() :][:4], seed=2 * seed + group.rank())
        hook = None
        if seed == 2 and group.rank() == 1:
            hook = next(iter(state.recognizer.parameters())).register_hook(lambda gradient: gradient * float("nan"))
        try:
            results.append(training_step(state, batch, 0.1))
        except NonFiniteLossError as error:
            problems.append(str(error))
            break
        if hook is not None:
            hook.remove()
    for result in results:
        try:
            result.check()
        except NonFiniteLossError as error:
            problems.append(str(error))
    return [result.parts for result in results[:2]], problems[0], trained(state)


def test_late_processes_decide_together():
    (late, other), (immediate, _) = (run_processes(steps_of_process, 2, late) for late in (True, False))
    assert late[:2] == other[:2] == immediate[:2]
    assert late[1].startswith("step 3: the gradient's norm is nan")
    for one in (other, immediate):
        shared = {name: value for name, value in one[2].items() if name != "head.weight" or one is immediate}
        assert_close({name: late[2][name] for name in shared}, shared, rtol=0, atol=0)


def trained(state):
    """The weights that a step may change only if it is taken: batch norms' statistics move in the forward pass."""
    parameters = {name for module in state.modules() for name, _ in module.named_parameters()}
    names = {f"{part}.{name}" for part in ("recogniser", "head", "average") for name in parameters}
    return {name: value for name, value in everything(state).items() if name in names}


BREAK = {
    "the loss": (lambda state: state.recognizer.backbone, "the loss is nan: the backbone's features are not finite"),
    "the gradient": (None, "the gradient's norm is nan"),
}


@pytest.mark.parametrize("what", BREAK)
@pytest.mark.parametrize("fused", [True, False])
def test_nothing_moves_from_a_step_that_is_not_finite_on(fused, what):
    state = fused_state(True, ema_decay=0.9)
    for group in state.optimizer.param_groups:
        group["fused"] = fused
    batch = random_batch(LABELS)
    results = [training_step(state, batch, 0.1) for _ in range(2)]
    before, moments = trained(state), [dict(of) for of in state.optimizer.state_dict()["state"].values()]
    moments = [{name: value.clone() for name, value in of.items()} for of in moments]
    network, message = BREAK[what]
    if network is None:
        hook = state.head.weight.register_hook(lambda gradient: gradient * float("nan"))
    else:
        hook = network(state).register_forward_hook(lambda module, given, features: features * float("nan"))
    results.append(training_step(state, batch, 0.1))
    hook.remove()
    results.append(training_step(state, batch, 0.1))  # which nobody knows yet that it must not be taken
    assert [result.loss > 0 for result in results[:2]] == [True, True]
    with pytest.raises(NonFiniteLossError, match=f"^step 3: {message}. The recipe field to look at first is"):
        results[2].check()
    with pytest.raises(NonFiniteLossError, match=r"^step 4: it was not taken, because .* a step before it was not"):
        results[3].gradient_norm  # noqa: B018
    assert_close(trained(state), before, rtol=0, atol=0)
    assert_close([dict(of) for of in state.optimizer.state_dict()["state"].values()], moments, rtol=0, atol=0)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("changes", CHANGES[:2], ids=["sgd", "adamw"])
def test_a_first_step_that_is_skipped_leaves_no_momentum(changes, late):
    """torch's fused SGD makes its momentum of memory as it finds it, and a skipped step does not fill it."""
    skipping, other = (fused_state(late, **changes) for _ in range(2))
    skipping.scaler, other.scaler = (LossScale(enabled=True, scale=scale) for scale in (16.0, 8.0))
    hook = skipping.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = trained(skipping)
    assert training_step(skipping, random_batch(LABELS), 0.1).gradient_norm == float("inf")
    assert_close(trained(skipping), before, rtol=0, atol=0)
    assert skipping.scaler.state_dict() == {"enabled": True, "scale": 8.0, "good_steps": 0}
    hook.remove()
    for seed in range(2):
        results = [training_step(state, random_batch(LABELS, seed=seed), 0.1) for state in (skipping, other)]
        assert results[0].loss == results[1].loss
    assert_close(trained(skipping), trained(other), rtol=0, atol=0)


def test_late_fp16_gives_up_where_no_scale_helps():
    state = fused_state(True)
    state.scaler = LossScale(enabled=True, scale=2.0**-9)
    state.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    results = [training_step(state, random_batch(LABELS), 0.1) for _ in range(3)]
    results[0].check()
    with pytest.raises(NonFiniteLossError, match=r"step 2: fp16 gradients .* look at first is precision"):
        results[1].check()
    with pytest.raises(NonFiniteLossError, match="step 3: it was not taken"):
        results[2].check()


@pytest.fixture
def late_runs(monkeypatch):
    """Runs on the CPU read their results late."""

    def late_state(*arguments):
        state = TrainingState(*arguments)
        state.late = True
        return state

    monkeypatch.setattr(trainer, "TrainingState", late_state)


def logged(folder):
    return [{**row, "images_per_second": None} for row in rows(folder / "metrics.csv")]


def checkpoints(folder):
    return {path.name: torch.load(path, weights_only=True) for path in sorted((folder / "checkpoints").glob("*.pt"))}


def test_a_run_with_late_results_writes_what_any_other_writes(tmp_path, request):
    recipe = {
        "data": DATA,
        "logging": {"every_steps": 2},
        "checkpoint": {"every_steps": 3, "keep": 9},
        "ema_decay": 0.9,
    }
    for name in ("immediate", "late"):
        if name == "late":
            request.getfixturevalue("late_runs")
        run(tiny_recipe(**recipe, epochs=1), tmp_path / name)
        run(tiny_recipe(**recipe, epochs=2), tmp_path / name, resume=True)
    assert logged(tmp_path / "late") == logged(tmp_path / "immediate")
    late, immediate = checkpoints(tmp_path / "late"), checkpoints(tmp_path / "immediate")
    assert list(late) == list(immediate) and len(immediate) > 1
    for name, state in immediate.items():
        for part in ("recogniser", "head", "rows", "average", "scaler", "step"):
            assert_close(late[name][part], state[part], rtol=0, atol=0)


def test_a_late_run_ends_at_the_step_that_is_not_finite(tmp_path, monkeypatch, late_runs):
    def step(state, batch, learning_rate):
        if state.step == 3:
            state.head.weight.register_hook(lambda gradient: gradient * float("nan"))
        return training_step(state, batch, learning_rate)

    monkeypatch.setattr(trainer, "training_step", step)
    recipe = tiny_recipe(data=DATA, epochs=2, logging={"every_steps": 2}, checkpoint={"every_steps": 2})
    with pytest.raises(NonFiniteLossError, match=r"^step 4: the gradient's norm is nan.*checkpoint is of step 2$"):
        run(recipe, tmp_path / "run")
    assert [row["step"] for row in logged(tmp_path / "run")] == ["2", "3"]
