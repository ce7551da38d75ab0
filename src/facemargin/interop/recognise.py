"""Whose checkpoint a file is: from its container, its keys and their shapes, or as one is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.adaface import ADAFACE
from facemargin.interop.crfiqa import CRFIQA
from facemargin.interop.cvlface import CVLFACE
from facemargin.interop.family import Family
from facemargin.interop.funface import FUNFACE
from facemargin.interop.insightface import INSIGHTFACE
from facemargin.interop.layouts import LAYOUTS, Layout, Tensors
from facemargin.interop.magface import MAGFACE
from facemargin.interop.stored_tensor import StoredTensor
from facemargin.interop.torch_zip import some_of
from facemargin.registry import unknown_name

FAMILIES = {one.name: one for one in (ADAFACE, FUNFACE, CVLFACE, INSIGHTFACE, MAGFACE, CRFIQA)}

_CONTAINERS = ("state_dict", "state_dict_backbone", "")
_PREFIXES = sorted({prefix for family in FAMILIES.values() for prefix in family.prefixes}, key=len, reverse=True)


@dataclass(frozen=True)
class Found:
    """A network's tensors in a checkpoint, without their `prefix`, and the names of the `others` in the container."""

    container: str
    prefix: str
    layout: Layout
    tensors: Tensors
    others: tuple[str, ...]


def recognise(content: Mapping[Any, Any], told: str | None = None) -> tuple[Found, Family]:
    """The network in a checkpoint and the family that it is of, `told` or by its container and keys.

    Raises CheckpointError, saying what was found and what it could be, where there is no known network, or it could be
    of several families or of none; ConfigError for a family that does not exist.
    """
    if told is not None and told not in FAMILIES:
        raise ConfigError(unknown_name("family", told, list(FAMILIES)))
    found = find_network(content)
    fitting = [one for one in FAMILIES.values() if found.layout.name in one.layouts]
    names = ", ".join(one.name for one in fitting)
    if told is not None:
        family = FAMILIES[told]
        if family not in fitting:
            raise CheckpointError(
                f"it holds a network in the layout {found.layout.title}, which {family.title} does not use; "
                f"families that do: {names}"
            )
        if missing := family.quality_keys.keys() - found.tensors.keys():
            raise CheckpointError(f"{family.title} has a quality layer, but {some_of(missing)} is missing")
        return found, family
    likely = [one for one in fitting if _is_likely(one, found)]
    if len(likely) != 1:
        raise CheckpointError(
            f"it holds a network in the layout {found.layout.title} under {_place(found)}, which could be of "
            f"{names}: they want other colours or pixels, so say which with family= (on the command line --family)"
        )
    return found, likely[0]


def _is_likely(family: Family, found: Found) -> bool:
    has_quality = bool(CRFIQA.quality_keys.keys() & found.tensors.keys())
    fits = found.prefix in family.prefixes and found.container in family.containers
    return fits and bool(family.quality_keys) == has_quality


def find_network(content: Mapping[Any, Any]) -> Found:
    """The one network of a known layout in a checkpoint; CheckpointError where there is none, or more than one."""
    found = []
    for container in _CONTAINERS:
        inner = content if container == "" else content.get(container)
        tensors = tensors_in(inner)
        for prefix in _PREFIXES:
            for layout in LAYOUTS:
                if all(prefix + marker in tensors for marker in layout.markers):
                    own = {key.removeprefix(prefix): one for key, one in tensors.items() if key.startswith(prefix)}
                    others = tuple(key for key in tensors if not key.startswith(prefix))
                    found.append(Found(container, prefix, layout, own, others))
    if not found:
        raise CheckpointError(_unknown(content))
    if len(found) > 1:
        places = " and ".join(_place(one) for one in found)
        raise CheckpointError(f"it holds more than one network, under {places}: save the one you want by itself")
    return found[0]


def tensors_in(content: object) -> dict[str, StoredTensor]:
    """The tensors of a mapping, by name."""
    if not isinstance(content, Mapping):
        return {}
    return {key: one for key, one in content.items() if isinstance(key, str) and isinstance(one, StoredTensor)}


def _place(found: Found) -> str:
    return repr("/".join(part for part in (found.container, found.prefix + "…") if part))


def _unknown(content: Mapping[Any, Any]) -> str:
    """What a checkpoint without a known network holds, and whose it resembles."""
    tensors = tensors_in(content)
    inside = [f"{key}: {len(tensors_in(value))} tensors" for key, value in content.items() if tensors_in(value)]
    for key in list(content):
        tensors |= tensors_in(content[key])
    if not tensors:
        return f"it holds no tensors, but {some_of(content)}; expected a state dict of {', '.join(FAMILIES)}"
    shares = {layout: _share(layout, tensors) for layout in LAYOUTS}
    layout = max(shares, key=lambda one: shares[one])
    what = f"it holds {len(tensors)} tensors ({some_of(tensors)}{'; ' if inside else ''}{some_of(inside)})"
    if shares[layout] == 0:
        return f"{what}, which are of none of the networks that facemargin knows: {', '.join(FAMILIES)}"
    missing = [marker for marker in layout.markers if not any(key.endswith(marker) for key in tensors)]
    families = ", ".join(one.name for one in FAMILIES.values() if layout.name in one.layouts)
    return (
        f"{what}. The nearest known is {layout.title} ({families}), whose keys {shares[layout]:.0%} of them resemble; "
        + (f"{some_of(missing)} is missing" if missing else "they have another prefix")
    )


def _share(layout: Layout, tensors: Tensors) -> float:
    return sum(layout.pattern.search(key) is not None for key in tensors) / len(tensors)
