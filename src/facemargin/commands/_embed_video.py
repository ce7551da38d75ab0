"""`facemargin embed MODEL VIDEOS… --video --output faces.npz`: one embedding per track of a face, and their table."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from facemargin.commands._embedding import MEASURES
from facemargin.commands._face_files import write_csv, write_image
from facemargin.commands._finding_faces import printable
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.commands._video_tracks import journal_beside
from facemargin.counting import counted
from facemargin.data.formats.named_files import NamedFiles
from facemargin.detection.detector import Detector
from facemargin.errors import ConfigError, CorruptVideoError, DataError, OutputError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.tracks import FaceTrack
from facemargin.features.video import FRAMES_PER_SECOND, VideoFaces, embed_video
from facemargin.files.atomic import write_atomically
from facemargin.models.model import Model
from facemargin.models.views import Views

_COLUMNS = [
    "path", "video", "track", "first_second", "last_second", "frames", "faces_used", "quality", "norm",
    "best_quality", "best_second", "best_frame", "left", "top", "right", "bottom", "file", "problem",
]  # fmt: skip

# The finished videos are written so often, because a killed process says nothing.
_SECONDS_BETWEEN = 30.0


def embed_videos(
    videos: NamedFiles,
    model: Model,
    output: Path,
    save_faces: Path | None,
    *,
    detector: Detector,
    batch_size: int | None = None,
    views: Views | None = None,
    frames_per_second: float = FRAMES_PER_SECOND,
    **tracking: Any,
) -> int:
    """Embed the faces of all videos; `tracking` are other options of `embed_video`. What is finished is written from
    time to time, and also if the work is interrupted; the next call goes on. Raises DataError if no video can be read
    or none shows a face."""
    if save_faces is not None and save_faces.exists() and not save_faces.is_dir():
        raise ConfigError(f"--save-faces is {save_faces}, which is a file; expected a folder")
    done = _Done(output, save_faces)
    for path in (output, done.table):
        say_replaced(path)
    with journal_beside(output, model, detector, views, batch_size, frames_per_second) as journal:
        options = {
            "detector": detector,
            "batch_size": batch_size,
            "views": views,
            "frames_per_second": frames_per_second,
            "journal": journal,
            **tracking,
        }
        try:
            for path, name, shown in shown_names(videos):
                with embedding_progress(Console(stderr=True), shown, "searching", "frames") as progress:
                    try:
                        done.add(name, embed_video(model, path, progress=progress, **options))
                    except CorruptVideoError as error:
                        done.add_unreadable(name, str(error))
        except KeyboardInterrupt:
            done.write()
            finished = f"{counted(done.num_videos, 'finished video')} of {len(videos.paths):,}"
            say(
                f"interrupted; {output if done.names else done.table} has the {finished}, and the same command goes on",
                stderr=True,
            )
            raise
    done.write()
    _say(done, videos, model)
    return 0


def shown_names(videos: NamedFiles) -> Iterator[tuple[Path, str, str]]:
    """The path of every video, its name, and what a progress bar calls it."""
    of = len(videos.paths)
    for number, (path, name) in enumerate(zip(videos.paths, videos.names, strict=True), 1):
        yield path, name, printable(name) if of == 1 else f"{printable(name)} ({number} of {of})"


def save_embeddings(embeddings: Embeddings, names: Sequence[str], path: Path) -> None:
    """Arrays `paths` (N,), `embeddings` (N, D) of unit length, `norms` (N,) and `quality` (N,); no pickles."""

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(
                file,
                paths=np.array(names),
                embeddings=embeddings.vectors,
                norms=embeddings.norms,
                quality=embeddings.quality,
            )

    write_atomically(path, save)


@dataclass
class _Done:
    """The tracks of all finished videos, which are written to `output` and, as a table, beside it."""

    output: Path
    save_faces: Path | None
    names: list[str] = field(default_factory=list)
    parts: list[Embeddings] = field(default_factory=list)
    rows: list[list[object]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    cut_short: list[str] = field(default_factory=list)
    num_undecodable: int = 0
    num_videos: int = 0
    num_without: int = 0
    num_dropped: int = 0
    num_sampled: int = 0
    written: float = field(default_factory=time.monotonic)

    @property
    def table(self) -> Path:
        return self.output.with_suffix(".csv")

    def add(self, video: str, found: VideoFaces) -> None:
        self.num_videos += 1
        self.num_dropped += found.dropped
        self.num_sampled += found.sampled
        self.num_without += not found.tracks
        self.cut_short += [video] if found.ends_early else []
        self.num_undecodable += found.undecodable
        self.parts.append(found.embeddings)
        for number, track in enumerate(found.tracks):
            self.names.append(f"{video}#track{number}")
            self.rows.append(_row(video, number, track, self._save_face(video, number, track), found.problem))
        if not found.tracks:
            self.rows.append(_without_track(video, found.problem or "no track of a face was found"))
        if time.monotonic() - self.written > _SECONDS_BETWEEN:
            self.write()

    def add_unreadable(self, video: str, problem: str) -> None:
        self.unreadable.append(problem)
        self.rows.append(_without_track(video, problem))

    def write(self) -> None:
        write_csv(_COLUMNS, self.rows, self.table)
        if self.names:
            joined = (np.concatenate([getattr(part, name) for part in self.parts]) for name in _ARRAYS)
            save_embeddings(Embeddings(*joined), self.names, self.output)
        self.written = time.monotonic()

    def _save_face(self, video: str, number: int, track: FaceTrack) -> str:
        """Write the best face of a track; its name in the folder."""
        if self.save_faces is None:
            return ""
        name = f"{video}_track{number}.png"
        path = self.save_faces / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be written: {error.strerror}") from error
        write_image(track.best.crop, path)
        return name


_ARRAYS = ("vectors", "norms", "quality")


def _row(video: str, number: int, track: FaceTrack, file: str, problem: str) -> list[object]:
    best, pooled = track.best, track.embedding
    times = [f"{second:.3f}" for second in (track.first_second, track.last_second)]
    qualities = [f"{value:.6g}" for value in (pooled.quality[0], pooled.norms[0], best.quality)]
    box = [f"{value:.2f}" for value in best.face.box]
    seen = [track.frames, track.used, *qualities, f"{best.seconds:.3f}", best.frame, *box]
    return [f"{video}#track{number}", video, number, *times, *seen, file, problem]


def _without_track(video: str, problem: str) -> list[object]:
    return ["", video, *[""] * (len(_COLUMNS) - 3), problem]


def _say(done: _Done, videos: NamedFiles, model: Model) -> None:
    _warn(done.unreadable, f"{len(done.unreadable):,} of {counted(len(videos.paths), 'video')} cannot be read")
    if not done.num_videos:
        count = len(videos.paths)
        of_what = "the only video cannot" if count == 1 else f"none of the {count:,} videos can"
        raise DataError(f"{of_what} be read; the reason is above, and in {done.table}")
    if done.num_dropped:
        say(
            f"note: {counted(done.num_dropped, 'track')} seen in too few frames {_was(done.num_dropped)} left out "
            "(--min-frames)",
            stderr=True,
        )
    if not done.names:
        raise DataError(
            f"no track of a face was found in {counted(done.num_videos, 'video')}, of which "
            f"{counted(done.num_sampled, 'frame')} {_was(done.num_sampled)} searched; see {done.table}. More "
            "--frames-per-second, or another --detector, may find some"
        )
    without = f", {done.num_without:,} without a face" if done.num_without else ""
    short = f", {len(done.cut_short):,} cut short" if done.cut_short else ""
    if done.num_undecodable:
        short += f", {counted(done.num_undecodable, 'frame')} that cannot be decoded"
    say(
        f"{counted(len(done.names), 'track')} in {counted(done.num_videos, 'video')}{without}{short}, "
        f"{counted(done.num_sampled, 'frame')} searched; embeddings of {model.info.embedding_size} values, quality: "
        f"{MEASURES[model.info.quality]}; {done.output} and {done.table}"
    )


def _warn(messages: Iterable[str], summary: str) -> None:
    messages = list(messages)
    for message in messages:
        say(printable(message), stderr=True)
    if messages:
        say(f"warning: {summary}; {'it is' if len(messages) == 1 else 'they are'} named above", stderr=True)


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
