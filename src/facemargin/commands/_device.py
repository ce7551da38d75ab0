"""The options of the device that computes, for every verb that runs a model."""

from dataclasses import dataclass
from pathlib import Path

from facemargin.backbones.precision import Precision
from facemargin.commands._model_input import InputArguments
from facemargin.commands._own_network import load_model
from facemargin.commands._say import say
from facemargin.errors import ConfigError
from facemargin.models.model import Model
from facemargin.models.read_ahead import most_readers


@dataclass(frozen=True, kw_only=True)
class DeviceArguments:
    """Where a verb computes."""

    device: str = "auto"
    """The device that computes: auto (a GPU where there is one, else the CPU), cpu, cuda, or cuda:1 for the second
    GPU."""


@dataclass(frozen=True, kw_only=True)
class ComputingArguments(DeviceArguments, InputArguments):
    """Where and how exactly a verb embeds."""

    precision: Precision | None = None
    """The precision of the convolutions: float32, bf16, or auto, which is bf16 wherever the device has instructions
    for it. By default a GPU that has them computes in bf16, and the CPU in float32."""

    def require_defaults(self, model: Path) -> None:
        """Raises ConfigError for options that would have no effect on a file of embeddings."""
        given = [("--device", self.device != "auto"), ("--precision", self.precision is not None)]
        for name in [*(name for name, is_given in given if is_given), *self.options_given()]:
            raise ConfigError(
                f"{model} contains embeddings instead of a model, so {name} does not apply: remove {name}"
            )


def check_batch_size(given: int | None) -> None:
    """Raise ConfigError for a batch size below 1."""
    if given is not None and given < 1:
        raise ConfigError(f"--batch-size is {given}, expected at least 1")


def load_on_device(model: str | Path, args: DeviceArguments, trust: bool = False) -> Model:
    """`load_model`, on the chosen device and with the input that was given. Says on stderr where the model computes,
    except on the CPU in float32."""
    if isinstance(args, ComputingArguments):
        loaded = load_model(model, args.device, args, args.precision, trust)
    else:
        loaded = load_model(model, args.device, trust=trust)
    if loaded.where() != "cpu, float32":
        say(f"{model} computes on {loaded.where()}; {_reading(loaded)}", stderr=True)
    return loaded


def _reading(model: Model) -> str:
    readers = most_readers(model.device)
    who = "1 thread reads" if readers == 1 else f"up to {readers} threads read"
    return f"{who} images, {model.batch_size} at a time"
