"""Notebooks as pages: their text, their code, and the output that they were saved with."""

import json
from pathlib import Path

from mkdocs.structure.files import File

FOLDER = Path(__file__).parents[1] / "notebooks"


def page_text(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell_parts(cell)]
    parts.insert(1, f"[Download this notebook]({path.name}) and run it: it needs about half a minute.")
    return "\n\n".join(parts) + "\n"


def _cell_parts(cell: dict) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *(_output(output) for output in cell["outputs"])]


def _output(output: dict) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output["data"]
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="What the code above drew" src="data:image/png;base64,{picture}">'
    return f"```text\n{''.join(data['text/plain'])}\n```"


def on_files(files, config):
    for path in sorted(FOLDER.glob("*.ipynb")):
        place = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, place, content=page_text(path)))
    return files
