"""`embed --video`: an embedding per track of a face, the table of the tracks, and what is said."""

import csv
import signal

import numpy as np
import pytest

import facemargin as fm
from facemargin.commands import _embed_video
from tests.clips import clip, stand, write_video

ANN, BOB = 3, 8


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """clips/two.mp4 with two people, clips/in/none.avi with none, clips/in/one.mkv with one."""
    folder = tmp_path_factory.mktemp("videos") / "clips"

    def both(frame, number):
        stand(ANN, 100)(frame, number)
        stand(BOB, 300)(frame, number)

    write_video(folder / "two.mp4", clip(20, both))
    write_video(folder / "in" / "none.avi", clip(5, lambda frame, number: None), codec="MJPG")
    write_video(folder / "in" / "one.mkv", clip(20, stand(ANN, 200)))
    (folder / "in" / "notes.md").write_text("no video")
    return folder


def embed(command, model, *arguments):
    return command("embed", model, *arguments, "--video", "--detector", "yunet")


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_videos(command, trained_run, clips, tmp_path, caplog):
    code, out, err = embed(
        command, trained_run, clips, "--output", tmp_path / "faces.npz", "--save-faces", tmp_path / "best"
    )
    assert (code, err) == (0, "") and "passed over: 1 file (1 .md)" in caplog.text
    assert out == (
        "3 tracks in 3 videos, 1 without a face, 9 frames searched; embeddings of 16 values, quality: feature norm; "
        f"{tmp_path}/faces.npz and {tmp_path}/faces.csv\n"
    )
    names = ["clips/in/one.mkv#track0", "clips/two.mp4#track0", "clips/two.mp4#track1"]
    model = fm.load(trained_run)
    with np.load(tmp_path / "faces.npz") as file:
        assert file["paths"].tolist() == names
        for number, name in enumerate(("in/one.mkv", "two.mp4")):
            found = fm.embed_video(model, clips / name, detector="yunet")
            rows = slice(0, 1) if number == 0 else slice(1, 3)
            np.testing.assert_allclose(file["embeddings"][rows], found.embeddings.vectors, atol=1e-6)
            np.testing.assert_allclose(file["quality"][rows], found.embeddings.quality, rtol=1e-5)
            np.testing.assert_allclose(file["norms"][rows], found.embeddings.norms, rtol=1e-5)
    rows = table(tmp_path / "faces.csv")
    assert [(row["path"], row["video"], row["problem"]) for row in rows] == [
        ("", "clips/in/none.avi", "no track of a face was found"),
        (names[0], "clips/in/one.mkv", ""),
        (names[1], "clips/two.mp4", ""),
        (names[2], "clips/two.mp4", ""),
    ]
    bob, track = rows[3], found.tracks[1]
    assert (bob["track"], bob["frames"], bob["faces_used"]) == ("1", "4", "4")
    assert (bob["first_second"], bob["last_second"]) == ("0.000", "0.600")
    assert float(bob["best_quality"]) == pytest.approx(track.best.quality, rel=1e-4)
    assert int(bob["best_frame"]) == track.best.frame
    box = [float(bob[side]) for side in ("left", "top", "right", "bottom")]
    np.testing.assert_allclose(box, track.best.face.box, atol=0.01)
    assert abs((box[0] + box[2]) / 2 - 300) < 15
    assert len(list((tmp_path / "best").rglob("*.png"))) == 3 and bob["file"] == "clips/two.mp4_track1.png"
    saved = fm.data.given_images.one_image(tmp_path / "best" / bob["file"])
    np.testing.assert_array_equal(saved, track.best.crop)


def test_options_reach_the_tracks(command, trained_run, clips, tmp_path):
    output = ["--output", tmp_path / "f.npz"]
    code, out, _ = embed(
        command, trained_run, clips / "in" / "one.mkv", *output, "--frames-per-second", "25", "--best-faces", "3"
    )
    (row,) = table(tmp_path / "f.csv")
    assert code == 0 and "20 frames searched" in out and (row["frames"], row["faces_used"]) == ("20", "3")
    code, out, err = embed(command, trained_run, clips / "in" / "one.mkv", *output, "--min-cosine", "1")
    assert code == 2 and "note: 4 tracks seen in too few frames were left out (--min-frames)" in err
    assert "no track of a face was found in 1 video, of which 4 frames were searched" in err
    code, out, err = embed(
        command, trained_run, clips / "in" / "one.mkv", *output, "--min-cosine", "1", "--min-frames", "1"
    )
    assert code == 0 and out.startswith("4 tracks in 1 video, 4 frames")


