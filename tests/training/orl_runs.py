"""Trainings on the first people of the ORL faces."""

import io

from rich.console import Console

from facemargin.training.config import Recipe
from facemargin.training.trainer import train

DATA = {"train": "orl:1-4", "workers": 0, "cache_decoded": True}


def run(recipe: Recipe, folder, **options) -> str:
    """What a finished run prints."""
    console = Console(file=io.StringIO(), width=300)
    assert train(recipe, folder, console=console, **options)
    return console.file.getvalue()
