"""The verbs of the command line: of this package, and what plugins add."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, get_type_hints

from facemargin.registry import Registry

# verb -> what it does; each is a module of facemargin.commands with a `main(arguments) -> exit code`.
VERBS = {
    "demo": "train FunFace on the embedded faces, evaluate on people it never saw, write a report",
    "train": "train a recipe: facemargin train RECIPE --output runs/name [--field value …]",
    "evaluate": "score a trained model on verification sets and compare with baselines",
    "detect": "find the faces in photographs: boxes, scores, landmarks",
    "align": "cut the faces out of photographs, as recognisers read them",
    "embed": "write the embeddings, norms and qualities of images to a file",
    "quality": "say how good images are for recognition, worst first",
    "calibrate": "find a model's thresholds on verification pairs, for facemargin verify",
    "verify": "say whether two images show the same person, or are too poor to decide",
    "convert": "write a training set in another format: facemargin convert SRC DST --to webdataset",
    "data": "say what is in a training set: identities, sizes, corrupt and duplicate images",
    "convert-weights": "read another project's checkpoint and write it as facemargin's own model file",
    "check-model": "say whether a model reads the colours and pixels that it says it does",
    "push": "write a model card and upload a model to the Hugging Face Hub",
    "export": "write a model as an ONNX file, checked on real faces",
    "make-pairs": "write a verification set of your own faces",
    "degrade": "write a low-quality twin of a verification set: blurred, small, noisy, …",
    "reconstruct": "take faces apart into depth, albedo, light and view, and draw them relit and turned",
    "compare": "train several heads with several seeds alike and compare them: facemargin compare RECIPE --heads …",
    "plan": "say what a training would need: memory, communication and time per step, before there is a machine",
    "report": "write the HTML report of a run or an evaluation",
    "completion": "complete verbs, recipes and options in your shell",
    "list": "show what there is to choose from: margins, backbones, recipes, protocols, data formats, …",
}

RunVerb = Callable[[Any], int]
"""Takes the arguments, an instance of the dataclass that its parameter is annotated with; returns the exit code."""

_ADDED: Registry[RunVerb] = Registry("command", plural="verbs")


def register_verb(name: str, description: str) -> Callable[[RunVerb], RunVerb]:
    """Decorator that makes a function a verb: `facemargin NAME …`. The fields of the dataclass that its one parameter
    is annotated with become its options, their docstrings the help, and what it returns the exit code."""
    if name in VERBS:
        raise ValueError(f"command {name!r} is facemargin's own")
    return _ADDED.register(name, description=description)


def list_verbs() -> dict[str, str]:
    """Every verb and what it does, in the order of the help."""
    return VERBS | {name: _ADDED.description(name) for name in _ADDED.names()}


def arguments_class(verb: str) -> type[Any]:
    """The dataclass whose fields are a verb's options."""
    if verb in VERBS:
        cls: type[Any] = import_module(_module_of(verb)).Arguments
        return cls
    hints = get_type_hints(_ADDED[verb])
    hints.pop("return", None)
    (cls,) = hints.values()
    return cls


def run_verb(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb; returns the exit code. Imports what it needs, and nothing before: `facemargin list` should not wait
    for what only training needs."""
    if verb in VERBS:
        code: int = import_module(_module_of(verb)).main(arguments)
        return code
    from facemargin.commands._arguments import parse

    return _ADDED[verb](parse(arguments_class(verb), verb, arguments))


def _module_of(verb: str) -> str:
    return f"facemargin.commands.{verb.replace('-', '_')}"