def test_videos_that_cannot_be_read_are_named_and_the_others_kept(command, trained_run, tmp_path, caplog):
    (tmp_path / "bad.mp4").write_text("no video")
    short = write_video(tmp_path / "short.avi", clip(75, stand(ANN, 200)), codec="MJPG")
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    code, out, err = embed(command, trained_run, tmp_path / "bad.mp4", short, "--output", tmp_path / "f.npz")
    assert code == 0 and out.startswith("1 track in 1 video, 1 cut short, ")
    assert f"{tmp_path}/bad.mp4: not a video of a known format" in err
    assert "warning: 1 of 2 videos cannot be read; it is named above" in err
    assert f"{short}: the video can be read up to" in caplog.text
    problems = [row["problem"] for row in table(tmp_path / "f.csv")]
    assert "not a video" in problems[0] and "of 3.0 s, so it is truncated" in problems[1]
    code, _, err = embed(command, trained_run, tmp_path / "bad.mp4", "--output", tmp_path / "g.npz")
    assert code == 2 and "the only video cannot be read; the reason is above, and in" in err
    assert not (tmp_path / "g.npz").exists() and len(table(tmp_path / "g.csv")) == 1


def test_an_interruption_keeps_what_is_finished_and_the_next_goes_on(
    command, trained_run, clips, tmp_path, monkeypatch
):
    """Ctrl-C in the third video."""
    real, seen = _embed_video.embed_video, []

    def interrupted(model, path, **options):
        seen.append(path)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(model, path, **options)

    monkeypatch.setattr(_embed_video, "embed_video", interrupted)
    # a program in the background of a shell starts with Ctrl-C switched off
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, _, err = embed(command, trained_run, clips, "--output", tmp_path / "f.npz")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130 and f"interrupted; {tmp_path}/f.npz has the 2 finished videos of 3" in err
    with np.load(tmp_path / "f.npz") as file:
        assert file["paths"].tolist() == ["clips/in/one.mkv#track0"]
    assert len(table(tmp_path / "f.csv")) == 2
    journal = tmp_path / "f.npz.journal"
    assert "and the same command goes on" in err and len(journal.read_bytes().splitlines()) == 3
    searched = []
    detect = type(fm.detection.detector.require_detector("yunet")).detect
    monkeypatch.setattr(
        type(fm.detection.detector.require_detector("yunet")),
        "detect",
        lambda self, image: (searched.append(1), detect(self, image))[1],
    )
    monkeypatch.setattr(_embed_video, "embed_video", real)
    code, _, err = embed(command, trained_run, clips, "--output", tmp_path / "f.npz")
    assert code == 0 and f"note: {journal} is of a search that was interrupted, which goes on" in err
    assert len(searched) == 4 and not journal.exists()  # the frames of the third video
    found = fm.embed_video(fm.load(trained_run), clips / "in" / "one.mkv", detector="yunet")
    with np.load(tmp_path / "f.npz") as file:
        assert len(file["paths"]) == 3
        np.testing.assert_array_equal(file["embeddings"][0], found.embeddings.vectors[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "--output", "out"], "--output is out, expected a name that ends in .npz with --video"),
        (["--video", "--by-folder", "--output", "f.npz"], "one embedding per track of a face: remove --by-folder"),
        (["--video", "--on-several", "central", "--output", "f.npz"], "--video uses all faces: remove --on-several"),
        (["--frames-per-second", "2", "--output", "f.npz"], "--frames-per-second needs --video"),
        (["--save-faces", "best", "--output", "f.npz"], "--save-faces needs --video"),
        (["--video", "--frames-per-second", "0", "--output", "f.npz"], "0.0 frames per second, expected a positive"),
        (["--video", "--min-cosine", "3", "--output", "f.npz"], "min_cosine is 3.0, expected a number from -1 to 1"),
        (["--video", "--batch-size", "0", "--output", "f.npz"], "--batch-size is 0, expected at least 1"),
        (["--video", "--save-faces", "{clips}/two.mp4", "--output", "f.npz"], "which is a file; expected a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(command, trained_run, clips, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(clips=clips) for argument in arguments]
    code, _, err = command("embed", trained_run, clips / "two.mp4", *filled)
    assert code == 2 and message in err and list(tmp_path.iterdir()) == []


def test_a_folder_without_videos_is_refused(command, trained_run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = embed(command, trained_run, tmp_path / "empty", "--output", tmp_path / "f.npz")
    assert code == 2 and f"{tmp_path}/empty holds no videos; expected files that end in .3gp, .asf, .avi" in err
    code, _, err = embed(command, trained_run, "--output", tmp_path / "f.npz")
    assert code == 2 and "no videos are given" in err
