"""One embedding per track of a face: real videos of embedded faces, found by a real detector and embedded by SFace."""

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.data.videos.frames import VideoFrames
from facemargin.errors import ConfigError, DataError
from facemargin.features import video
from facemargin.features.video_journal import VideoJournal
from facemargin.interop.released import RELEASED, is_here
from facemargin.quality.gate import QualityGate
from tests.clips import HEIGHT, clip, face_of, stand, turned, write_video
from tests.photographs import put

pytestmark = pytest.mark.skipif(not is_here(RELEASED["sface"]), reason="SFace is not here: facemargin models get sface")

ANN, BOB = 3, 8


@pytest.fixture(scope="module")
def model():
    return fm.load("sface", "cpu")


@pytest.fixture(scope="module")
def people(model):
    """The mean vectors of two people by pictures of them that no clip is made of."""
    vectors = []
    for person in (ANN, BOB):
        pictures = [fm.align(enlarged(face_of(person, 12 * number)), detector="yunet") for number in range(5, 10)]
        mean = model.embed(pictures).vectors.mean(0)
        vectors.append(mean / np.linalg.norm(mean))
    return vectors


def enlarged(face):
    photograph = np.full((300, 300, 3), 90, np.uint8)
    put(photograph, face, (150, 150), 1.5)
    return photograph


def tracks_of(model, tmp_path, count, draw, **options):
    path = write_video(tmp_path / "clip.mp4", clip(count, draw))
    return fm.embed_video(model, path, detector="yunet", **options)


def during(first, last, draw):
    return lambda frame, number: draw(frame, number) if first <= number < last else None


def test_two_people_are_two_tracks_and_each_is_known(model, people, tmp_path):
    def both(frame, number):
        stand(ANN, 100)(frame, number)
        during(15, 50, stand(BOB, 300))(frame, number)

    found = tracks_of(model, tmp_path, 50, both)
    ann, bob = found.tracks
    assert (ann.first_second, ann.last_second, ann.frames) == (0.0, pytest.approx(1.8), 10)
    assert (bob.first_second, bob.last_second, bob.frames) == (pytest.approx(0.6), pytest.approx(1.8), 7)
    assert (found.frames, found.sampled, found.faces, found.dropped, found.problem) == (50, 10, 17, 0, "")
    for track, x in ((ann, 100), (bob, 300)):
        left, top, right, bottom = track.best.face.box
        assert abs((left + right) / 2 - x) < 15 and abs((top + bottom) / 2 - HEIGHT / 2) < 25
        assert track.best.crop.shape == (112, 112, 3) and track.used == track.frames
    scores = found.embeddings.vectors @ np.array(people).T
    assert scores[0, 0] > 0.7 and scores[1, 1] > 0.7 and scores[0, 1] < 0.4 and scores[1, 0] < 0.4
    assert repr(found).endswith("clip.mp4': 2 tracks of 17 faces, 0 dropped; 10 frames of 2.0 s)")


@pytest.mark.slow
def test_neither_batches_nor_another_run_change_anything(model, tmp_path):
    def both(frame, number):
        stand(ANN, 100)(frame, number)
        stand(BOB, 300)(frame, number)

    first = tracks_of(model, tmp_path, 30, both)
    again, small = (tracks_of(model, tmp_path, 30, both, batch_size=size) for size in (None, 3))
    np.testing.assert_array_equal(first.embeddings.vectors, again.embeddings.vectors)
    np.testing.assert_allclose(first.embeddings.vectors, small.embeddings.vectors, atol=1e-5)
    assert [track.best.frame for track in small.tracks] == [track.best.frame for track in first.tracks]


@pytest.mark.slow
def test_people_who_cross_are_not_joined(model, people, tmp_path):
    def crossing(frame, number):
        put(frame, face_of(ANN, number), (80 + 240 * number / 75, 110), 1.2)
        put(frame, face_of(BOB, number), (320 - 240 * number / 75, 130), 1.2)

    found = tracks_of(model, tmp_path, 75, crossing)
    assert len(found.tracks) == 2
    scores = found.embeddings.vectors @ np.array(people).T
    assert (scores.argmax(1) == [0, 1]).all() and scores.max(1).min() > 0.6
    assert all(track.last_second > 2.5 for track in found.tracks)


def test_a_cut_to_another_person_in_the_same_place_is_another_track(model, people, tmp_path):
    def cut(frame, number):
        stand(ANN if number < 25 else BOB, 200)(frame, number)

    found = tracks_of(model, tmp_path, 50, cut)
    assert [track.frames for track in found.tracks] == [5, 5]
    assert ((found.embeddings.vectors @ np.array(people).T).argmax(1) == [0, 1]).all()


def test_who_leaves_and_comes_back_is_two_tracks_of_one_person(model, tmp_path):
    def visits(frame, number):
        if number < 15 or number >= 80:
            stand(ANN, 200)(frame, number)

    found = tracks_of(model, tmp_path, 100, visits)
    assert [(track.first_second, track.frames) for track in found.tracks] == [(0.0, 3), (pytest.approx(3.2), 4)]
    assert found.embeddings.vectors[0] @ found.embeddings.vectors[1] > 0.7


@pytest.mark.slow
def test_ruined_frames_are_not_among_the_best(model, people, tmp_path):
    ruined = range(15, 30)
    sharp = tracks_of(model, tmp_path, 50, stand(ANN, 200))
    found = tracks_of(model, tmp_path, 50, stand(ANN, 200, blurred=ruined), best_faces=5)
    best = max(found.tracks, key=lambda track: track.frames)
    assert best.used == 5 and best.best.frame not in ruined
    assert best.embedding.quality[0] > 0.95 * sharp.embeddings.quality[0]
    assert all(track.embedding.quality[0] < 0.75 * best.embedding.quality[0] for track in found.tracks if track != best)
    assert best.embedding.vectors[0] @ people[0] > 0.7


