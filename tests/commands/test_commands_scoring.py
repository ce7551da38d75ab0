import json

import numpy as np
import pytest

from facemargin.commands._scoring import score_systems
from facemargin.data.formats.orl import ORL_CREDIT, embedded_verification_set
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages
from facemargin.evaluation import Embeddings, PairScores, fit_pixel_embed
from facemargin.evaluation.folder import slug
from facemargin.report import FaceGallery


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orl:31-40", "orl-31-40"),
        ("orl-full:1-3,7", "orl-full-1-3,7"),
        ("raw pixels", "raw-pixels"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "set"),
        ("", "set"),
        ("lfw.v2 (é)", "lfw.v2"),
    ],
)
def test_a_slug_is_a_file_name(name, expected):
    assert slug(name) == expected


def test_sets_of_different_people_have_different_slugs():
    assert slug("orl:1-3") != slug("orl:1,3")


def random_embed(seed):
    def embed(images):
        vectors_ND = np.random.default_rng(seed).normal(size=(len(images), 8)).astype(np.float32)
        norms_N = np.linalg.norm(vectors_ND, axis=1)
        return Embeddings(vectors_ND / norms_N[:, None], norms_N, norms_N)

    return embed


def test_scores_summaries_and_faces_are_written(tmp_path):
    pairs = embedded_verification_set([31, 32, 33])
    summaries = score_systems({"ours": random_embed(0), "raw pixels": fit_pixel_embed(pairs.images)}, pairs, tmp_path)
    assert [summary.system for summary in summaries] == ["ours", "raw pixels"]
    place = tmp_path / "evaluation" / "orl-31-33"
    assert sorted(path.name for path in place.iterdir()) == [
        "faces.npz", "ours.json", "ours.npz", "raw-pixels.json", "raw-pixels.npz",
    ]  # fmt: skip
    for summary in summaries:
        stored = PairScores.load(place / f"{slug(summary.system)}.npz")
        assert stored.system == summary.system and stored.dataset == "orl:31-33"
        assert json.loads((place / f"{slug(summary.system)}.json").read_text()) == json.loads(summary.to_json())


def test_the_gallery_shows_the_first_systems_worst_and_best_faces(tmp_path):
    pairs, embed = embedded_verification_set([31, 32, 33]), random_embed(5)
    score_systems({"ours": embed}, pairs, tmp_path)
    gallery = FaceGallery.load(tmp_path / "evaluation" / "orl-31-33" / "faces.npz")
    order = np.argsort(embed(pairs.images).quality)
    chosen = [*order[:12], *order[-12:]]
    np.testing.assert_allclose(gallery.quality_N, embed(pairs.images).quality[chosen])
    assert gallery.captions == ["/".join(pairs.images.describe(index).split("/")[-2:]) for index in chosen]
    assert gallery.credit == ORL_CREDIT
    assert gallery.images_NHWC.shape == (24, 96, 96, 3)
    assert len({image.tobytes() for image in gallery.images_NHWC}) == 24


def test_images_that_no_pair_shows_have_no_quality(tmp_path):
    images = ArrayImages(np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8), "orlando")
    first_K, second_K = np.array([0, 2, 4, 0]), np.array([2, 4, 6, 6])
    pairs = VerificationSet("orlando", images, first_K, second_K, np.array([True, False, True, False]))
    score_systems({"ours": random_embed(1)}, pairs, tmp_path)
    gallery = FaceGallery.load(tmp_path / "evaluation" / "orlando" / "faces.npz")
    assert {int(caption.split()[-1]) for caption in gallery.captions} == {0, 2, 4, 6}
    assert np.all(np.diff(gallery.quality_N) >= 0)
    assert gallery.credit == "Faces: orlando"  # and not the ORL's owner
