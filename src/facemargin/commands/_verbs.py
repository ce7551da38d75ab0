"""The verbs of the command line, from this package and from plugins."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, get_type_hints

from facemargin.registry import Registry

# {verb: its description}. Each is a module of facemargin.commands with a function `main(arguments) -> exit code`.
VERBS = {
    "demo": "let a released recogniser decide, train FunFace on embedded faces, evaluate it, write a report",
    "train": "train a recipe: facemargin train RECIPE --output runs/name [--field value …]",
    "evaluate": "score a trained model on verification sets and compare with baselines",
    "detect": "find the faces in photographs: boxes, scores, landmarks",
    "align": "cut the faces out of photographs and align them for recognisers",
    "embed": "write the embeddings, norms and qualities of images to a file",
    "quality": "list the quality of images for recognition, worst first",
    "calibrate": "measure a model's thresholds on verification pairs, for facemargin verify",
    "certify": "find thresholds whose error rates can be promised for people whom nobody has tested",
    "verify": "decide whether two images show the same person, or are too poor to decide",
    "gallery": "enrol people and find them again: gallery create, enrol, identify, list, remove, verify, export",
    "serve": "answer over HTTP as the verbs do: verify, embed, quality, galleries; serve key makes keys",
    "cluster": "group images of unknown people by person",
    "convert": "write a training set in another format: facemargin convert SRC DST --to webdataset",
    "audit": "find wrong labels, copies and pictures of nobody in a training set, from a model or a recording",
    "data": "describe a training set, decide on the findings of its audit, clean it: data inspect, review, clean",
    "models": "list the released models that can be loaded by name, and fetch them",
    "convert-weights": "convert another project's checkpoint to facemargin's own model file",
    "check-model": "test whether a model gets the colours and pixel values that it expects",
    "push": "write a model card and upload a model to the Hugging Face Hub",
    "export": "write a model as an ONNX file, checked on real faces",
    "make-pairs": "write a verification set of your own faces",
    "degrade": "write a low-quality copy of a verification set: blurred, small, noisy, …",
    "reconstruct": "reconstruct depth, albedo, light and view of faces, and draw them relit and turned",
    "compare": "train several heads with several seeds and compare them: facemargin compare RECIPE --heads …",
    "replay": "compute what other margins would have made of a recorded training",
    "plan": "compute what a training, an embedding or a gallery would need: memory, machines and time",
    "report": "write the HTML report of a run or an evaluation",
    "completion": "complete verbs, recipes and options in your shell",
    "list": "show what there is to choose from: margins, backbones, recipes, protocols, data formats, …",
}

RunVerb = Callable[[Any], int]
"""A function whose parameter is annotated with a dataclass. It gets an instance of it, the arguments, and returns the
exit code."""

_ADDED: Registry[RunVerb] = Registry("command", plural="verbs")


def register_verb(name: str, description: str) -> Callable[[RunVerb], RunVerb]:
    """Decorator that makes a function a verb, `facemargin NAME …`. The function has one parameter, annotated with a
    dataclass: its fields are the options, and their docstrings are the help. It returns the exit code."""
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
    """Run a verb and return its exit code. Only the modules that the verb needs are imported, so that `facemargin list`
    does not wait for those of training."""
    if verb in VERBS:
        code: int = import_module(_module_of(verb)).main(arguments)
        return code
    from facemargin.commands._arguments import parse

    return _ADDED[verb](parse(arguments_class(verb), verb, arguments))


def _module_of(verb: str) -> str:
    return f"facemargin.commands.{verb.replace('-', '_')}"
