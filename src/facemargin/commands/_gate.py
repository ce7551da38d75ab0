"""The reasons for which pictures fail the gate of image statistics, gathered while they are read."""

from collections import Counter
from collections.abc import Sequence

from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.source import RGBImage
from facemargin.detection.face import Face
from facemargin.quality.image_statistics import Reason, image_statistics


class Gate:
    """Measures every image that is read with its chosen face, or as an aligned face where no face was looked for."""

    def __init__(self) -> None:
        self._reasons: dict[int, tuple[Reason, ...]] = {}

    def measure(self, index: int, image: RGBImage, face: Face | None) -> None:
        """`index` is the image's place in its source; an image that is read again is not measured again."""
        if index in self._reasons:
            return
        if face is None:
            statistics = image_statistics(image)
        else:
            statistics = image_statistics(image, face.landmarks_52, face.score)
        self._reasons[index] = statistics.reasons()

    def words(self, index: int) -> str:
        """Why an image fails, separated by semicolons; empty if it passes."""
        return "; ".join(reason.words for reason in self._reasons[index])

    def say_failures(self, indices: Sequence[int], detect: bool) -> None:
        """Print how many of the images fail, by reason, and what was not measured."""
        codes = Counter(reason.code.replace("_", " ") for index in indices for reason in self._reasons[index])
        failing = sum(bool(self._reasons[index]) for index in indices)
        by_reason = ", ".join(f"{code} {count:,}" for code, count in codes.most_common())
        fail = "fails" if failing == 1 else "fail"
        say(
            f"{failing:,} of {counted(len(indices), 'image')} {fail} the gate{': ' if codes else ''}{by_reason}"
            f"{' (an image may have several reasons)' if codes.total() > failing else ''}"
        )
        if not detect:
            say("the size in a photograph, the pose and the detection were not measured: --detect does, on photographs")
