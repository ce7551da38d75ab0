"""A progress bar for embedding images."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facemargin.models.model import Progress as Report


@contextmanager
def embedding_progress(console: Console, name: str, doing: str = "embedding", unit: str = "images") -> Iterator[Report]:
    """Yields `report(done, all)`, which shows the finished images (or other units), the rate and the remaining time if
    the console is a terminal; `all` is 0 if it is unknown."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{doing} {name}", rate="", total=None)

        def report(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total or None, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield report
