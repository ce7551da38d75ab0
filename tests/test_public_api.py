"""What `import facemargin as fm` gives, from a data set to a decision."""

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.margins.base import margin_name
from facemargin.models.info import read_model


def network(size: int = 16, features: int = 8) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * size * size, features))


def test_a_wrapped_network_reads_pixels_as_it_was_told():
    module, image = network(), np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    model = fm.wrap(module, input_size=16, color="bgr", mean=100, std=50)
    found = model.embed([image], views="one")
    pixels = torch.tensor((image[:, :, ::-1].astype(np.float64) - 100) / 50).permute(2, 0, 1).flatten()
    expected = (module[1].weight.double() @ pixels + module[1].bias.double()).detach().numpy()
    np.testing.assert_allclose(found.norms[0], np.linalg.norm(expected), rtol=1e-5)
    np.testing.assert_allclose(found.vectors[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert model.backbone.module is module and not module.training


def test_a_wrapped_network_is_calibrated_evaluated_and_exported(tmp_path):
    model, pairs = fm.wrap(network(), input_size=16), fm.open_verification("orl:1-4")
    calibration = fm.calibrate(model, pairs)
    faces = fm.open_images("orl:1-4")
    assert fm.verify(model, faces.read(0), faces.read(1), calibration, fmr=0.1).decision is not None
    scores = fm.evaluation.evaluate_verification(model.embed, pairs, "wrapped")
    assert fm.evaluation.summarize(scores).system == "wrapped"
    assert fm.export_onnx(model, tmp_path / "model.onnx", check=faces).largest < 1e-4


def test_a_wrapped_network_is_not_saved_as_what_cannot_be_loaded(tmp_path):
    namesake = type("small_resnet", (torch.nn.Sequential,), {})(*network())
    for module in (network(), namesake, fm.create_backbone("small_resnet", input_size=16)):
        model, name = fm.wrap(module, input_size=16), type(module).__name__
        with pytest.raises(fm.ConfigError, match=f"cannot build the network 'wrapped {name}' by its name"):
            fm.models.save_model(tmp_path / "model.safetensors", model.recognizer.state_dict(), model.info)
        assert repr(model).startswith(f"<facemargin.Model wrapped {name}: ")
    assert not list(tmp_path.iterdir())


def test_a_wrapped_network_that_is_trained_on_gives_other_vectors():
    module, image = network(), np.full((16, 16, 3), 200, np.uint8)
    model = fm.wrap(module, input_size=16)
    before = model.embed([image]).norms[0]
    with torch.no_grad():
        module[1].weight.mul_(2)
        module[1].bias.mul_(2)
    assert model.embed([image]).norms[0] == pytest.approx(2 * before)


class Mean(torch.nn.Module):
    """Has no weights."""

    def forward(self, images):
        return images.flatten(2).mean(2)


def test_a_network_without_weights_is_one_too():
    assert fm.wrap(Mean(), input_size=16).embed([np.full((16, 16, 3), 255, np.uint8)]).norms[0] == pytest.approx(3**0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"module": len}, "module is a builtin_function_or_method"),
        ({"color": "cmyk"}, "color is 'cmyk'"),
        ({"input_size": 8}, "input_size is 8"),
        ({"input_size": 32}, "Sequential does not take images of shape"),
        ({"std": 0}, "std is 0"),
        ({"module": torch.nn.Identity()}, r"Identity gives \(2, 3, 16, 16\) for two images"),
    ],
)
def test_what_cannot_be_wrapped(arguments, message):
    with pytest.raises(fm.ConfigError, match=message):
        fm.wrap(**{"module": network(), "input_size": 16, **arguments})


def test_a_model_moves():
    model = fm.wrap(network(), input_size=16)
    before = model.embed(fm.open_images("orl:1")).vectors
    assert model.to("cpu") is model and str(model.device) == "cpu"
    np.testing.assert_array_equal(model.embed(fm.open_images("orl:1")).vectors, before)
    with pytest.raises(fm.ConfigError, match="device is 'cuda:99'"):
        model.to("cuda:99")


def test_a_configuration_makes_the_head_that_its_fields_do():
    config = fm.margins.FunFaceConfig(margin=0.3, h=0.2)
    by_config, by_name = (
        fm.create_head(*head, 5, 4, generator=torch.Generator().manual_seed(0), **settings)
        for head, settings in (((config,), {"seed": 3}), (("funface",), {"margin": 0.3, "h": 0.2, "seed": 3}))
    )
    features, labels = torch.randn(6, 4), torch.arange(6) % 5
    assert by_config.margin.config == config and by_config.margin.seed == 3
    assert torch.equal(by_config(features, labels).losses_B, by_name(features, labels).losses_B)


def test_configurations_that_name_no_single_margin_or_come_with_its_fields():
    with pytest.raises(fm.ConfigError, match="margin is given beside FunFaceConfig"):
        fm.create_head(fm.margins.FunFaceConfig(), 5, margin=0.3)
    with pytest.raises(fm.ConfigError, match=r"MarginConfig is the configuration of .*name the margin instead"):
        fm.create_head(fm.margins.MarginConfig(), 5)
    with pytest.raises(AttributeError, match="FunnyFaceConfig"):
        fm.margins.FunnyFaceConfig  # noqa: B018


def test_every_margin_with_a_configuration_of_its_own_is_found_by_it():
    configs = [fm.margins.margin_class(name).Config for name in fm.list_margins()]
    own = [config for config in configs if configs.count(config) == 1]
    assert len(own) >= 8
    for config in own:
        assert fm.margins.margin_class(margin_name(config())).Config is config
        assert getattr(fm.margins, config.__name__) is config


def test_fields_of_a_recipe():
    before = fm.load_recipe("funface_ms1mv3")
    recipe = fm.load_recipe("funface_ms1mv3", epochs=3, data={"train": "orl"}, head={"margin": 0.2})
    assert (recipe.epochs, recipe.data.train, recipe.head.margin) == (3, "orl", 0.2)
    assert recipe.head.h == before.head.h and recipe.optimizer == before.optimizer
    other = fm.load_recipe("funface_ms1mv3", head={"name": "arcface"}, backbone={"name": "small_resnet"})
    assert other.head.name == "arcface" and not hasattr(other.head, "h")
    for fields, message in (
        ({"epoch": 3}, "funface_ms1mv3: unknown field 'epoch'; did you mean 'epochs'"),
        ({"head": {"margni": 1}}, "'margni'; did you mean 'margin'"),
        ({"epochs": "three"}, "epochs is 'three'"),
        ({"epochs": 0}, "epochs is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fm.load_recipe("funface_ms1mv3", **fields)


@pytest.mark.slow
def test_training_from_python_is_the_verbs(tmp_path):
    fields = {"epochs": 1, "batch_size": 10, "data": {"train": "orl:1-3", "workers": 0}, "validation": {"data": []}}
    assert fm.train(fm.load_recipe("small_cpu", **fields), str(tmp_path / "run"))
    model = fm.load(tmp_path / "run")
    assert model.embed(fm.open_images("orl:1")).vectors.shape == (10, model.info.embedding_size)
    assert read_model(tmp_path / "run" / "model.safetensors")[1].recipe
    with pytest.raises(fm.ConfigError, match="already holds a run"):
        fm.train(fm.load_recipe("small_cpu", **fields), tmp_path / "run")
    assert fm.train(fm.load_recipe("small_cpu", **fields), tmp_path / "run", resume=True)