@pytest.mark.slow
def test_a_face_in_a_single_frame_is_left_out_and_counted(model, tmp_path):
    def flash(frame, number):
        stand(ANN, 100)(frame, number)
        during(20, 24, stand(BOB, 300))(frame, number)

    found = tracks_of(model, tmp_path, 40, flash)
    assert (len(found.tracks), found.dropped) == (1, 1)
    assert len(tracks_of(model, tmp_path, 40, flash, min_frames=1).tracks) == 2
    # A video of a single sampled frame cannot show a face twice.
    assert len(tracks_of(model, tmp_path, 5, stand(ANN, 100)).tracks) == 1


def test_a_video_without_faces_has_no_tracks(model, tmp_path):
    found = tracks_of(model, tmp_path, 10, lambda frame, number: None)
    assert found.tracks == [] and found.embeddings.vectors.shape == (0, 128) and found.sampled == 2


def test_a_telephones_video_is_turned_before_faces_are_looked_for(model, tmp_path):
    upright = list(clip(20, stand(ANN, 200)))
    path = write_video(tmp_path / "side.mp4", [cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE) for frame in upright])
    path.write_bytes(turned(path.read_bytes(), 90))
    found = fm.embed_video(model, path, detector="yunet")
    expected = tracks_of(model, tmp_path, 20, stand(ANN, 200))
    assert len(found.tracks) == len(expected.tracks) == 1
    assert found.embeddings.vectors[0] @ expected.embeddings.vectors[0] > 0.95


def test_a_truncated_video_is_used_and_said(model, tmp_path, caplog):
    path = write_video(tmp_path / "clip.avi", clip(75, stand(ANN, 200)), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = fm.embed_video(model, path, detector="yunet")
    assert len(found.tracks) == 1 and "of 3.0 s, so it is truncated" in found.problem
    assert found.problem in caplog.text


def test_progress_counts_frames(model, tmp_path):
    said = []
    tracks_of(model, tmp_path, 20, stand(ANN, 200), progress=lambda done, of: said.append((done, of)), batch_size=2)
    assert said[-1] == (20, 20) and len(said) > 1 and sorted(said) == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_faces": 0}, "best_faces is 0"),
        ({"min_frames": 0}, "min_frames is 0"),
        ({"min_cosine": 2}, "min_cosine is 2"),
        ({"frames_per_second": 0}, "0 frames per second"),
        ({"detector": "yunit"}, "did you mean 'yunet'"),
    ],
)
def test_arguments_out_of_range_are_refused(model, tmp_path, options, message):
    write_video(tmp_path / "a.mp4", clip(2, stand(ANN, 200)))
    with pytest.raises(ConfigError, match=message):
        fm.embed_video(model, tmp_path / "a.mp4", **{"detector": "yunet", **options})


class Counting:
    """YuNet, which counts its frames, and is interrupted in one of them."""

    def __init__(self, stop=None):
        self.real, self.seen, self.stop = fm.detection.detector.require_detector("yunet"), 0, stop
        self.name, self.settings = self.real.name, self.real.settings

    def detect(self, image):
        self.seen += 1
        if self.seen == self.stop:
            raise KeyboardInterrupt
        return self.real.detect(image)


def test_an_interrupted_search_goes_on_with_the_same_result(model, tmp_path):
    """Interrupted in the fourth of five frames, and its last line lost, as by a kill."""
    options = {"batch_size": 1, "gate": QualityGate(max_yaw=5), "crops": 2}
    expected = tracks_of(model, tmp_path, 25, stand(ANN, 100), **options)
    settings = {"of": "this test"}
    with VideoJournal(tmp_path / "j", 128, settings) as journal, pytest.raises(KeyboardInterrupt):
        fm.embed_video(model, tmp_path / "clip.mp4", detector=Counting(4), journal=journal, **options)
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content[:-10])
    detector = Counting()
    with VideoJournal(tmp_path / "j", 128, settings) as journal:
        assert len(journal) == 2
        found = fm.embed_video(model, tmp_path / "clip.mp4", detector=detector, journal=journal, **options)
    assert detector.seen == 3
    (ours,), (theirs,) = found.tracks, expected.tracks
    assert (ours.first_second, ours.last_second, ours.frames) == (0.0, theirs.last_second, 5)
    for face, other in zip(ours.faces, theirs.faces, strict=True):
        assert (face.frame, face.norm, face.quality) == (other.frame, other.norm, other.quality)
        assert face.reasons == other.reasons
        np.testing.assert_array_equal(face.crop, other.crop)
        np.testing.assert_array_equal(face.vector_D, other.vector_D)
    np.testing.assert_array_equal(found.embeddings.vectors, expected.embeddings.vectors)
    with pytest.raises(DataError, match="of an interrupted search with other settings"):
        VideoJournal(tmp_path / "j", 128, {"of": "another"})
    with pytest.raises(DataError, match="is damaged, or is not a journal"):
        VideoJournal(tmp_path / "j", 64, settings)


def test_an_interruption_is_the_end_of_a_stream(model, tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", clip(25, stand(ANN, 100)))
    monkeypatch.setattr(video, "StreamFrames", lambda stream, rate: VideoFrames(path, rate))
    found = fm.embed_video(model, fm.Stream("0", 60), detector=Counting(4), batch_size=1)
    assert [track.frames for track in found.tracks] == [3] and found.ends_early
    assert found.problem == "camera 0: interrupted after 0.6 s of 60 s"
