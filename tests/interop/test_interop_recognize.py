import pytest
import torch

from facemargin.backbones import list_backbones
from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.stored_tensor import StoredTensor
from facemargin.interop.family import FAMILIES
from facemargin.interop.layouts import Architecture
from facemargin.interop.recognize import recognize
from tests.interop.foreign_files import adaface_checkpoint, shapes

QUALITY = {"qs.weight": StoredTensor.of(torch.ones(1, 512)), "qs.bias": StoredTensor.of(torch.ones(1))}
MAGFACE = "features.module."

RECOGNIZED = {
    "adaface": {"state_dict": shapes("ir_18", "model."), "epoch": 3},
    "funface": shapes("ir_18"),
    "cvlface pt": shapes("ir_18", "net."),
    "cvlface safetensors": shapes("ir_18", "model.net."),
    "cvlface insightface": shapes("iresnet18", "net."),
    "insightface": shapes("iresnet18"),
    "insightface parallel": shapes("iresnet18", "module."),
    "insightface training": {"state_dict_backbone": shapes("iresnet18"), "epoch": 3},
    "insightface mbf": shapes("mobilefacenet"),
    "magface": {"state_dict": {**shapes("iresnet18", MAGFACE), "parallel_fc.weight": QUALITY["qs.weight"]}},
    "magface single": {
        "state_dict": {**shapes("iresnet18", "module.features."), "module.fc.weight": QUALITY["qs.bias"]}
    },
    "crfiqa": {**shapes("iresnet18"), **QUALITY},
}


@pytest.mark.parametrize("name", RECOGNIZED)
def test_families_are_known_by_container_and_keys(name):
    found, family = recognize(RECOGNIZED[name])
    assert family.name == name.split()[0]
    assert all(marker in found.tensors for marker in found.layout.markers)


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ({"state_dict": shapes("ir_18")}, "adaface, funface, cvlface"),  # AdaFace's without its prefix, or FunFace's
        ({"state_dict": shapes("iresnet18")}, "cvlface, insightface, magface, crfiqa"),
        ({"state_dict": shapes("ir_18", "net."), "state_dict_backbone": {}}, None),
        ({**shapes("iresnet18", "net."), "net.qs.weight": QUALITY["qs.weight"]}, "cvlface, insightface"),
    ],
)
def test_what_could_be_of_several_families_names_them(content, choices):
    if choices is None:
        assert recognize(content)[1].name == "cvlface"
        return
    with pytest.raises(CheckpointError, match=rf"could be of {choices}.*give the family with family= .*--family"):
        recognize(content)


@pytest.mark.parametrize(("layout", "families"), [("ir_18", 3), ("iresnet18", 4), ("mobilefacenet", 1)])
def test_a_family_that_is_told_is_believed_if_it_has_the_layout(layout, families):
    fitting = []
    for family in FAMILIES.values():
        try:
            assert recognize({"state_dict": {**shapes(layout), **QUALITY}}, family.name)[1] is family
            fitting.append(family.name)
        except CheckpointError as error:
            assert "does not use; families that do: " in str(error)
    assert len(fitting) == families


def test_wrong_families_are_named():
    with pytest.raises(ConfigError, match="unknown family 'adafce'; did you mean 'adaface'"):
        recognize(RECOGNIZED["funface"], "adafce")
    with pytest.raises(CheckpointError, match=r"CR-FIQA has a quality layer, but qs\.bias, qs\.weight is missing"):
        recognize(RECOGNIZED["insightface"], "crfiqa")


def test_two_networks_in_a_file_are_named():
    content = {**shapes("ir_18", "net."), **shapes("ir_18", "model.")}
    with pytest.raises(CheckpointError, match=r"several networks, under 'model\.…' and 'net\.…'"):
        recognize(content)


def prefixed(name, prefix, container=None, beside=None):
    inner = shapes(name, prefix)
    return {**(inner if container is None else {container: inner}), **(beside or {})}


