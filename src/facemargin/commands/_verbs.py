"""The verbs of the command line."""

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
    "list": "show margins, backbones, recipes and protocols",
}


def module_of(verb: str) -> str:
    """The module that runs a verb."""
    return f"facemargin.commands.{verb.replace('-', '_')}"
