"""MODEL on the command line: what `facemargin.load` takes, or FILE.py:NAME, a network of the user's own.

FILE.py is run, as `python FILE.py` would run it. Only the command line does that, for a file that its user names; no
file, folder or name that `facemargin.load` takes is ever run.
"""

import hashlib
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch

from facemargin.backbones.precision import Precision
from facemargin.commands._model_input import InputArguments
from facemargin.errors import ConfigError, FacemarginError
from facemargin.models.load import load, locate, named_code
from facemargin.models.model import Model

_FOLDERS: set[Path] = set()
"""Of the files that were run."""


def load_model(
    model: str | Path,
    device: str,
    args: InputArguments | None = None,
    precision: Precision | None = None,
    trust: bool = False,
) -> Model:
    """`load` with the input that was given; FILE.py:NAME is the Model in it, or what a function in it returns.

    Raises ConfigError for a file or name that is not there, that fails, or that is something else, and for options that
    do not apply to it.
    """
    args = args or InputArguments()
    code, given = named_code(model), args.given_input()
    if code is None:
        return load(model, device, family=args.family, trust=trust, precision=precision, **vars(given))
    for option, is_given in (
        ("--family", args.family),
        ("--layout", args.layout),
        ("--precision", precision == "bf16"),
        ("--trust", trust),
    ):
        if is_given:
            raise ConfigError(
                f"{option} does not apply to {model}: a network of your own computes as it was written. Remove {option}"
            )
    own = _model_in(model, *code)
    info = given.applied(own.info)
    return own.to(device) if info == own.info else Model(own.recognizer, info, device)


def file_key(model: str | Path) -> str:
    """A fingerprint of the file where it says more than the weights: of an ONNX model, whose weights cannot be read,
    and of a network of the user's own, which computes what its code says."""
    code = named_code(model)
    file = locate(model) if code is None else code[0]
    is_needed = code is not None or file.suffix == ".onnx"
    return hashlib.sha256(file.read_bytes()).hexdigest() if is_needed else ""


def short_name(model: Path) -> str:
    """The name of a model for the folder of its figures: "mine" of mine.safetensors, "mine-model" of mine.py:model."""
    code = named_code(model)
    return model.stem if code is None else f"{code[0].stem}-{code[1]}"


def _model_in(model: str | Path, file: Path, name: str) -> Model:
    if not name.isidentifier():
        raise ConfigError(
            f"{model} does not say which network: give the name of a Model in the file, or of a function that returns "
            f"one, as in {file}:model"
        )
    if not file.is_file():
        raise ConfigError(f"there is no file {file}, which {model} names")
    module = _run(file)
    if not hasattr(module, name):
        models = [key for key, value in vars(module).items() if isinstance(value, Model)]
        known = f"; it has {', '.join(models)}" if models else ""
        raise ConfigError(f"{file} has nothing called {name}{known}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, Model | torch.nn.Module | type):
        found = _call(file, f"{name}()", found)
        name += "()"
    if not isinstance(found, Model):
        given = found.__name__ if isinstance(found, type) else f"a {type(found).__name__}"
        raise ConfigError(
            f"{name} in {file} is {given}, expected a Model, or a function that returns one: wrap the network, as in "
            f"model = fm.wrap(network, input_size=112), which also says how it reads pixels"
        )
    return found


def _run(file: Path) -> ModuleType:
    name = f"own_network_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    _neighbours_of(file.parent.resolve())
    _call(file, "the file", lambda: spec.loader.exec_module(module))
    return module


def _neighbours_of(folder: Path) -> None:
    """Let what is run next import its neighbours, as a program can. Modules of their names that an earlier file
    imported from its own folder are forgotten, so that they are not taken for them."""
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    _FOLDERS.add(folder)
    namesakes = {name for name in sys.modules if _is_of_another(name, folder)}
    for name in [*sys.modules]:
        if name.partition(".")[0] in namesakes:
            del sys.modules[name]


def _is_of_another(module: str, folder: Path) -> bool:
    """Whether the module was imported from the folder of an earlier file, and `folder` has one of this name."""
    file = getattr(sys.modules[module], "__file__", None)
    places = [place for other in _FOLDERS - {folder} for place in _places(other, module)]
    return file is not None and Path(file) in places and any(place.exists() for place in _places(folder, module))


def _places(folder: Path, module: str) -> tuple[Path, Path]:
    """Where a module of this name may be."""
    return folder / f"{module}.py", folder / module / "__init__.py"


def _call(file: Path, what: str, function: object) -> object:
    """The result of somebody else's code. Raises ConfigError with the place of an error in their file."""
    assert callable(function)
    try:
        return function()
    except FacemarginError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
        where = f", line {lines[-1]}" if lines else ""
        message = str(error) or "no message"
        raise ConfigError(f"{what} in {file}{where} failed: {type(error).__name__}: {message}") from error
