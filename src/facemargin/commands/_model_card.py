"""The model card for the Hugging Face Hub: a description of the model, how to load and use it, and its results."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facemargin.models.info import ModelInfo
from facemargin.version import __version__


@dataclass(frozen=True)
class Result:
    """The figures of one evaluation, in [0, 1]; None for a figure that the set does not have."""

    dataset: str
    pairs: int
    accuracy: float | None
    balanced_accuracy: float | None
    equal_error_rate: float | None


def read_results(run: Path) -> list[Result]:
    """The evaluations of the model in a run folder, by data set. Baselines and files that cannot be read are left
    out."""
    results = []
    for path in sorted(run.glob("evaluation/*/facemargin.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            results.append(
                Result(
                    dataset=str(content["dataset"]),
                    pairs=int(content["genuine"]) + int(content["impostors"]),
                    accuracy=_figure(content["accuracy"], "mean"),
                    balanced_accuracy=_figure(content["balanced_accuracy"], "value"),
                    equal_error_rate=_figure(content["roc"], "eer"),
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return results


def model_card(repository: str, info: ModelInfo, results: list[Result], licence: str | None) -> str:
    """The README.md of the repository: the metadata for the Hub, followed by Markdown."""
    metadata: dict[str, Any] = {
        "library_name": "facemargin",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["face-recognition", "face-verification", "face-image-quality", info.loss],
        "license": licence or "other",
    }
    if results:
        metadata["model-index"] = [{"name": repository, "results": [_index_entry(result) for result in results]}]
    size = info.input_size
    quality = (
        "the certainty ratio predicted by CR-FIQA's layer" if info.quality == "crfiqa" else ("the norm of the feature")
    )
    lines = [
        "---",
        yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {repository.partition('/')[2]}",
        "",
        f"A face recogniser: {info.backbone}, {info.embedding_size} features, loss {info.loss}.",
        "",
        "```python",
        "import facemargin as fm",
        "",
        f'model = fm.load("hf:{repository}")',
        "embeddings = model.embed(images)  # aligned faces, uint8 RGB arrays (H, W, 3): vectors, norms, quality",
        "```",
        "",
        "## Input",
        "",
        f"Aligned faces of {size} × {size} pixels, {info.color_order}, (pixel − {info.mean:g}) / {info.std:g}. "
        "`fm.load` prepares the images in this way.",
        f"Quality is {quality}. Features are averaged over these views of an image by default: {info.views}.",
        "",
        "## Licence",
        "",
        info.licence or (f"{licence}." if licence else "The author states no licence."),
    ]
    if results:
        lines += ["", "## Evaluation", "", "| set | pairs | accuracy | best balanced accuracy | equal error rate |"]
        lines += ["|---|---|---|---|---|", *map(_row, results)]
    lines += ["", f"Written by facemargin {__version__}.", ""]
    return "\n".join(lines)


def _index_entry(result: Result) -> dict[str, Any]:
    figures = {"accuracy": result.accuracy, "balanced_accuracy": result.balanced_accuracy}
    return {
        "task": {"type": "face-verification"},
        "dataset": {"name": result.dataset, "type": result.dataset},
        "metrics": [{"type": name, "value": value} for name, value in figures.items() if value is not None],
    }


def _row(result: Result) -> str:
    figures = (result.accuracy, result.balanced_accuracy, result.equal_error_rate)
    cells = " | ".join("–" if figure is None else f"{figure:.2%}" for figure in figures)
    return f"| {result.dataset} | {result.pairs:,} | {cells} |"


def _figure(content: Any, name: str) -> float | None:
    value = content.get(name) if isinstance(content, dict) else None
    return float(value) if isinstance(value, int | float) else None
