"""Finding an image in a file that another tool, or an earlier run, wrote: by the end of its path."""

from collections.abc import Sequence
from pathlib import Path


class PathsByEnd:
    """Positions in `paths`, which may be absolute or begin anywhere in the tree that the images lie in."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._index = {str(name): index for index, name in enumerate(paths)}

    def find(self, name: str) -> int | None:
        """The position of the image called `name`: of its whole path, else of the longest end of it that is there."""
        path = Path(name).absolute()
        ends = ("/".join(path.parts[start:]) for start in range(1, len(path.parts)))
        return next((self._index[known] for known in (path.as_posix(), *ends) if known in self._index), None)
