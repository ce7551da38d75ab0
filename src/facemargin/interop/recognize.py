"""Recognises the project of a checkpoint by its container, its keys and their shapes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from facemargin.counting import some_of
from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import StoredTensor
from facemargin.interop.family import FAMILIES, Family
from facemargin.interop.layouts import LAYOUTS, Layout, Tensors

# What wraps a network without saying whose it is: torch.compile, distributed training, and names that everybody gives.
_COMPILED = "_orig_mod."
_WRAPPERS = ("module.", "backbone.", "network.")
_USUAL_CONTAINERS = ("model", "net", "network", "backbone", "model_state_dict", "weights", "params")
_MOST_NETWORKS = 16
_AVERAGE = re.compile(r"(^|[._])(ema|swa|average|averaged)([._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A network's tensors in a checkpoint, without their `prefix`, and the names of the `others` in the container.
    `passed_over`: the places of other networks in the file."""

    container: str
    prefix: str
    layout: Layout
    tensors: Tensors
    others: tuple[str, ...]
    passed_over: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """ "state_dict/model.…"."""
        return "/".join(part for part in (self.container, self.prefix + "…") if part)

    @property
    def notes(self) -> list[str]:
        """A note about choices between several networks."""
        if not self.passed_over:
            return []
        others = " and ".join(map(repr, self.passed_over))
        return [
            f"it contains several networks: {self.place!r} is used, {others} left out (to load another network, "
            "save it alone)"
        ]


def recognize(content: Mapping[Any, Any], told: str | None = None) -> tuple[Found, Family]:
    """The network in a checkpoint and the family that it is of, `told` or by its container and keys.

    Raises CheckpointError, saying what was found and what it could be, where there is no known network, or it could be
    of several families or of none; ConfigError for a family that does not exist.
    """
    family = None if told is None else FAMILIES[told]
    found = find_network(content)
    fitting = [one for one in FAMILIES.values() if found.layout.name in one.layouts]
    names = ", ".join(one.name for one in fitting)
    if family is not None:
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
            f"it holds a network in the layout {found.layout.title} under {found.place!r}, which could be of "
            f"{names}: their networks read different colours or pixel values, so give the family with family= (on "
            "the command line --family)"
        )
    return found, likely[0]


def _is_likely(family: Family, found: Found) -> bool:
    has_quality = any(one.quality_keys.keys() & found.tensors.keys() for one in FAMILIES.values())
    container = found.container if found.container in _families_containers() else ""
    fits = _bare(found.prefix, family) in family.prefixes and container in family.containers
    return fits and bool(family.quality_keys) == has_quality


def _bare(prefix: str, family: Family) -> str:
    """The prefix without the wrappers that are not the family's own."""
    prefix = prefix.replace(_COMPILED, "")
    for wrapper in _WRAPPERS:
        if prefix not in family.prefixes:
            prefix = prefix.replace(wrapper, "")
    return prefix


def find_network(content: Mapping[Any, Any]) -> Found:
    """The network of a known layout in a checkpoint, and where there are several the one that lies where a family's
    does, else the one in a usual place, an average of weights last; CheckpointError where there is none, or it is open
    which."""
    found = [one for container in _containers(content) for one in _networks_in(content, container)]
    if not found:
        raise CheckpointError(_unknown(content))
    ranks = [_rank(one) for one in found]
    best = min(ranks)
    if ranks.count(best) > 1:
        places = " and ".join(sorted(repr(one.place) for one in found))
        raise CheckpointError(f"it contains several networks, under {places}: save the one that you want alone")
    chosen = found[ranks.index(best)]
    return replace(chosen, passed_over=tuple(one.place for one in found if one is not chosen))


def _containers(content: Mapping[Any, Any]) -> list[str]:
    return ["", *(key for key, value in content.items() if isinstance(key, str) and tensors_in(value))]


def _networks_in(content: Mapping[Any, Any], container: str) -> list[Found]:
    tensors = tensors_in(content if container == "" else content[container])
    found = []
    for layout in LAYOUTS:
        first = layout.markers[0]
        prefixes = [key.removesuffix(first) for key in tensors if key == first or key.endswith(f".{first}")]
        found += [
            (prefix, layout) for prefix in prefixes if all(prefix + marker in tensors for marker in layout.markers)
        ]
    if len(found) > _MOST_NETWORKS:
        raise CheckpointError(f"it holds {len(found)} networks, expected one: save the one that you want alone")
    networks = []
    for prefix, layout in found:
        # Without a prefix all keys are the network's but those of another one.
        inner = tuple(other for other, _ in found if other != prefix and other.startswith(prefix))
        own = [key for key in tensors if key.startswith(prefix) and not (inner and key.startswith(inner))]
        others = tuple(tensors.keys() - set(own))
        networks.append(
            Found(container, prefix, layout, {key.removeprefix(prefix): tensors[key] for key in own}, others)
        )
    return networks


def _rank(found: Found) -> tuple[bool, bool, bool]:
    """A smaller rank means that this is more probably the wanted network."""
    in_a_familys_place = any(
        found.layout.name in family.layouts
        and found.prefix.replace(_COMPILED, "") in family.prefixes
        and found.container in family.containers
        for family in FAMILIES.values()
    )
    in_a_usual_place = found.container in {*_families_containers(), *_USUAL_CONTAINERS} and any(
        _bare(found.prefix, family) in family.prefixes for family in FAMILIES.values()
    )
    return bool(_AVERAGE.search(f"{found.container}.{found.prefix}")), not in_a_familys_place, not in_a_usual_place


def _families_containers() -> set[str]:
    return {container for family in FAMILIES.values() for container in family.containers}


def tensors_in(content: object) -> dict[str, StoredTensor]:
    """The tensors of a mapping, by name."""
    if not isinstance(content, Mapping):
        return {}
    return {key: one for key, one in content.items() if isinstance(key, str) and isinstance(one, StoredTensor)}


def _unknown(content: Mapping[Any, Any]) -> str:
    """The message for a checkpoint without a known network: its content, and the most similar family."""
    tensors = tensors_in(content)
    inside = [f"{key}: {len(tensors_in(value))} tensors" for key, value in content.items() if tensors_in(value)]
    for key in list(content):
        tensors |= tensors_in(content[key])
    if not tensors:
        held = f"but {some_of(content)}" if content else "and nothing else"
        return f"it holds no tensors, {held}; expected a state dict of {', '.join(FAMILIES.names())}"
    shares = {layout: _share(layout, tensors) for layout in LAYOUTS}
    layout = max(shares, key=lambda name: shares[name])
    what = f"it holds {len(tensors)} tensors ({some_of(tensors)}{'; ' if inside else ''}{some_of(inside)})"
    if shares[layout] == 0:
        return f"{what}, which do not belong to any network that facemargin knows: {', '.join(FAMILIES.names())}"
    missing = [marker for marker in layout.markers if not any(key.endswith(marker) for key in tensors)]
    families = ", ".join(family.name for family in FAMILIES.values() if layout.name in family.layouts)
    return (
        f"{what}. The most similar network is {layout.title} ({families}): {shares[layout]:.0%} of the keys match; "
        + (f"{some_of(missing)} is missing" if missing else "not all of them under one prefix")
    )


def _share(layout: Layout, tensors: Tensors) -> float:
    return sum(layout.pattern.search(key) is not None for key in tensors) / len(tensors)
