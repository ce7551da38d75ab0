"""What a recipe says: every field of a training run, typed.

`head` and `backbone` are dataclasses of their own, made from what the margin and the network of that name take (see
recipe.py), so that `head.margin` or `backbone.width` are checked like every other field.
"""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Literal

import tyro

from facemargin.data.augmentation_config import AugmentationConfig
from facemargin.data.synthetic_identities import SyntheticIdentity
from facemargin.errors import ConfigError
from facemargin.heads.row_optimizer import UnsampledRows
from facemargin.quality import QualityName
from facemargin.quality.crfiqa import RatioDefinition
from facemargin.reconstruction import ReconstructionConfig

# A batch norm over one image has no variance.
SMALLEST_PASS = 2

NoDecay = Literal["norms", "one_dimensional", "nothing"]

_SMALLEST_VALUES = {
    "epochs": 1,
    "batch_size": SMALLEST_PASS,
    "accumulation_steps": 1,
    "checkpoint.keep": 1,
    "checkpoint.every_steps": 0,
    "logging.every_steps": 1,
    "data.workers": 0,
    "optimizer.learning_rate": 0,
    "optimizer.momentum": 0,
    "optimizer.weight_decay": 0,
    "schedule.warmup_epochs": 0,
    "gradient_clip": 0,
    "quality.weight": 0,
    "quality.beta": 0,
    "validation.every_epochs": 0,
    "threads": 0,
    "seed": 0,
}


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """name: a margin of `facemargin list`; its own settings follow beside it.

    implementation: how the product with all centres is computed, "auto", "eager", "chunked", "recomputed" or "triton".
    centre_initialisation: "unit" or "normal"; None takes what the margin's authors use.
    sample_rate: the share of its classes that each process sees in a step, its positives first (PartialFC); 1 is all.
    unsampled_rows: what becomes of the other centres in such a step, "frozen" (nothing, PartialFC's way) or "exact"
    (weight decay and momentum as in dense SGD). exact_hardest_negative: over all centres all the same, for FunFace.
    """

    name: str = "funface"
    implementation: str = "auto"
    centre_initialisation: Literal["unit", "normal"] | None = None
    sample_rate: float = 1.0
    unsampled_rows: UnsampledRows = "frozen"
    exact_hardest_negative: bool = False


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """name: a backbone of `facemargin list`; its own options follow beside it. embedding_size: D."""

    name: str = "ir_50"
    embedding_size: int = 512


@dataclass(frozen=True, kw_only=True)
class InitialConfig:
    """weights: a model that training starts from instead of from random weights, in any form that `fm.load` takes.
    family: whose it is, where that cannot be told.

    head: class centres, and the margin's statistics, of the same training set: a run's head.safetensors, AdaFace's or
    MagFace's checkpoint, InsightFace's softmax_fc_gpu_0.pt.
    """

    weights: Annotated[str, tyro.conf.arg(aliases=("--initial-weights",))] = ""
    head: Annotated[str, tyro.conf.arg(aliases=("--initial-head",))] = ""
    family: str | None = None


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """name: what the model takes for an image's quality, "norm" for its feature's norm, or "crfiqa" for a layer that
    learns to predict the certainty ratio beside any margin (see quality/crfiqa.py); the rest is that layer's.

    weight, beta: λ and β of its smooth L1 loss. target: which certainty ratio, "paper" or "code"; with few classes the
    code's is wild, which is why it is not the default.
    """

    name: QualityName = "norm"
    weight: float = 10.0
    beta: float = 0.5
    target: RatioDefinition = "paper"


