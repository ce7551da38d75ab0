"""The reference of all names: what `facemargin list` and `facemargin --help` say, made from the catalogue."""

from mkdocs.structure.files import File

from facemargin.commands._catalogue import DESCRIBED_KINDS, read_catalogue
from facemargin.commands._verbs import list_verbs

PLACE = "reference/choices.md"
_INTRODUCTION = """# What there is to choose from

Everything that has a name, as `facemargin list` shows it. See also [adding your own](../extending.md) and the
[fields of a recipe](recipe_fields.md).
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
    for kind, (_, heading, title) in DESCRIBED_KINDS.items():
        if kind not in ("formats", "writers"):  # above, in one table
            parts += [f"## {title.capitalize()}", _table((heading, "what it is"), catalogue[kind].items())]
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
