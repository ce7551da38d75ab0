"""The common part of `embed --video` and `gallery identify --video`: how faces are linked to tracks, and a journal of
what was found."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemargin.commands._say import say
from facemargin.decision.fingerprint import fingerprint
from facemargin.detection.detector import Detector, identify_detector
from facemargin.errors import ConfigError
from facemargin.features.video import FRAMES_PER_SECOND
from facemargin.features.video_journal import VideoJournal
from facemargin.models.model import Model
from facemargin.models.views import Views
from facemargin.quality.gate import QualityGate

_TRACKING = ("frames_per_second", "best_faces", "min_frames", "min_cosine")


@dataclass(frozen=True, kw_only=True)
class TrackArguments:
    """How faces in frames are found and linked."""

    frames_per_second: float | None = None
    """With --video: how many frames to search for faces in each second. The default is 5."""
    best_faces: int | None = None
    """With --video: the number of faces of the highest quality in a track that are pooled. The default is 10."""
    min_frames: int | None = None
    """With --video: tracks that are seen in fewer of the sampled frames are left out, and counted. The default is 2."""
    min_cosine: float | None = None
    """With --video: the least cosine of faces in consecutive frames of a track. A smaller one joins different people,
    a larger one breaks tracks. The default is 0.3."""

    def tracking(self) -> dict[str, Any]:
        """The options that are given, as `embed_video` takes them."""
        return {name: value for name in _TRACKING if (value := getattr(self, name)) is not None}


def check_video_options(args: TrackArguments, names: Sequence[str], is_video: bool, option: str) -> None:
    """Raise ConfigError for options of tracks, and others of these `names`, if there is no video: `option`."""
    for name in (*_TRACKING, *names):
        if getattr(args, name) is not None and not is_video:
            given = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{given} needs {option}: add {option}, or remove {given}")


@contextmanager
def journal_beside(
    output: Path,
    model: Model,
    detector: Detector,
    views: Views | None,
    batch_size: int | None,
    frames_per_second: float = FRAMES_PER_SECOND,
    gate: QualityGate | None = None,
) -> Iterator[VideoJournal]:
    """The journal beside the output, with its name and .journal, of what was found so far. It stays after an
    interruption or an error, and is deleted when all is done."""
    name, settings = identify_detector(detector)
    journal = VideoJournal(
        output.with_name(f"{output.name}.journal"),
        model.info.embedding_size,
        {
            "format": "facemargin videos 1",
            "model": fingerprint(model, views),
            "views": views or model.info.views,
            "precision": model.precision,
            "batch size": model.batch_size if batch_size is None else batch_size,
            "detector": {"name": name, **(settings or {})},
            "frames per second": frames_per_second,
            "gate": None if gate is None else asdict(gate),
        },
    )
    if len(journal):
        say(f"note: {journal.path} is of a search that was interrupted, which goes on", stderr=True)
    with journal:
        try:
            yield journal
        except BaseException:
            if not len(journal):
                journal.remove()
            raise
        journal.remove()
