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

# Prefixes that say nothing about the project: of torch.compile, distributed training, and names that many projects use.
_COMPILED = "_orig_mod."
_WRAPPERS = ("module.", "backbone.", "network.")
_USUAL_CONTAINERS = ("model", "net", "network", "backbone", "model_state_dict", "weights", "params")
_MOST_NETWORKS = 16
_AVERAGE = re.compile(r"(^|[._])(ema|swa|average|averaged)([._]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class FoundNetwork:
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


def recognize(content: Mapping[Any, Any], told: str | None = None) -> tuple[FoundNetwork, Family]:
    """The network in a checkpoint and its family, which is the one called `told` or is recognised from the container
    and the keys.

    Raises CheckpointError if there is no known network, or if it could belong to several families or to none (the
    message says what was found and what it could be), and ConfigError for an unknown family.
    """
    family = None if told is None else FAMILIES[told]
    network = find_network(content)
    fitting = [family for family in FAMILIES.values() if network.layout.name in family.layouts]
    names = ", ".join(family.name for family in fitting)
    if family is not None:
        if family not in fitting:
            raise CheckpointError(
                f"it holds a network in the layout {network.layout.title}, which {family.title} does not use; "
                f"families that do: {names}"
            )
        if missing := family.quality_keys.keys() - network.tensors.keys():
            raise CheckpointError(f"{family.title} has a quality layer, but {some_of(missing)} is missing")
        return network, family
    likely = [candidate for candidate in fitting if _is_likely(candidate, network)]
    if len(likely) != 1:
        raise CheckpointError(
            f"it holds a network in the layout {network.layout.title} under {network.place!r}, which could be of "
            f"{names}: their networks read different colours or pixel values, so give the family with family= (on "
            "the command line --family)"
        )
    return network, likely[0]


def _is_likely(family: Family, network: FoundNetwork) -> bool:
    has_quality = any(candidate.quality_keys.keys() & network.tensors.keys() for candidate in FAMILIES.values())
    container = network.container if network.container in _families_containers() else ""
    fits = _bare(network.prefix, family) in family.prefixes and container in family.containers
    return fits and bool(family.quality_keys) == has_quality


def _bare(prefix: str, family: Family) -> str:
    """The prefix without the wrappers that are not the family's own."""
    prefix = prefix.replace(_COMPILED, "")
    for wrapper in _WRAPPERS:
        if prefix not in family.prefixes:
            prefix = prefix.replace(wrapper, "")
    return prefix


def find_network(content: Mapping[Any, Any]) -> FoundNetwork:
    """The network of a known layout in a checkpoint.

    If there are several, the one in the place where a family has it is chosen, otherwise the one in a usual place. An
    average of weights is only chosen if there is nothing else. Raises CheckpointError if there is no network or if
    several are equally probable.
    """
    networks = [network for container in _containers(content) for network in _networks_in(content, container)]
    if not networks:
        raise CheckpointError(_unknown(content))
    ranks = [_rank(network) for network in networks]
    best = min(ranks)
    if ranks.count(best) > 1:
        places = " and ".join(sorted(repr(network.place) for network in networks))
        raise CheckpointError(f"it contains several networks, under {places}: save the one that you want alone")
    chosen = networks[ranks.index(best)]
    return replace(chosen, passed_over=tuple(network.place for network in networks if network is not chosen))


def _containers(content: Mapping[Any, Any]) -> list[str]:
    return ["", *(key for key, value in content.items() if isinstance(key, str) and tensors_in(value))]


def _networks_in(content: Mapping[Any, Any], container: str) -> list[FoundNetwork]:
    tensors = tensors_in(content if container == "" else content[container])
    places = []
    for layout in LAYOUTS:
        first = layout.markers[0]
        prefixes = [key.removesuffix(first) for key in tensors if key == first or key.endswith(f".{first}")]
        places += [
            (prefix, layout) for prefix in prefixes if all(prefix + marker in tensors for marker in layout.markers)
        ]
    if len(places) > _MOST_NETWORKS:
        raise CheckpointError(f"it holds {len(places)} networks, expected one: save the one that you want alone")
    networks = []
    for prefix, layout in places:
        # Without a prefix all keys are the network's but those of another one.
        inner = tuple(other for other, _ in places if other != prefix and other.startswith(prefix))
        keys = [key for key in tensors if key.startswith(prefix) and not (inner and key.startswith(inner))]
        others = tuple(tensors.keys() - set(keys))
        networks.append(
            FoundNetwork(container, prefix, layout, {key.removeprefix(prefix): tensors[key] for key in keys}, others)
        )
    return networks


def _rank(network: FoundNetwork) -> tuple[bool, bool, bool]:
    """A smaller rank means that this is more probably the wanted network."""
    in_a_familys_place = any(
        network.layout.name in family.layouts
        and network.prefix.replace(_COMPILED, "") in family.prefixes
        and network.container in family.containers
        for family in FAMILIES.values()
    )
    in_a_usual_place = network.container in {*_families_containers(), *_USUAL_CONTAINERS} and any(
        _bare(network.prefix, family) in family.prefixes for family in FAMILIES.values()
    )
    return bool(_AVERAGE.search(f"{network.container}.{network.prefix}")), not in_a_familys_place, not in_a_usual_place


def _families_containers() -> set[str]:
    return {container for family in FAMILIES.values() for container in family.containers}


def tensors_in(content: object) -> dict[str, StoredTensor]:
    """The tensors of a mapping, by name."""
    if not isinstance(content, Mapping):
        return {}
    return {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, StoredTensor)}


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
