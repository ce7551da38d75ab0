"""A stream over HTTP from this machine, its bounds, and what is said of its address."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.videos import stream
from facemargin.data.videos.stream import StreamFrames
from facemargin.errors import ConfigError, CorruptVideoError
from tests.clips import write_video
from tests.data.videos.test_videos_frames import number_of, numbered


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of two seconds, 25 frames a second."""
    folder = tmp_path_factory.mktemp("stream")
    write_video(folder / "a.mkv", numbered(50))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.mkv"
    server.shutdown()
    thread.join()
    server.server_close()


def test_so_many_seconds_of_a_stream(address, monkeypatch):
    """By the stream's clock: this machine's, which may be busy, stands still."""
    monkeypatch.setattr(stream.time, "monotonic", lambda: 100.0)
    frames = StreamFrames(fm.Stream(address, 1.0), 5)
    found = list(frames)
    assert [frame.index for frame in found] == [0, 5, 10, 15, 20]
    np.testing.assert_allclose([frame.seconds for frame in found], [0, 0.2, 0.4, 0.6, 0.8], atol=1e-3)
    np.testing.assert_allclose([number_of(frame.image) for frame in found], [0, 5, 10, 15, 20], atol=2)
    assert (frames.problem, frames.ends_early) == ("", False)


def test_a_stream_without_a_clock_is_watched_by_that_of_the_machine(address, monkeypatch):
    ticks = iter(np.arange(0, 100, 0.01))
    monkeypatch.setattr(stream.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(stream.StreamFrames, "_own_clock", lambda *_: 0.0)
    frames = StreamFrames(fm.Stream(address, 0.5), 5)
    found = list(frames)
    assert 2 <= len(found) <= 3 and not frames.ends_early and frames.seconds == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose([frame.seconds for frame in found], np.arange(len(found)) / 5, atol=0.05)


def test_a_stream_that_ends_before_says_so(address):
    frames = StreamFrames(fm.Stream(address, 600), 5)
    assert len(list(frames)) == 10 and frames.ends_early
    assert frames.problem == f"{address}: the stream ended after 2.0 s of 600 s"


def test_a_stream_that_does_not_answer_is_named_without_its_password():
    door = fm.Stream("http://eve:secret@127.0.0.1:1/door", 5)
    with pytest.raises(CorruptVideoError, match=r"^http://127.0.0.1:1/door: OpenCV cannot open it"):
        list(StreamFrames(door, 5))
    assert "secret" not in repr(door) + door.name and fm.Stream("2", 5).name == "camera 2"


@pytest.mark.parametrize(
    ("address", "seconds", "says"),
    [
        ("/etc/passwd", 5, "the number of a camera"),
        ("file:///etc/passwd", 5, "rtsp://"),
        ("concat:a|b", 5, "expected the number"),
        ("0", 0, "a stream of 0 seconds"),
        ("0", float("nan"), "a stream of nan seconds"),
    ],
)
def test_what_is_no_stream_is_refused(address, seconds, says):
    with pytest.raises(ConfigError, match=says):
        fm.Stream(address, seconds)
