"""The reference of all names: what `facemargin list` and `facemargin --help` say, made from the catalogue."""

from mkdocs.structure.files import File

from facemargin.commands._catalogue import read_catalogue
from facemargin.commands._verbs import list_verbs

PLACE = "reference/choices.md"
_INTRODUCTION = """# What there is to choose from

Everything that has a name, as `facemargin list` shows it. [Adding your own](../extending.md) says how more get there.
[Fields of a recipe](recipe_fields.md) has what can be set.
"""


def page_text() -> str:
    catalogue = read_catalogue()
    margins = {name: entry["paper"] for name, entry in catalogue["margins"].items()}
    writers = catalogue["writers"]
    parts = [_INTRODUCTION]
    parts += ["## Margins", _table(("margin", "paper"), margins.items())]
    backbones = [
        (name, f"{entry['input_size']} px", f"{entry['parameters'] / 1e6:.1f} M")
        for name, entry in catalogue["backbones"].items()
    ]
    parts += ["## Backbones", _table(("backbone", "input", "parameters"), backbones)]
    formats = [(name, words, writers.get(name, "–")) for name, words in catalogue["formats"].items()]
    parts += ["## Formats of training sets", _table(("format", "what is read", "what `convert` writes"), formats)]
    pair_formats = catalogue["pair_formats"].items()
    parts += ["## Formats of verification sets", _table(("format", "what is read"), pair_formats)]
    parts += ["## Protocols", _table(("protocol", "what it is"), catalogue["protocols"].items())]
    parts += ["## Metrics", _table(("metric", "what it is"), catalogue["metrics"].items())]
    parts += ["## Families of checkpoints", _table(("family", "whose it is"), catalogue["families"].items())]
    parts += ["## Face detectors", _table(("detector", "what it is"), catalogue["detectors"].items())]
    parts += ["## Verbs", _table(("verb", "what it does"), list_verbs().items())]
    return "\n\n".join(parts) + "\n"


def _table(headings, rows) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for name, *words in rows:
        cells = " | ".join(text.replace("|", "\\|") for text in words)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


def on_files(files, config):
    files.append(File.generated(config, PLACE, content=page_text()))
    return files
