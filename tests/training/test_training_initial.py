import pytest
import torch

import facemargin as fm
from facemargin.cli import main
from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.yaml import to_yaml
from facemargin.models.info import save_model
from facemargin.models.model import Model
from facemargin.training.initial import load_initial
from facemargin.training.recipe import load_recipe, model_info
from tests.training.orl_runs import DATA, run
from tests.training.training_objects import tiny_recipe, tiny_state

INSIGHTFACE = {"name": "mobilefacenet", "input_size": 16, "embedding_size": 8}


def write_model(path, info_changes=None, **recipe_changes):
    """facemargin's own file with other weights than a fresh state has."""
    recipe = tiny_recipe(seed=7, **recipe_changes)
    state = tiny_state(seed=7, **recipe_changes)
    info = model_info(recipe)
    info = type(info)(**{**vars(info), **(info_changes or {})})
    save_model(path, state.recognizer.state_dict(), info)
    return state.recognizer


def started(**changes):
    state = tiny_state(**changes)
    return state, load_initial(state)


def test_nothing_is_loaded_by_default():
    assert started()[1] == []


def test_the_weights_of_our_own_file(tmp_path):
    other = write_model(tmp_path / "m.safetensors")
    state, said = started(initial={"weights": str(tmp_path / "m.safetensors")}, ema_decay=0.9)
    for key, value in other.state_dict().items():
        assert torch.equal(state.recognizer.state_dict()[key], value)
        assert torch.equal(state.average.state[key], value)  # the average starts there too
    assert len(said) == 1 and "weights of small_resnet from" in said[0]
    assert all(group["params"] for group in state.optimizer.param_groups)


def test_a_bgr_file_is_refitted_to_what_training_reads(tmp_path):
    path = tmp_path / "m.safetensors"
    write_model(path, {"color_order": "BGR"})
    theirs = fm.load(path)
    state, said = started(initial={"weights": str(path)})
    ours = Model(state.recognizer, model_info(state.recipe))
    images = torch.randint(
        0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    ).numpy()
    torch.testing.assert_close(
        torch.from_numpy(ours.embed(images).vectors), torch.from_numpy(theirs.embed(images).vectors)
    )
    assert "refitted from BGR and (v − 127.5)/127.5" in said[0]


def test_another_projects_checkpoint(tmp_path, caplog):
    torch.manual_seed(3)
    backbone = fm.create_backbone("mobilefacenet", 8, input_size=16)
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    state, said = started(backbone=INSIGHTFACE, initial={"weights": str(tmp_path / "backbone.pth")})
    for key, value in backbone.state_dict().items():
        assert torch.equal(state.recognizer.backbone.state_dict()[key], value)
    assert "weights of mobilefacenet" in said[0] and "note the licence" in said[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": {"width": 8}}, r"--backbone\.width 4 \(the recipe has 8\)"),
        ({"backbone": {"embedding_size": 16}}, r"--backbone\.embedding-size 8 \(the recipe has 16\)"),
        ({"backbone": {"batch_norm_eps": 2e-5}}, r"--backbone\.batch-norm-eps 1e-05 \(the recipe has 2e-05\)"),
        ({"backbone": INSIGHTFACE}, r"--backbone\.name small_resnet \(the recipe has mobilefacenet\)"),
        ({"reconstruction": {"mode": "joint"}}, r"set reconstruction\.mode to none"),
    ],
)
def test_another_network_is_explained_with_the_fields_to_set(tmp_path, changes, message):
    write_model(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=rf"m\.safetensors.*{message}"):
        started(initial={"weights": str(tmp_path / "m.safetensors")}, **changes)


def test_fields_that_the_file_s_network_has_not_are_not_named(tmp_path):
    backbone = fm.create_backbone("mobilefacenet", 8, input_size=16)
    torch.save(backbone.state_dict(), tmp_path / "m.pth")
    with pytest.raises(CheckpointError) as caught:
        started(initial={"weights": str(tmp_path / "m.pth")})
    assert "--backbone.name mobilefacenet" in str(caught.value)
    assert "None" not in str(caught.value) and "--backbone.blocks" not in str(caught.value)


def test_what_only_training_uses_may_differ(tmp_path):
    write_model(tmp_path / "m.safetensors")
    state, _ = started(initial={"weights": str(tmp_path / "m.safetensors")}, backbone={"dropout": 0.3})
    assert state.recognizer.backbone.output[0].p == 0.3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no model file .*nothing"):
        started(initial={"weights": str(tmp_path / "nothing")})
    with pytest.raises(CheckpointError, match=r"nothing\.pt cannot be read"):
        started(initial={"head": str(tmp_path / "nothing.pt")})


def test_class_centres_are_taken_where_they_fit(tmp_path):
    centers = torch.randn(3, 8)
    torch.save({"weight": centers}, tmp_path / "softmax_fc_gpu_0.pt")
    state, said = started(initial={"head": str(tmp_path / "softmax_fc_gpu_0.pt")})
    assert torch.equal(state.head.weight, centers) and "class centres of 3 people" in said[0]
    torch.save({"weight": torch.randn(4, 8)}, tmp_path / "softmax_fc_gpu_0.pt")
    with pytest.raises(CheckpointError, match="the centres of 4 classes of 8 values, the head has 3 of 8"):
        started(initial={"head": str(tmp_path / "softmax_fc_gpu_0.pt")})


def test_alone_there_is_nothing_to_start(tmp_path):
    with pytest.raises(ConfigError, match=r"initial\.weights is x\.pth, but reconstruction\.mode is alone"):
        tiny_recipe(initial={"weights": "x.pth"}, reconstruction={"mode": "alone"})


@pytest.mark.parametrize("option", ["--initial-weights", "--initial.weights"])
def test_both_spellings_set_the_field(option):
    recipe = load_recipe("small_cpu", [option, "some/file.ckpt", "--initial-head", "other.ckpt"])
    assert (recipe.initial.weights, recipe.initial.head) == ("some/file.ckpt", "other.ckpt")


def test_a_run_goes_on_from_another(tmp_path):
    """Weights and centres of a finished run: at a learning rate of 0 the new run's model is the old one's."""
    run(tiny_recipe(data=DATA, epochs=2), tmp_path / "first")
    initial = {"weights": str(tmp_path / "first"), "head": str(tmp_path / "first" / "head.safetensors")}
    recipe = tiny_recipe(data=DATA, epochs=1, initial=initial, optimizer={"learning_rate": 0.0})
    printed = run(recipe, tmp_path / "second")
    assert f"starting from weights of small_resnet from {tmp_path / 'first'}" in printed
    first, second = fm.load(tmp_path / "first").recognizer, fm.load(tmp_path / "second").recognizer
    for (key, value), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(value, other), key
    # a resumed run does not start again
    resumed = run(recipe, tmp_path / "second", resume=True)
    assert "starting from" not in resumed


def test_the_command_names_a_bad_file_in_one_line(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text(to_yaml(tiny_recipe(data=DATA)))
    (tmp_path / "bad.ckpt").write_text("text")
    code = main(["train", str(tmp_path / "r.yaml"), "--output", str(tmp_path / "run"), "--initial-weights", str(tmp_path / "bad.ckpt")])  # fmt: skip  # noqa: E501
    error = capsys.readouterr().err
    assert code == 2 and "bad.ckpt is not a checkpoint" in error and "Traceback" not in error
