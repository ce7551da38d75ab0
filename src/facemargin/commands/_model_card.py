"""The model card for the Hugging Face Hub: a description of the model, how to load and use it, and its results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facemargin.counting import counted
from facemargin.data.images.normalization import number_text
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.figures import Metric, Scope, list_metrics
from facemargin.evaluation.number_format import NOT_AVAILABLE
from facemargin.models.info import ModelInfo
from facemargin.version import __version__


@dataclass(frozen=True)
class Result:
    """The figures of one evaluation by the names of `_metrics`; None for a figure that the set does not have."""

    dataset: str
    genuine: int
    impostors: int
    figures: Mapping[str, float | None]


def read_results(run: Path) -> list[Result]:
    """The evaluations of the model in a run folder, by data set. Baselines and files that cannot be read are left
    out."""
    results = []
    for path in sorted(run.glob("evaluation/*/facemargin.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            genuine, impostors = int(content["genuine"]), int(content["impostors"])
            figures = {metric.name: _figure(content, metric.json_keys) for metric in _metrics()}
            results.append(Result(str(content["dataset"]), genuine, impostors, figures))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return results


def _metrics() -> list[Metric]:
    """The metrics of the card: those of a whole system that a report has a column for."""
    return [metric for metric in list_metrics(Scope()) if metric.json_keys and metric.column and not metric.by_quality]


def _figure(content: Any, keys: Sequence[str]) -> float | None:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return float(content) if isinstance(content, int | float) else None


def model_card(
    repository: str, info: ModelInfo, results: list[Result], licence: str | None, check: QualityCheck | None = None
) -> str:
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
        f"Aligned faces of {size} × {size} pixels, {info.color_order}, (pixel − {number_text(info.mean)}) / "
        f"{number_text(info.std)}. "
        "`fm.load` prepares the images in this way.",
        f"Quality is {quality}{_checked(check)}. Features are averaged over these views of an image by default: "
        f"{info.views}.",
        "",
        "## Licence",
        "",
        info.licence or (f"{licence}." if licence else "The author states no licence."),
    ]
    if results:
        headings = ["set", "pairs", *(metric.column for metric in _metrics())]
        lines += ["", "## Evaluation", "", f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
        lines += map(_row, results)
    lines += ["", f"Written by facemargin {__version__}.", ""]
    return "\n".join(lines)


def _checked(check: QualityCheck | None) -> str:
    """What a check of the quality found, without the name of the faces, which may be a path."""
    if check is None:
        return ""
    faces = counted(check.images, "face") + ("" if check.people is None else f" of {check.people:,} people")
    return f", which is {check.shown}, checked on {faces}"


def _index_entry(result: Result) -> dict[str, Any]:
    return {
        "task": {"type": "face-verification"},
        "dataset": {"name": result.dataset, "type": result.dataset},
        "metrics": [{"type": name, "value": value} for name, value in result.figures.items() if value is not None],
    }


def _row(result: Result) -> str:
    cells = " | ".join(_cell(metric, result) for metric in _metrics())
    return f"| {result.dataset} | {result.genuine + result.impostors:,} | {cells} |"


def _cell(metric: Metric, result: Result) -> str:
    figure = result.figures.get(metric.name)
    return NOT_AVAILABLE if figure is None else metric.text(figure, result.genuine)
