"""The `facemargin` command: finds the verb, runs it, and turns its errors into one clear line."""

import importlib
import sys
from collections.abc import Sequence

from rich.console import Console

from facemargin.errors import FacemarginError
from facemargin.registry import unknown_name
from facemargin.version import __version__

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
    "list": "show margins, backbones, recipes and protocols",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. 2: bad usage or input, 130: interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(_usage(), highlight=False, markup=False)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        Console().print(f"facemargin {__version__}", highlight=False)
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        console.print(unknown_name("command", verb, VERBS), highlight=False, markup=False, soft_wrap=True)
        return 2
    # Imported late: `facemargin list` should not wait for what only training needs.
    name = f"facemargin.commands.{'listing' if verb == 'list' else verb.replace('-', '_')}"
    try:
        return importlib.import_module(name).main(rest)
    except (FacemarginError, OSError) as error:  # OSError: a folder that may not be written to, a full disk
        console.print(f"facemargin {verb}: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb.ljust(width)}  {what}" for verb, what in VERBS.items()]
    return "\n".join(["usage: facemargin COMMAND …", "", *lines, "", "facemargin COMMAND --help says more."])


if __name__ == "__main__":
    sys.exit(main())
