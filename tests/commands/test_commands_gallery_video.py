"""`facemargin gallery identify --video`: an answer per track of a face, by real faces in videos written for it."""

import csv
import functools
import threading
from http.server import ThreadingHTTPServer

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.report.track_sheet import clock
from tests.clips import HEIGHT, clip, face_of, stand, write_video
from tests.data.videos.test_videos_stream import Quiet
from tests.photographs import put

ANN, BOB, EVE = 3, 8, 20


@pytest.fixture(scope="module")
def calibration(trained_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "c.json"
    fm.calibrate(fm.load(trained_run), fm.open_verification("orl:1-4")).save(path)
    return path


@pytest.fixture(scope="module")
def gallery(trained_run, tmp_path_factory):
    """Of photographs of two people, of which no video is made."""
    folder = tmp_path_factory.mktemp("video gallery")
    for person, name in ((ANN, "Ann"), (BOB, "Bob")):
        for number in (7, 8):
            photograph = np.full((200, 200, 3), 90, np.uint8)
            put(photograph, face_of(person, 12 * number), (100, 100), 1.5)
            path = folder / "people" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), photograph)
    with fm.Gallery.create(folder / "g", str(trained_run), detector="yunet") as made:
        assert made.enrol(folder / "people", gate="off").count("enrolled") == 4
    return folder / "g"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """two.mkv with Ann and a smaller Eve, in/none.avi with nobody, bad.mp4, which is none."""
    folder = tmp_path_factory.mktemp("videos") / "videos"

    def both(frame, number):
        stand(ANN, 100)(frame, number)
        put(frame, face_of(EVE, number), (300, HEIGHT / 2), 0.5)

    write_video(folder / "two.mkv", clip(20, both))
    write_video(folder / "in" / "none.avi", clip(2, lambda frame, number: None), codec="MJPG")
    (folder / "bad.mp4").write_text("no video")
    return folder


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_and_a_sheet(command, gallery, videos, calibration, tmp_path):
    output, sheet = tmp_path / "r.csv", tmp_path / "s.png"
    options = ("--video", "--calibration", calibration, "--fpir", "0.3", "--gate", "refuse", "--best-faces", "3")
    code, out, err = command("gallery", "identify", gallery, videos, *options, "--output", output, "--sheet", sheet)
    none, ann, eve, bad = sorted(rows_of(output), key=lambda row: ["none", "two#0", "two#1", "bad"].index(short(row)))
    assert code == 0 and "2 tracks in 2 videos, 5 frames searched" in out and f"; {output}" in out
    assert "bad.mp4: not a video of a known format" in err and "warning: 1 of 3 videos cannot be read" in err
    assert none["problem"] == "no track of a face was found" and "not a video" in bad["problem"]
    assert [ann[name] for name in ("first_second", "last_second", "frames", "faces")] == ["0.000", "0.600", "4", "3"]
    assert eve["decision"] == "too poor to decide" and "pixels" in eve["reason"] and eve["person"] == eve["score"] == ""
    with fm.Gallery(gallery, calibration=fm.decision.Calibration.load(calibration)) as opened:
        who = opened.identify_video(videos / "two.mkv", fpir=0.3, gate=fm.QualityGate(), best_faces=3, crops=3)
        expected = score_by_hand(opened, who.found.tracks[0])
        rule = opened.rule(0.3)
    best, person = max((score, person) for person, score in expected.items())
    assert float(ann["score"]) == pytest.approx(best, abs=1e-5)
    assert ann["person"] == (person if best >= rule.accept and min(expected.values()) < rule.accept else "")
    picture = cv2.imread(str(sheet))
    assert picture.shape == (2 * 149, 1142, 3)
    shown = picture[10:122, 400:512, ::-1]
    np.testing.assert_allclose(shown, who.found.tracks[0].best.crop, atol=2)


def short(row):
    return row["video"].split("/")[-1].split(".")[0] + (f"#{row['track']}" if row["track"] else "")