@dataclass(frozen=True, kw_only=True)
class FaceReconstructionConfig(ReconstructionConfig):
    """mode: "none"; "joint", whose recogniser reads the canonical face and depth beside the image and is trained
    together with the networks that make them; or "alone", which trains these and no recogniser: `head`, and `backbone`
    but for its input_size, are then left aside. The rest: see reconstruction/config.py.
    """

    mode: Literal["none", "joint", "alone"] = "none"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """train: a data set, by path or name ("orl:1-30"). workers: processes that read and augment, 0 for none.

    synthetic_identities: add every face changed, as another person, for small sets: "mirrored", "negative",
    "upside_down" (see data/synthetic_identities.py).
    cache_decoded: keep decoded images in memory, for sets that fit. augment_on: where the augmentation's draws are
    applied, on the "cpu" by the workers or on the "device" batch by batch; "auto" is the device where it is a GPU.
    """

    train: str = ""
    workers: int = 2
    synthetic_identities: tuple[SyntheticIdentity, ...] = ()
    cache_decoded: bool = False
    augment_on: Literal["auto", "cpu", "device"] = "auto"


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """name: "sgd" (with momentum) or "adamw". no_decay: what weight_decay spares, "norms" (batch norms' weights and
    biases), "one_dimensional" (these, PReLUs and all biases) or "nothing".
    """

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    no_decay: NoDecay = "one_dimensional"


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over time, in epochs: a linear warm-up, then

    "step": × gamma at each of `milestones`; "polynomial": (1 − progress)^power; "cosine": half a cosine; the last two
    fall to `final` × the learning rate at the end.
    """

    name: Literal["step", "polynomial", "cosine"] = "step"
    warmup_epochs: float = 0.0
    milestones: tuple[float, ...] = (12.0, 20.0, 24.0)
    gamma: float = 0.1
    power: float = 2.0
    final: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """data: verification sets, by path or name, scored every `every_epochs` epochs and at the end; 0 only at the end.

    views: which versions of each image are averaged, "one", "flip" or "multi" (see inference/views.py); the saved model
    uses the same by default.
    """

    data: tuple[str, ...] = ()
    every_epochs: int = 1
    views: Literal["one", "flip", "multi"] = "flip"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """every_steps: optimizer steps between checkpoints, 0 for one an epoch. keep: how many of the newest stay."""

    every_steps: int = 0
    keep: int = 2


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """every_steps: optimizer steps between rows of metrics.csv. tensorboard: also write TensorBoard events."""

    every_steps: int = 50
    tensorboard: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    batch_size: images per optimizer step, of all processes together, split into `accumulation_steps` equal passes.
    precision: the autocast type; "auto" is bf16 where the processor computes in it and float32 elsewhere; float64, for
    checks, is that of the weights. gradient_clip: largest gradient norm, 0 for
    none. ema_decay: the model that is saved and evaluated is a running average of the weights with this decay per step,
    0 for the weights themselves. threads: CPU threads, 0 for the machine's own choice.
    """

    head: HeadConfig = field(default_factory=HeadConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    initial: InitialConfig = field(default_factory=InitialConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    reconstruction: FaceReconstructionConfig = field(default_factory=FaceReconstructionConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    epochs: int = 24
    batch_size: int = 512
    accumulation_steps: int = 1
    precision: Literal["auto", "float64", "float32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    gradient_clip: float = 0.0
    ema_decay: float = 0.0
    threads: int = 0
    device: str = "auto"
    seed: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST_VALUES.items():
            value = attrgetter(name)(self)
            if not value >= smallest:
                raise ConfigError(f"{name} is {value}, expected at least {smallest}")
        if self.batch_size % self.accumulation_steps:
            raise ConfigError(
                f"batch_size {self.batch_size} is not a multiple of accumulation_steps {self.accumulation_steps}"
            )
        if self.batch_size // self.accumulation_steps < SMALLEST_PASS:
            raise ConfigError(
                f"batch_size {self.batch_size} in {self.accumulation_steps} accumulation_steps leaves one image "
                f"a pass, over which a batch norm has no variance: expected at least {SMALLEST_PASS}"
            )
        if "mirrored" in self.data.synthetic_identities and self.augmentation.flip > 0:
            raise ConfigError(
                f"augmentation.flip is {self.augmentation.flip} beside data.synthetic_identities with mirrored people: "
                "a flipped image would carry its twin's label; set augmentation.flip to 0 or leave mirrored out"
            )
        if self.reconstruction.mode == "alone":
            self._refuse_what_needs_a_recogniser()
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}, expected a number in [0, 1)")
        if self.head.sample_rate < 1 and self.optimizer.name == "adamw":
            raise ConfigError(
                f"optimizer.name is adamw and head.sample_rate {self.head.sample_rate}: AdamW's steps on rows without "
                "a gradient cannot be caught up in closed form, as its second moment enters by a root, and its bias "
                "correction would be wrong for rows touched now and then; take sgd, or sample_rate 1"
            )

    def _refuse_what_needs_a_recogniser(self) -> None:
        alone = "but reconstruction.mode is alone, which trains no recogniser: leave it out, or set the mode to joint"
        if self.validation.data:
            raise ConfigError(f"validation.data is {', '.join(self.validation.data)}, {alone}")
        if self.quality.name != "norm":
            raise ConfigError(f"quality.name is {self.quality.name}, {alone}")
        for name in ("weights", "head"):
            if value := getattr(self.initial, name):
                raise ConfigError(f"initial.{name} is {value}, {alone}")
