"""CVLface's model.yaml, which lies beside the weights and says the colour order.

CVLface's wrapper always takes RGB and turns it round itself where model.yaml says BGR, so that is what the network
reads.
"""

from pathlib import Path

from facemargin.errors import CheckpointError
from facemargin.interop.family import ColorOrder

_LONGEST_CONFIG = 2**16


def declared_order(path: Path) -> tuple[ColorOrder, str]:
    """The colour order in the model.yaml next to the weights (RGB without this file), and a note about it. Raises
    CheckpointError if the file has another value."""
    folders = (path.parent, path.parent / "pretrained_model")
    config = next((folder / "model.yaml" for folder in folders if (folder / "model.yaml").is_file()), None)
    if config is None:
        return "RGB", f"there is no model.yaml with the colour order next to {path.name}: RGB is assumed"
    import yaml  # imported here, so that importing facemargin does not wait for it

    try:
        with config.open("rb") as file:
            content = yaml.safe_load(file.read(_LONGEST_CONFIG))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise CheckpointError(f"{config} cannot be read: {error}") from error
    order = content.get("color_space", "RGB") if isinstance(content, dict) else None
    if order not in ("RGB", "BGR"):
        shown = repr(order)[:80] if isinstance(order, str) else type(order).__name__  # aliases make huge lists
        raise CheckpointError(f"{config}: color_space is {shown}, expected RGB or BGR")
    return order, f"{config.name} says {order}"
