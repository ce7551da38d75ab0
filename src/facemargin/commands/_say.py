"""Lines that a verb says."""

from rich.console import Console
from rich.text import Text


def say(text: object, label: str = "", *, stderr: bool = False) -> None:
    """Print `text` as it is, whatever names are in it, and unbroken, so that a path can be copied; before it a `label`
    in colour: a "note" in yellow, any other (a warning) in red."""
    line = Text(str(text))
    if label:
        line = Text.assemble((f"{label}:", "yellow" if label == "note" else "red"), " ", line)
    Console(stderr=stderr).print(line, highlight=False, soft_wrap=True)