def score_by_hand(gallery, track):
    """The cosine of the plain mean of the faces' vectors with that of each person's, as nobody has checked whether the
    quality of this model helps."""
    model = gallery.model

    def mean(vectors):
        total = sum(vector.astype(np.float64) for vector in vectors)
        return total / np.linalg.norm(total)

    probe = mean(model.embed([face.crop for face in track.faces]).vectors)
    photographs = {name: [image.source for image in gallery.images(name)] for name in ("Ann", "Bob")}
    return {
        name: float(probe @ mean(model.embed([fm.align(path, detector="yunet") for path in paths]).vectors))
        for name, paths in photographs.items()
    }


def test_an_interruption_keeps_what_is_finished(command, gallery, videos, tmp_path, monkeypatch):
    """Ctrl-C when the second video begins; then the first is not searched again."""
    real, seen, output = fm.Gallery.identify_video, [], tmp_path / "r.csv"

    def interrupted(self, video, **options):
        seen.append(video)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(self, video, **options)

    monkeypatch.setattr(fm.Gallery, "identify_video", interrupted)
    arguments = ("gallery", "identify", gallery, videos / "two.mkv", videos / "in", "--video", "--output", output)
    code, _, err = command(*arguments)
    assert code == 130 and f"interrupted; {output} has the 1 finished video of 2, and the same command goes on" in err
    first, journal = output.read_text(), tmp_path / "r.csv.journal"
    assert len(rows_of(output)) == 2 and journal.exists()
    searched, detect = [], type(fm.Gallery(gallery).detector).detect
    monkeypatch.setattr(
        type(fm.Gallery(gallery).detector), "detect", lambda *one: (searched.append(1), detect(*one))[1]
    )
    code, _, err = command(*arguments)
    assert code == 0 and len(searched) == 1 and "which goes on" in err and not journal.exists()
    assert output.read_text().startswith(first) and len(rows_of(output)) == 3


def test_a_stream(command, gallery, videos, tmp_path):
    handler = functools.partial(Quiet, directory=str(videos))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/two.mkv"
    try:
        code, out, _ = command(
            "gallery", "identify", gallery, "--stream", address, "--seconds", "60", "--output", tmp_path / "r.csv"
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert code == 0 and "2 tracks in 1 video, 4 frames searched" in out
    rows = rows_of(tmp_path / "r.csv")
    assert [row["path"] for row in rows] == [f"{address}#track0", f"{address}#track1"]
    assert rows[0]["problem"] == f"{address}: the stream ended after 0.8 s of 60 s"


def test_times_of_a_sheet():
    assert [clock(seconds) for seconds in (0, 59.96, 3599.94, 3661.25)] == ["0:00.0", "1:00.0", "59:59.9", "1:01:01.2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("VIDEO --sheet s.png", "--sheet needs --video"),
        ("VIDEO --seconds 5", "--seconds needs --stream"),
        ("VIDEO --video --seconds 5", "a video is searched to its end"),
        ("VIDEO --min-frames 3", "--min-frames needs --video"),
        ("--stream 0", "--stream needs --seconds"),
        ("VIDEO --stream 0 --seconds 5", "--stream takes the place of IMAGES"),
        ("--stream file:///a.mp4 --seconds 5", "expected the number of a camera"),
        ("VIDEO --video --by-folder", "remove --by-folder"),
        ("VIDEO --video --on-several central", "remove --on-several"),
        ("VIDEO --video --sheet s.jpg", "expected a name that ends in .png"),
        ("VIDEO --video --min-cosine 3 --output r.csv", "min_cosine is 3.0"),
    ],
)
def test_wrong_uses(command, gallery, videos, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    words = [videos / "two.mkv" if word == "VIDEO" else word for word in arguments.split()]
    code, _, err = command("gallery", "identify", gallery, *words)
    assert code == 2 and says in err.replace("\n", " "), err
    assert list(tmp_path.iterdir()) == []


def test_a_gallery_of_aligned_images_says_what_to_do(command, trained_run, videos, tmp_path):
    fm.Gallery.create(tmp_path / "g", str(trained_run)).close()
    code, _, err = command("gallery", "identify", tmp_path / "g", videos / "two.mkv", "--video")
    assert code == 2 and "create a gallery of photographs" in err
