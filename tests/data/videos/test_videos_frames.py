"""Frames of real videos, written by OpenCV: which are sampled, when they are, and what is said of those that are
damaged, turned or no videos."""

import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

from facemargin.data.videos.frames import VideoFrames
from facemargin.data.videos.kind import video_kind
from facemargin.errors import ConfigError, CorruptVideoError
from tests.clips import turned, write_video
from tests.data.sample_images import encode, smooth_image
from tests.systems import posix_only

CONTAINERS = [("mp4v", ".mp4"), ("mp4v", ".mov"), ("MJPG", ".avi"), ("XVID", ".avi"), ("mp4v", ".mkv"),
              ("VP80", ".webm"), ("FLV1", ".flv"), ("WMV2", ".wmv")]  # fmt: skip


def numbered(count, height=48, width=64):
    """Frames that say their number by their brightness, redder at the top left."""
    for number in range(count):
        frame = np.full((height, width, 3), 2 * number + 20, np.uint8)
        frame[: height // 2, : width // 2] = (200, 20, 20)
        yield frame


def number_of(image):
    return (float(image[-10:, -10:].mean()) - 20) / 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds, 25 frames a second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", numbered(50))


@pytest.mark.parametrize(("codec", "suffix"), CONTAINERS)
def test_frames_are_sampled_by_their_time_in_every_container(tmp_path, codec, suffix):
    path = write_video(tmp_path / f"a{suffix}", numbered(50), codec=codec)
    frames = VideoFrames(path, 5)
    found = list(frames)
    assert [frame.index for frame in found] == list(range(0, 50, 5))
    np.testing.assert_allclose([frame.seconds for frame in found], np.arange(10) / 5, atol=1e-6)
    np.testing.assert_allclose([number_of(frame.image) for frame in found], range(0, 50, 5), atol=2)
    for frame in found:
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        red, green, blue = frame.image[8, 8].astype(int)
        assert red > 150 and green < 80 and blue < 80
    assert (frames.num_read, frames.num_sampled, frames.problem) == (50, 10, "")


def test_a_stream_without_a_time_for_every_frame_is_sampled(tmp_path):
    """FFmpeg loses a frame of this container, gives no time to the last one, and estimates a smaller number of them."""
    frames = VideoFrames(write_video(tmp_path / "a.mpg", numbered(50), codec="mpg1"), 5)
    found = list(frames)
    assert len(found) in (10, 11) and frames.num_read in (49, 50) and frames.problem == ""
    for frame in found:
        assert abs(number_of(frame.image) - 25 * frame.seconds) <= 3


@pytest.mark.parametrize(
    ("rate", "indices"),
    [(1000, range(50)), (25, range(50)), (10, [0, 3, 5, 8, 10, 13]), (1, [0, 25]), (0.1, [0])],
)
def test_each_is_the_first_at_or_after_its_time(clip, rate, indices):
    found = [frame.index for frame in VideoFrames(clip, rate)]
    assert found[: len(indices)] == list(indices)
    expected, due = [], 0
    for index in range(50):
        if index / 25 >= due / rate - 1e-9:
            expected.append(index)
            while due / rate <= index / 25 + 1e-9:
                due += 1
    assert found == expected


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_durations(encoded, durations):
    """The MP4 with another table of durations [(frames, ticks)], which the boxes around it make room for."""
    parents = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}

    def rewritten(content):
        parts, place = b"", 0
        while place < len(content):
            length, kind = struct.unpack_from(">I4s", content, place)
            inside = content[place + 8 : place + length]
            if kind in parents:
                inside = rewritten(inside)
            elif kind == b"stts":
                inside = struct.pack(">II", 0, len(durations)) + b"".join(struct.pack(">II", *one) for one in durations)
            parts += b"" if kind == b"edts" else box(kind, inside)
            place += length
        return parts

    start = encoded.index(b"moov") - 4
    assert encoded.index(b"mdat") < start  # so that no offset changes
    return encoded[:start] + rewritten(encoded[start:])


def test_a_varying_frame_rate_is_followed(tmp_path, clip):
    """25 frames in a second, then 25 in ten seconds."""
    encoded = clip.read_bytes()
    (ticks,) = struct.unpack_from(">I", encoded, encoded.index(b"stts") + 16)
    varying = tmp_path / "varying.mp4"
    varying.write_bytes(with_durations(encoded, [(25, ticks), (25, 10 * ticks)]))
    found = list(VideoFrames(varying, 5))
    times = [number / 25 if number <= 25 else 1 + (number - 25) / 2.5 for number in range(50)]
    np.testing.assert_allclose([frame.seconds for frame in found], [times[frame.index] for frame in found], atol=1e-3)
    assert [frame.index for frame in found] == [0, 5, 10, 15, 20, *range(25, 50)]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_telephone_held_upright_is_turned(tmp_path, clip, degrees, corner):
    path = tmp_path / "turned.mp4"
    path.write_bytes(turned(clip.read_bytes(), degrees))
    image = next(iter(VideoFrames(path, 1))).image
    assert image.shape == ((48, 64, 3) if degrees == 180 else (64, 48, 3))
    red = image[8 if corner[0] == 0 else -8, 8 if corner[1] == 0 else -8]
    assert red[0] > 150 and red[1] < 80


