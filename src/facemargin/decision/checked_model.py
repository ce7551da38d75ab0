"""What is known of a model's quality: the check that was made of it, stored in a JSON file and found again with the
model.

A check lies in the run folder, or beside the model's file. Of a model that has neither, one that is loaded by its name
or from the Hub, it lies in the cache; some released models come with one.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.decision.shipped import shipped
from facemargin.errors import DataError
from facemargin.evaluation.checked_quality import QualityCheck, check_from_json
from facemargin.evaluation.folder import slug
from facemargin.files.atomic import write_text_atomically
from facemargin.files.cache import cache_folder
from facemargin.interop import hub
from facemargin.models.load import is_released, named_code
from facemargin.models.model import Model
from facemargin.models.views import Views

FORMAT = "facemargin quality check 1"
CHECK_FILE = "quality_check.json"

_RUNS_MODEL = "model.safetensors"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedModel:
    """The `checks` of one model by the name of the measure, such as "norm". `fingerprint` identifies the model, with
    these `views` of every image."""

    fingerprint: list[float]
    views: Views
    checks: dict[str, QualityCheck]

    @classmethod
    def of(cls, model: Model, checks: Mapping[str, QualityCheck], views: Views | None = None) -> "CheckedModel":
        used = views or model.info.views
        return cls(fingerprint(model, used), used, dict(checks))

    def belongs_to(self, model: Model) -> bool:
        """Whether this model was checked: by its answers, whatever file it is from."""
        return is_same_model(fingerprint(model, self.views), self.fingerprint)

    def save(self, path: Path | str) -> None:
        """Write to a .json file that `load` reads back. It is written completely or not at all."""
        checks = {name: json.loads(check.to_json()) for name, check in self.checks.items()}
        content = {"format": FORMAT, "views": self.views, "fingerprint": self.fingerprint, "checks": checks}
        write_text_atomically(Path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> "CheckedModel":
        """Read a file of `save`. Raises DataError, which names the file, for any other file."""
        try:
            return _from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise DataError(f"{path} cannot be read as a quality check: {error.strerror}") from error
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            problem = error if isinstance(error, ValueError) else repr(error)
            raise DataError(
                f"{path} cannot be read as a quality check of facemargin: {problem}; facemargin quality --check writes "
                "one"
            ) from error


def check_place(path: Path | str) -> Path:
    """Where the check of the model that is loaded from `path` is stored, whether there is one or not."""
    file = Path(path)
    if (code := named_code(path)) is not None:
        return code[0].with_name(f"{code[0].stem}-{code[1]}.{CHECK_FILE}")  # Windows allows no colon
    if is_released(path) or str(path).startswith(hub.PREFIX):
        return cache_folder() / "quality_checks" / f"{slug(str(path))}.json"
    if file.is_dir():
        return file / CHECK_FILE
    return file.with_name(CHECK_FILE if file.name == _RUNS_MODEL else f"{file.name}.{CHECK_FILE}")


def find_check(path: Path | str, model: Model, measure: str | None = None) -> QualityCheck | None:
    """The check of a measure of `model`, which was loaded from `path`: by default of its own. None if there is none."""
    measure = measure or model.info.quality
    return find_checks(path, model, [measure]).get(measure)


def find_checks(path: Path | str, model: Model, measures: Sequence[str]) -> dict[str, QualityCheck]:
    """The checks of those of the `measures` of `model`, which was loaded from `path`, that have one. A check of another
    model, as after further training, is none, of which a warning says."""
    checks: dict[str, QualityCheck] = {}
    place = check_place(path)
    if place.is_file():
        stored = CheckedModel.load(place)
        if not stored.belongs_to(model):
            logger.warning(
                "%s is about another model, or about this one before it changed: check its quality again with "
                "facemargin quality --check", place,
            )  # fmt: skip
        else:
            checks = stored.checks
    if not set(measures) <= checks.keys() and (with_package := shipped_check(model)) is not None:
        checks = with_package.checks | checks
    return {name: checks[name] for name in measures if name in checks}


def earlier_checks(place: Path, model: Model, views: Views | None) -> dict[str, QualityCheck]:
    """The checks in the file `place`, by measure, which stay true when others of the same model and views are added.
    Empty if there are none, or if the file is of another model or other views or cannot be read, of which a warning
    says."""
    if not place.is_file():
        return {}
    try:
        stored = CheckedModel.load(place)
    except DataError as error:
        logger.warning("%s. It is replaced", error)
        return {}
    if not stored.belongs_to(model):
        of_what = "another model, or of this one before it changed"
    elif stored.views != (views or model.info.views):
        of_what = f"the model with --views {stored.views}"
    else:
        return stored.checks
    logger.warning("the checks in %s (%s) are of %s, and are replaced", place, ", ".join(stored.checks), of_what)
    return {}


def shipped_check(model: Model) -> CheckedModel | None:
    """The check that comes with the package for this model; None for any other model."""
    return shipped("quality_checks", model, _from_json)


def _from_json(content: dict[str, Any]) -> CheckedModel:
    """ValueError, TypeError, LookupError or AttributeError for the content of another file."""
    if content["format"] != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    values = content["fingerprint"]
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError("the fingerprint is not a list of numbers")
    if content["views"] not in get_args(Views):
        raise ValueError(f"views is {content['views']!r}")
    checks = {str(name): check_from_json(check) for name, check in content["checks"].items()}
    return CheckedModel(values, content["views"], checks)
