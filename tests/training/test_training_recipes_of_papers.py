"""The recipes of the papers against what the papers and their authors' code say."""

import pytest

from facemargin.margins import list_margins
from facemargin.training.recipe import load_recipe
from facemargin.training.recipe_files import list_recipes
from facemargin.training.schedule import learning_rate_factor

# Images and identities.
TRAINING_SETS = {
    "ms1mv2": (5_822_653, 85_742),
    "ms1mv3": (5_179_510, 93_431),
    "webface4m": (4_235_242, 205_990),
    "casia": (490_623, 10_572),
}
OF_PAPERS = [name for name in list_recipes() if name.endswith(tuple(TRAINING_SETS))]

# Optimizer steps after which the learning rate falls to a tenth, and at which training ends.
STEPS = {
    "arcface_ms1mv2": ([100_000, 160_000], 180_000),
    "arcface_subcenters_ms1mv2": ([100_000, 160_000], 180_000),
    "cosface_ms1mv2": ([100_000, 160_000], 180_000),
    "normface_casia": ([20_000, 28_000], 32_000),
    "combined_casia": ([20_000, 28_000], 32_000),
    "sphereface2_ms1mv2": ([80_000, 140_000, 200_000], 240_000),
    "sphereface_casia": ([16_000, 24_000], 28_000),
    # ElasticFace's released checkpoints are numbered by step: 79,604 and 295,672 are whole epochs.
    **{f"elasticface_{kind}_ms1mv2": ([79_604], 295_672) for kind in ("arc", "arc_plus", "cos", "cos_plus")},
}


@pytest.mark.parametrize("margin", list_margins())
def test_every_margin_has_a_recipe_named_after_it(margin):
    mine = [name for name in list_recipes() if load_recipe(name).head.name == margin]
    assert any(name.startswith(f"{margin}_") for name in mine)


@pytest.mark.parametrize("name", OF_PAPERS)
def test_a_recipe_names_its_training_set_and_leaves_the_place_to_the_user(name):
    one = load_recipe(name)
    images, identities = TRAINING_SETS[name.split("_")[-1]]
    assert one.description.endswith(f"({images:,} images, {identities:,} identities)")
    assert one.data.train == ""


@pytest.mark.parametrize("name", STEPS)
def test_the_learning_rate_falls_at_the_papers_steps(name):
    one = load_recipe(name)
    falls, end = STEPS[name]
    steps_per_epoch = TRAINING_SETS[name.split("_")[-1]][0] // one.batch_size
    assert one.epochs * steps_per_epoch == pytest.approx(end, abs=steps_per_epoch)

    def rate(step):
        return one.optimizer.learning_rate * learning_rate_factor(one.schedule, step, steps_per_epoch, one.epochs)

    assert rate(0) == 0.1
    for number, step in enumerate(falls):
        assert rate(round(step * 0.999)) == pytest.approx(0.1 * 0.1**number)
        assert rate(round(step * 1.001)) == pytest.approx(0.1 * 0.1 ** (number + 1))


# Whose code decays what: see docs/losses.md.
NO_DECAY = {
    "norms": ("funface", "adaface", "curricularface", "mv_", "sphereface_"),
    "nothing": (
        "arcface",
        "cosface",
        "normface",
        "combined",
        "magface",
        "lh2face",
        "elasticface",
        "crfiqa",
        "broadface",
        "vpl",
        "url",
        "sphereface2",
        "uniface",
    ),
}


@pytest.mark.parametrize("name", OF_PAPERS)
def test_weight_decay_spares_what_it_spares_in_the_authors_code(name):
    (expected,) = [rule for rule, names in NO_DECAY.items() if name.startswith(names)]
    assert load_recipe(name).optimizer.no_decay == expected


@pytest.mark.parametrize("name", ["arcface_ms1mv2", "combined_casia"])
def test_insightfaces_margins_leave_the_angle_unclipped(name):
    assert load_recipe(name).head.clip_angle is False
