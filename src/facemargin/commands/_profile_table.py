"""What `facemargin train --profile` prints."""

from rich.console import Console

from facemargin.commands._say import say
from facemargin.tables import Table
from facemargin.training.profile import PARTS, TrainingProfile


def print_profile(profile: TrainingProfile, console: Console) -> None:
    """The parts of a step, the largest first, and the rate of whole steps."""
    inside = sum(profile.seconds.values())
    table = Table("part", "ms/step", "share", "what")
    for part, seconds in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{1e3 * seconds:,.1f}", f"{seconds / inside:.1%}", PARTS[part])
    table.add_section()
    table.add_row("all", f"{1e3 * inside:,.1f}", "", "with the clock looking inside")
    table.add_row("whole step", f"{1e3 * profile.seconds_per_step:,.1f}", "", f"mean of {profile.steps} steps before")
    console.print(table)
    memory = "" if profile.peak_memory is None else f"; {profile.peak_memory / 2**30:,.2f} GiB of the device at most"
    say(f"{profile.images_per_second:,.1f} images/s of all processes{memory}")
