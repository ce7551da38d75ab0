"""The differences of systems by a protocol as a file, from which the report shows them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemargin.errors import DataError
from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.metrics.paired_difference import TarDifference
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint
from facemargin.evaluation.plain import plain
from facemargin.evaluation.system_differences import SystemDifference, SystemDifferences
from facemargin.files.atomic import write_text_atomically


@dataclass(frozen=True)
class ProtocolDifferences:
    """The differences of `systems` on every experiment of a protocol that names its people, by the experiment's name;
    under the name "" why there are none."""

    systems: tuple[str, ...]
    experiments: Mapping[str, SystemDifferences]


def write_differences(path: Path, found: ProtocolDifferences) -> None:
    """Write a .json file. Numbers that are not finite become null."""
    write_text_atomically(path, json.dumps(plain(found), indent=2, allow_nan=False))


def read_differences(path: Path) -> ProtocolDifferences:
    """Read what `write_differences` wrote. Raises DataError, which names the file, for a malformed file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ProtocolDifferences(
            tuple(map(str, content["systems"])),
            {str(name): _differences(one) for name, one in content["experiments"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path} does not hold differences of systems: {error!r}. Delete it, or evaluate the systems together again"
        ) from error


def _differences(content: dict[str, Any]) -> SystemDifferences:
    rows = tuple(
        SystemDifference(str(row["first"]), str(row["second"]), _point(row["point"]), _share(row["adjusted_p"]))
        for row in content["rows"]
    )
    return SystemDifferences(rows, tuple(map(str, content["notes"])), _count(content["people"]))


def _point(content: dict[str, Any]) -> TarDifference:
    first, second = content["people"]
    return TarDifference(
        target_far=_share(content["target_far"]),
        difference=_within(content["difference"], -1, 1),
        interval=_interval(content["interval"]),
        p_value=_share(content["p_value"]),
        first=_operating_point(content["first"]),
        second=_operating_point(content["second"]),
        people=(_count(first), _count(second)),
        variance=_within(content["variance"], 0, 1),
        unbiased_variance=_number(content["unbiased_variance"]),
        scale=_number(content["scale"]),
        resamples=_count(content["resamples"]),
    )


def _operating_point(content: dict[str, Any]) -> OperatingPoint:
    return OperatingPoint(
        target_far=_share(content["target_far"]),
        far=_share(content["far"]),
        tar=_share(content["tar"]),
        threshold=_number(content["threshold"]),
        impostors_accepted=_count(content["impostors_accepted"]),
        impostors=_count(content["impostors"]),
        genuine=_count(content["genuine"]),
        interval=_interval(content["interval"]),
    )


def _interval(content: list[float] | None) -> Interval | None:
    if content is None:
        return None
    low, high = map(float, content)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"the interval from {low} to {high} is not finite")
    return low, high


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _share(value: float) -> float:
    return _within(value, 0, 1)


def _within(value: float, low: float, high: float) -> float:
    if not low <= (number := float(value)) <= high:
        raise ValueError(f"{number} is not from {low} to {high}")
    return number


def _count(value: int) -> int:
    if not 0 <= (number := int(value)) < 2**63:
        raise ValueError(f"{number} is no count")
    return number