@pytest.mark.parametrize(("codec", "suffix"), [("MJPG", ".avi"), ("mp4v", ".mkv"), ("VP80", ".webm"), ("FLV1", ".flv")])
def test_a_truncated_video_is_read_as_far_as_it_goes(tmp_path, codec, suffix):
    path = write_video(tmp_path / f"a{suffix}", numbered(100), codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = VideoFrames(path, 5)
    assert 5 <= len(list(frames)) < 15
    assert (
        f"a{suffix}: the video can be read up to " in frames.problem and " of 4.0 s, so it is trunc" in frames.problem
    )


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_a_truncated_video_of_few_frames_is_named_too(tmp_path, rate):
    path = write_video(tmp_path / "a.avi", numbered(100), rate, "MJPG")
    frames = VideoFrames(path, 5)
    assert len(list(frames)) == 100 and frames.problem == "" and frames.seconds == pytest.approx(99 / rate)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = VideoFrames(path, 5)
    assert 40 <= len(list(frames)) < 60 and f" of {100 / rate:.1f} s, so it is truncated" in frames.problem


def playlist(path):
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")


BROKEN = {
    "text.mp4": (lambda path: path.write_text("hello"), "not a video of a known format (5 bytes that begin with"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "the video is empty (0 bytes)"),
    "missing.mp4": (lambda path: None, "cannot be read: No such file"),
    "folder.mp4": (lambda path: path.mkdir(), "is not a file, expected a video"),
    "image.mp4": (lambda path: path.write_bytes(encode(smooth_image(0, 9, 9))), "is an image (.jpg), expected a video"),
    "list.avi": (playlist, "not a video of a known format"),
    "sound.mp4": (lambda path: path.write_bytes(box(b"ftyp", b"M4A \0\0\0\0isom")), "not a video of a known format"),
    "head.mp4": (lambda path: path.write_bytes(box(b"ftyp", b"isom\0\0\0\0mp42")), "that it can decode (MP4 or Quick"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_video_is_named(tmp_path, name):
    make, message = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(CorruptVideoError) as caught:
        list(VideoFrames(tmp_path / name, 5))
    assert str(caught.value).startswith(str(tmp_path / name)) and message in str(caught.value)


def test_an_mp4_that_lost_its_end_is_named(tmp_path, clip):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-2000])
    with pytest.raises(CorruptVideoError, match=r"cut.mp4: OpenCV finds no video.*damaged or truncated"):
        list(VideoFrames(tmp_path / "cut.mp4", 5))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(clip, rate):
    with pytest.raises(ConfigError, match="frames per second, expected a positive number"):
        VideoFrames(clip, rate)


def test_images_are_no_videos():
    for suffix in (".png", ".jpg", ".webp"):
        assert video_kind(encode(smooth_image(0, 9, 9), suffix)) is None
    assert video_kind(b"") is None


@posix_only
@pytest.mark.parametrize("name", ["a\udcff.mp4", "100%02d é 日.mp4", "a:b|c.mp4"])
def test_any_name_can_be_opened(tmp_path, clip, name):
    (tmp_path / name).write_bytes(clip.read_bytes())
    assert len(list(VideoFrames(tmp_path / name, 5))) == 10


@posix_only
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(CorruptVideoError, match="is not a file"):
        VideoFrames(tmp_path / "pipe.mp4", 5)


def test_ffmpeg_prints_nothing_of_a_damaged_video(tmp_path):
    """In a process of its own: FFmpeg takes its level of messages from the first video."""
    path = write_video(tmp_path / "a.avi", numbered(50), codec="XVID")
    encoded = bytearray(path.read_bytes())
    encoded[6000:9000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(encoded)
    (tmp_path / "head.mp4").write_bytes(box(b"ftyp", b"isom\0\0\0\0mp42"))
    code = "import sys; from facemargin.data.videos.frames import VideoFrames\nfor path in sys.argv[1:]:\n"
    code += " try: print(len(list(VideoFrames(path, 5))))\n except ValueError as error: print(error)"
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "head.mp4")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    assert run.stderr == "" and int(first) >= 3 and "OpenCV finds no video in it" in second


def test_frames_that_cannot_be_decoded_are_counted_and_passed_over(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered(50), codec="MJPG")
    encoded = bytearray(path.read_bytes())
    starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", encoded)]
    assert len(starts) == 50
    for frame in (20, 21, 30):
        encoded[starts[frame] : starts[frame] + 200] = bytes(200)
    path.write_bytes(encoded)
    frames = VideoFrames(path, 25)
    found = list(frames)
    assert [frame.index for frame in found] == [index for index in range(50) if index not in (20, 21, 30)]
    np.testing.assert_allclose([frame.seconds for frame in found], [frame.index / 25 for frame in found], atol=1e-6)
    np.testing.assert_allclose([number_of(frame.image) for frame in found], [frame.index for frame in found], atol=2)
    assert (frames.num_undecodable, frames.ends_early) == (3, False)
    assert frames.problem == (
        f"{path}: 3 frames cannot be decoded, the first after 0.8 s, and were passed over"
    )  # the time of the last one before
