"""`facemargin gallery identify G VIDEOS --video`: an answer for each track of a face, their table and their sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from facemargin.commands._embed_video import shown_names
from facemargin.commands._face_files import write_csv
from facemargin.commands._finding_faces import printable
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.commands._video_tracks import journal_beside
from facemargin.counting import counted
from facemargin.data.formats.named_files import VIDEOS, find_named_files
from facemargin.data.videos.stream import Stream
from facemargin.errors import CorruptVideoError, DataError
from facemargin.features.tracks import FaceTrack
from facemargin.features.video import FRAMES_PER_SECOND
from facemargin.gallery.gallery import Gallery
from facemargin.gallery.identification import Identification
from facemargin.gallery.video import IdentifiedVideo
from facemargin.report.track_sheet import CROPS, SheetRow, write_sheet

ANSWER_COLUMNS = ["person", "score", "decision", "quality", "reason"]
_COLUMNS = [
    "path", "video", "track", "first_second", "last_second", "frames", "faces", *ANSWER_COLUMNS, "problem",
]  # fmt: skip


@dataclass
class IdentifiedVideos:
    """The answers for all tracks of all videos, by the `names` of the tracks."""

    names: list[str] = field(default_factory=list)
    answers: list[Identification] = field(default_factory=list)
    rows: list[list[object]] = field(default_factory=list)
    sheet: list[SheetRow] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    videos: int = 0
    sampled: int = 0
    dropped: int = 0

    def add(self, video: str, found: IdentifiedVideo, has_sheet: bool) -> None:
        self.videos += 1
        self.sampled += found.found.sampled
        self.dropped += found.found.dropped
        problem = found.found.problem
        self.problems += [problem] if problem else []
        for number, (track, answer) in enumerate(zip(found.found.tracks, found.answers, strict=True)):
            name = f"{video}#track{number}"
            self.names.append(name)
            self.answers.append(answer)
            self.rows.append([name, video, number, *_seen(track), *answer_cells(answer), problem])
            if has_sheet:
                self.sheet.append(SheetRow(printable(name), track, answer))
        if not found.found.tracks:
            self._without_track(video, problem or "no track of a face was found")

    def add_unreadable(self, video: str, problem: str) -> None:
        self.unreadable.append(problem)
        self._without_track(video, problem)

    def say(self) -> None:
        """What is wrong with the videos, and what was looked at."""
        for message in self.unreadable:
            say(printable(message), stderr=True)
        count = self.videos + len(self.unreadable)
        if not self.videos:
            what = "the only video cannot" if count == 1 else f"none of the {count:,} videos can"
            raise DataError(f"{what} be read; the reason is above")
        if self.unreadable:
            named = "it is" if len(self.unreadable) == 1 else "they are"
            say(
                f"warning: {len(self.unreadable):,} of {counted(count, 'video')} cannot be read; {named} named above",
                stderr=True,
            )
        if self.dropped:
            say(
                f"note: {counted(self.dropped, 'track')} seen in too few frames {_was(self.dropped)} left out "
                "(--min-frames)",
                stderr=True,
            )
        say(
            f"{counted(len(self.names), 'track')} in {counted(self.videos, 'video')}, {counted(self.sampled, 'frame')} "
            "searched"
        )

    def _without_track(self, video: str, problem: str) -> None:
        self.rows.append(["", video, *[""] * (len(_COLUMNS) - 3), problem])


def identify_videos(
    gallery: Gallery,
    videos: Sequence[Path] | Stream,
    output: Path | None,
    sheet: Path | None,
    *,
    batch_size: int | None,
    **options: Any,
) -> IdentifiedVideos:
    """The answers for the tracks of video files or of a stream; `options` are those of `Gallery.identify_video`. What
    is finished is written also if the work is interrupted; with an output the next call goes on."""
    for path in (output, sheet):
        if path is not None:
            say_replaced(path)
    done = IdentifiedVideos()
    options |= {"batch_size": batch_size, "crops": CROPS if sheet is not None else 1}
    if isinstance(videos, Stream):
        with embedding_progress(Console(stderr=True), videos.name, "searching", "frames") as progress:
            done.add(videos.name, gallery.identify_video(videos, progress=progress, **options), sheet is not None)
    else:
        _identify_files(gallery, videos, output, done, options, sheet is not None)
    _write(done, output, sheet)
    return done


def _identify_files(
    gallery: Gallery,
    locations: Sequence[Path],
    output: Path | None,
    done: IdentifiedVideos,
    options: dict[str, Any],
    has_sheet: bool,
) -> None:
    videos = find_named_files(locations, VIDEOS)

    def all_of(**journal: Any) -> None:
        for path, name, shown in shown_names(videos):
            with embedding_progress(Console(stderr=True), shown, "searching", "frames") as progress:
                try:
                    found = gallery.identify_video(path, progress=progress, **options, **journal)
                except CorruptVideoError as error:
                    done.add_unreadable(name, str(error))
                else:
                    done.add(name, found, has_sheet)

    if output is None or gallery.detector is None:  # the latter is refused, with the reason
        all_of()
        return
    rate, gate = options.get("frames_per_second", FRAMES_PER_SECOND), options["gate"]
    with journal_beside(
        output, gallery.model, gallery.detector, gallery.binding.views, options["batch_size"], rate, gate
    ) as journal:
        try:
            all_of(journal=journal)
        except KeyboardInterrupt:
            _write(done, output, None)
            finished = f"{counted(done.videos, 'finished video')} of {len(videos.paths):,}"
            say(f"interrupted; {output} has the {finished}, and the same command goes on", stderr=True)
            raise


def _write(done: IdentifiedVideos, output: Path | None, sheet: Path | None) -> None:
    if output is not None:
        write_csv(_COLUMNS, done.rows, output)
    if sheet is not None:
        for path in write_sheet(done.sheet, sheet):
            if path != sheet:
                say(f"more tracks are in {path}")


def _seen(track: FaceTrack) -> list[object]:
    return [f"{track.first_second:.3f}", f"{track.last_second:.3f}", track.frames, track.used]


def answer_cells(answer: Identification) -> list[object]:
    """The columns ANSWER_COLUMNS."""
    score, quality = (
        "" if math.isnan(value) else shown
        for value, shown in ((answer.score, f"{answer.score:.6f}"), (answer.quality, f"{answer.quality:.6g}"))
    )
    reason = "; ".join(reason.words for reason in answer.reasons)
    return [answer.person or "", score, answer.decision or "", quality, reason]


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