WRAPPED = {
    "compiled": ("insightface", prefixed("iresnet18", "_orig_mod."), None),
    "parallel, then compiled": ("insightface", prefixed("iresnet18", "_orig_mod.module."), None),
    "compiled, then parallel": ("insightface", prefixed("iresnet18", "module._orig_mod."), None),
    "called backbone": ("insightface", prefixed("iresnet18", "backbone."), None),
    "compiled and called backbone": ("insightface", prefixed("iresnet18", "backbone._orig_mod."), None),
    "in model": ("insightface", prefixed("iresnet18", "", "model", {"epoch": 3}), "'model/…'"),
    "in net": ("insightface", prefixed("iresnet18", "", "net"), "'net/…'"),
    "in model_state_dict": (
        "insightface",
        prefixed("iresnet18", "module.", "model_state_dict", {"optimizer_state_dict": {}}),
        "'model_state_dict/module.…'",
    ),
    "AdaFace's, compiled": ("adaface", prefixed("ir_18", "model._orig_mod.", "state_dict"), None),
    "AdaFace's, parallel": ("adaface", prefixed("ir_18", "model.module.", "state_dict"), None),
    "MagFace's, compiled": ("magface", prefixed("iresnet18", "features.module._orig_mod.", "state_dict"), None),
    "CVLface's, compiled": ("cvlface", prefixed("ir_18", "net._orig_mod."), None),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_do_not_hide_a_network(name):
    whose, content, place = WRAPPED[name]
    found, family = recognize(content)
    assert family.name == whose
    assert found.tensors.keys() == shapes("iresnet18" if found.layout.name == "iresnet" else "ir_18").keys()
    assert found.notes == []
    assert (found.container not in family.containers) == (place is not None)
    assert place is None or repr(found.place) == place


@pytest.mark.parametrize(
    ("content", "taken", "left"),
    [
        (
            {"state_dict": {**shapes("ir_18", "model."), **shapes("ir_18", "ema_model.module.")}},
            "state_dict/model.…",
            "state_dict/ema_model.module.…",
        ),
        (
            {"state_dict": {**shapes("ir_18", "ema."), **shapes("ir_18", "model._orig_mod.")}},
            "state_dict/model._orig_mod.…",
            "state_dict/ema.…",
        ),
        ({"ema": shapes("iresnet18"), "model": shapes("iresnet18")}, "model/…", "ema/…"),
        ({"teacher": shapes("iresnet18"), "model": shapes("iresnet18")}, "model/…", "teacher/…"),
        ({**shapes("iresnet18"), **shapes("iresnet18", "ema.")}, "…", "ema.…"),
    ],
)
def test_of_several_networks_one_is_chosen_and_all_are_named(content, taken, left):
    found, _ = recognize(content)
    assert (found.place, found.passed_over) == (taken, (left,))
    assert found.tensors.keys() in (shapes("ir_18").keys(), shapes("iresnet18").keys())
    (note,) = found.notes
    assert f"{taken!r} is used, {left!r} left out" in note


def test_a_network_under_a_name_of_its_own_wants_the_family():
    content = shapes("iresnet18", "student.")
    with pytest.raises(CheckpointError, match=r"under 'student\.…', which could be of .* give the family with family="):
        recognize(content)
    assert recognize(content, "magface")[0].prefix == "student."


def test_a_file_of_many_networks_is_refused():
    content = {f"model{number}.{key}": one for number in range(40) for key, one in shapes("iresnet18").items()}
    with pytest.raises(CheckpointError, match="40 networks, expected one"):
        recognize(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "lr": 0.1}, "holds no tensors, but epoch, lr; expected a state dict of adaface"),
        ({}, "holds no tensors, and nothing else; expected"),
        ({"encoder.0.weight": QUALITY["qs.bias"]}, r"1 tensors \(encoder\.0\.weight\), which do not belong to any"),
        (
            {"model": {key: one for key, one in shapes("ir_18").items() if "output" not in key}},
            r"169 tensors .*model: 169 tensors.*most similar network is AdaFace's IR .*adaface.*100%.*output_layer",
        ),
        (
            {f"{key[0]}.{key}": one for key, one in shapes("iresnet18").items()},
            "most similar network is InsightFace's IResNet.*not all of them under one prefix",
        ),
    ],
)
def test_unknown_files_name_what_is_in_them_and_the_most_similar(content, message):
    with pytest.raises(CheckpointError, match=message):
        recognize(content)


SIZES = [
    *((name, 512, 112) for name in list_backbones() if name.startswith(("ir", "mobilefacenet"))),
    *((name, 256, 224) for name in ("ir_18", "ir_se_50", "ir_152", "iresnet18", "mobilefacenet")),
]


@pytest.mark.parametrize(("name", "embedding_size", "input_size"), SIZES)
def test_the_architecture_is_read_from_the_shapes(name, embedding_size, input_size):
    own = shapes(name, embedding_size=embedding_size, input_size=input_size)
    content = {"state_dict": {f"model.{key}": one for key, one in own.items()}} if name.startswith("ir_") else own
    found, _ = recognize(content)
    same = {"ir_100": "ir_101", "ir_se_100": "ir_se_101"}
    assert found.layout.describe(found.tensors) == Architecture(same.get(name, name), embedding_size, input_size)


def altered(name, **changes):
    found = shapes(name)
    for key, shape in changes.items():
        key = key.replace("__", ".")
        if shape is None:
            del found[key]
        else:
            found[key] = StoredTensor(shape, torch.float32, lambda: torch.empty(0))
    return found


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (altered("ir_18", body__7__res_layer__4__weight=None), r"body\.7\.res_layer\.4\.weight is missing"),
        (altered("ir_18", body__8__res_layer__4__weight=(512, 512, 3, 3)), r"\(2, 2, 2, 3\) basic units per stage"),
        (altered("ir_18", output_layer__3__weight=(512, 512)), None),
        (
            altered("ir_18", output_layer__3__weight=(512, 513)),
            "513 values, which do not make a square map of 512 channels",
        ),
        (altered("ir_18", output_layer__3__weight=(512,)), r"shape \(512,\), expected 2 dimensions"),
        (
            altered("iresnet18", layer4__2__bn1__weight=(512,)),
            r"IResNet with \(2, 2, 2, 3\) units per stage; known are",
        ),
        (altered("iresnet18", fc__weight=(512, 100)), "do not make a square map"),
        (altered("mobilefacenet", layers__0__layers__0__weight=(256, 3, 3, 3)), "MobileFaceNet with 256 channels"),
    ],
)
def test_networks_of_other_sizes_are_explained(tensors, message):
    found, _ = recognize(tensors)
    if message is None:
        assert found.layout.describe(found.tensors).input_size == 16
        return
    with pytest.raises(CheckpointError, match=message):
        found.layout.describe(found.tensors)


def test_the_head_of_a_checkpoint_is_left_out():
    content = adaface_checkpoint({f"model.{key}": one for key, one in shapes("ir_18").items()})
    content["state_dict"] = {
        key: one if isinstance(one, StoredTensor) else StoredTensor.of(one)
        for key, one in content["state_dict"].items()
    }
    found, _ = recognize(content)
    assert set(found.others) == {"head.kernel", "head.t", "head.batch_mean", "head.batch_std"}
