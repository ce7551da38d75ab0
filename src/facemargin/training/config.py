"""What a recipe says: every field of a training run, typed.

`head` and `backbone` are dataclasses of their own, made from what the margin and the network of that name take (see
recipe.py), so that `head.margin` or `backbone.width` are checked like every other field.
"""

import math
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.synthetic_identities import SyntheticIdentity
from facemargin.errors import ConfigError
from facemargin.heads.broadface import BroadFaceConfig
from facemargin.heads.memory import MemoryConfig
from facemargin.heads.row_optimizer import UnsampledRows
from facemargin.heads.vpl import VPLConfig
from facemargin.quality import QualityName
from facemargin.quality.crfiqa import RatioDefinition
from facemargin.reconstruction import ReconstructionConfig

# A batch norm over one image has no variance.
SMALLEST_PASS = 2

NoDecay = Literal["norms", "one_dimensional", "nothing"]


@dataclass(frozen=True)
class AtLeast:
    """In Annotated[int, AtLeast(1)]: the smallest value of the field."""

    smallest: int


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The head. A margin's own settings follow beside these."""

    name: str = "funface"
    """A margin of `facemargin list margins`."""
    implementation: str = "auto"
    """How the product with all centres is computed: "auto", "eager", "chunked", "recomputed" or "triton"."""
    backward: Literal["float32", "bf16"] = "float32"
    """The type of the factors in the two backward products: "bf16" is faster and rounds them to 8 bits (no "eager")."""
    center_initialization: Literal["unit", "normal"] | None = None
    """How the class centres start; by default what the margin's authors use."""
    sub_centers: Annotated[int, AtLeast(1)] = 1
    """K, the number of centres of a class, of which the nearest one counts: with 3, wrongly labelled images can gather
    at a centre of their own (sub-centre ArcFace)."""
    sample_rate: float = 1.0
    """The share of its classes that each process sees in a step, its positives first (PartialFC); 1 is all."""
    unsampled_rows: UnsampledRows = "frozen"
    """What becomes of the other centres in such a step: "frozen" (nothing, PartialFC's way) or "exact" (weight decay
    and momentum as in dense SGD)."""
    exact_hardest_negative: bool = False
    """Take the hardest negative over all centres even where classes are sampled, for FunFace."""


@dataclass(frozen=True, kw_only=True)
class HeadMemoryConfig:
    """What the head remembers of earlier batches while training, beside any margin."""

    name: Literal["none", "broadface", "vpl"] = "none"
    """"none"; "broadface", a queue of samples, which the class centres learn from, too; or "vpl", which injects the
    last feature of each class into its centre."""
    queue_size: Annotated[int, AtLeast(1)] = BroadFaceConfig.queue_size
    """For "broadface", how many samples the queue holds; each costs the head nearly as much as one of the batch."""
    compensate: bool = BroadFaceConfig.compensate
    """For "broadface", move a feature of the queue as the centre of its class has moved since it was stored."""
    share: float = VPLConfig.share
    """For "vpl", λ, the feature's share of the centre."""
    lasts: Annotated[int, AtLeast(1)] = VPLConfig.lasts
    """For "vpl", Δt, for how many passes a feature is injected after it was seen."""
    start: Annotated[int, AtLeast(0)] = VPLConfig.start
    """For "vpl", how many passes come before the first injection; a step has accumulation_steps passes."""

    def __post_init__(self) -> None:
        self.create()

    def create(self) -> MemoryConfig | None:
        """The memory's own settings, None without a memory."""
        if self.name == "broadface":
            return BroadFaceConfig(queue_size=self.queue_size, compensate=self.compensate)
        return VPLConfig(share=self.share, lasts=self.lasts, start=self.start) if self.name == "vpl" else None


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The network. Its own options follow beside these."""

    name: str = "ir_50"
    """A backbone of `facemargin list backbones`."""
    embedding_size: int = 512
    """D, the number of values of an embedding."""


@dataclass(frozen=True, kw_only=True)
class InitialConfig:
    """What training starts from instead of from random weights."""

    weights: Annotated[str, tyro.conf.arg(aliases=("--initial-weights",))] = ""
    """A model to start from, in any form that `fm.load` takes."""
    head: Annotated[str, tyro.conf.arg(aliases=("--initial-head",))] = ""
    """Class centres, and the margin's statistics, of the same training set: a run's head.safetensors, AdaFace's or
    MagFace's checkpoint, InsightFace's softmax_fc_gpu_0.pt."""
    family: str | None = None
    """Whose model it is, where that cannot be told from its file."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """An image's quality."""

    name: QualityName = "norm"
    """What the model takes for an image's quality: "norm", its feature's norm, or "crfiqa", a layer that learns to
    predict the certainty ratio beside any margin. The other fields are that layer's."""
    weight: Annotated[float, AtLeast(0)] = 10.0
    """λ, the weight of the layer's smooth L1 loss."""
    beta: Annotated[float, AtLeast(0)] = 0.5
    """β, where its smooth L1 loss turns from a square into a line."""
    target: RatioDefinition = "paper"
    """Which certainty ratio it learns, the paper's or the code's; with few classes the code's is wild, which is why it
    is not the default."""


@dataclass(frozen=True, kw_only=True)
class FaceReconstructionConfig(ReconstructionConfig):
    """The reconstruction of faces into depth, albedo, light and view."""

    mode: Literal["none", "joint", "alone"] = "none"
    """"none"; "joint", whose recogniser reads the canonical face and depth beside the image and is trained together
    with the networks that make them; or "alone", which trains these and no recogniser: `head`, and `backbone` but for
    its input_size, are then left aside."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The training set, and how it is read."""

    train: str = ""
    """A training set, by path or name ("orl:1-30")."""
    limit: Annotated[int, tyro.conf.arg(aliases=("--limit",)), AtLeast(0)] = 0
    """For a smoke test, train on at most so many images (not steps): all of the first people, as far as they fit; 0 for
    all."""
    drop_suspects: Annotated[str, tyro.conf.arg(aliases=("--drop-suspects",))] = ""
    """The folder of an audit of this set (`facemargin audit`): the images that it found mislabelled, unrecognisable,
    without a face or twice are left out, which is said."""
    drop_from: float = 0.5
    """The least score of the findings whose images `drop_suspects` leaves out: the estimated probability that a finding
    is right."""
    workers: Annotated[int, AtLeast(0)] = 2
    """Processes that read and augment, 0 for none."""
    synthetic_identities: tuple[SyntheticIdentity, ...] = ()
    """Add every face changed, as another person, for small sets: "mirrored", "negative", "upside_down"."""
    cache_decoded: bool = False
    """Keep decoded images in memory, for sets that fit."""
    augment_on: Literal["auto", "cpu", "device"] = "auto"
    """Where the augmentation's draws are applied: on the "cpu" by the workers, or on the "device" batch by batch;
    "auto" is the device where it is a GPU."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights follow their gradients."""

    name: Literal["sgd", "adamw"] = "sgd"
    """"sgd" (with momentum) or "adamw"."""
    learning_rate: Annotated[float, AtLeast(0)] = 0.1
    """The learning rate that the schedule starts from."""
    momentum: Annotated[float, AtLeast(0)] = 0.9
    """SGD's momentum; AdamW has none."""
    weight_decay: Annotated[float, AtLeast(0)] = 5e-4
    """The weight decay."""
    no_decay: NoDecay = "one_dimensional"
    """What weight decay spares: "norms" (batch norms' weights and biases), "one_dimensional" (these, PReLUs and all
    biases) or "nothing"."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over time, in epochs: a linear warm-up, then what `name` says."""

    name: Literal["step", "polynomial", "cosine"] = "step"
    """"step": times gamma at each of the milestones; "polynomial": (1 − progress)^power; "cosine": half a cosine; the
    last two fall to `final` times the learning rate at the end."""
    warmup_epochs: Annotated[float, AtLeast(0)] = 0.0
    """Epochs in which the learning rate rises from 0, in a line; 0 for none."""
    milestones: tuple[float, ...] = (12.0, 20.0, 24.0)
    """For "step", the epochs at which it falls."""
    gamma: float = 0.1
    """For "step", the factor by which it falls."""
    power: float = 2.0
    """For "polynomial", the exponent."""
    final: float = 0.0
    """For "polynomial" and "cosine", the last learning rate as a share of the first."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What is measured while training."""

    data: tuple[str, ...] = ()
    """Verification sets, by path or name."""
    every_epochs: Annotated[int, AtLeast(0)] = 1
    """How many epochs apart they are scored, and at the end; 0 only at the end."""
    views: Literal["one", "flip", "multi"] = "flip"
    """Which versions of each image are averaged: "one", "flip" (with its mirror) or "multi" (14); the saved model uses
    the same by default."""


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What a run can be continued from."""

    every_steps: Annotated[int, AtLeast(0)] = 0
    """Optimizer steps between checkpoints, 0 for one an epoch."""
    keep: Annotated[int, AtLeast(1)] = 2
    """How many of the newest checkpoints stay."""


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """What is written down while training."""

    every_steps: Annotated[int, AtLeast(1)] = 50
    """Optimizer steps between rows of metrics.csv."""
    tensorboard: bool = False
    """Also write TensorBoard events."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run."""

    head: HeadConfig = field(default_factory=HeadConfig)
    memory: HeadMemoryConfig = field(default_factory=HeadMemoryConfig)
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
    recorder: Literal[False, True, "float32"] = False
    """Write down what the head finds of every image at every step, to look for errors in the training set: True in half
    precision, 20 bytes a visit before compression, "float32" in single precision, 28 bytes."""
    epochs: Annotated[int, AtLeast(1)] = 24
    """How often the whole training set is seen."""
    batch_size: Annotated[int, AtLeast(SMALLEST_PASS)] = 512
    """Images per optimizer step, of all processes together."""
    accumulation_steps: Annotated[int, AtLeast(1)] = 1
    """Equal passes into which a step's images are split, to save memory."""
    precision: Literal["auto", "float64", "float32", "bf16", "fp16"] = "auto"
    """The autocast type; "auto" is bf16 where the processor computes in it and float32 elsewhere; float64, for checks,
    is that of the weights."""
    channels_last: bool = True
    """Keep the colours last in memory, which is faster on most processors."""
    compile: Literal["auto", True, False] = "auto"
    """Compile the networks by torch.compile, which makes the first steps slow and the others faster; "auto" does so on
    a GPU that is to train on two million images or more."""
    deterministic: bool = False
    """On a GPU, take the algorithms that give the same weights to the last bit whenever the run is repeated, which are
    slower. On a CPU this changes nothing: there they always are the same."""
    gradient_clip: Annotated[float, AtLeast(0)] = 0.0
    """The largest norm of the gradient, 0 for no limit."""
    ema_decay: float = 0.0
    """The model that is saved and evaluated is a running average of the weights with this decay per step; 0 for the
    weights themselves."""
    threads: Annotated[int, AtLeast(0)] = 0
    """CPU threads, 0 for the machine's own choice."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1"; "auto" is a GPU where there is one."""
    seed: Annotated[int, AtLeast(0)] = 0
    """What all random draws follow from."""
    description: str = ""
    """What the recipe is, in words."""

    def __post_init__(self) -> None:
        _check_smallest(self)
        if self.seed >= 2**63:
            raise ConfigError(f"seed is {self.seed}, expected less than 2⁶³")
        milestones = self.schedule.milestones
        if min(milestones, default=0) < 0 or not all(before < after for before, after in pairwise((-1, *milestones))):
            raise ConfigError(f"schedule.milestones is {milestones}, expected epochs from 0 on, ascending")
        if not math.isfinite(self.optimizer.learning_rate):
            raise ConfigError(f"optimizer.learning_rate is {self.optimizer.learning_rate}, expected a finite number")
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
        if self.memory.name != "none" and self.reconstruction.mode != "none":
            raise ConfigError(
                f"memory.name is {self.memory.name} with reconstruction.mode {self.reconstruction.mode}: a memory "
                "holds features of images, not of reconstructed faces. Set one of them to none"
            )
        if self.memory.name != "none" and self.head.sub_centers > 1:
            raise ConfigError(
                f"memory.name is {self.memory.name} with head.sub_centers {self.head.sub_centers}: a memory is "
                "made for one centre a class. Set head.sub_centers to 1 or memory.name to none"
            )
        if self.memory.name != "none" and self.head.sample_rate < 1:
            raise ConfigError(
                f"memory.name is {self.memory.name} with head.sample_rate {self.head.sample_rate}: the classes in a "
                "memory would not all be among a step's sampled ones. Set head.sample_rate to 1 or memory.name to none"
            )
        if self.reconstruction.mode == "alone":
            self._refuse_what_needs_a_recognizer()
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}, expected a number in [0, 1)")
        if self.head.sample_rate < 1 and self.optimizer.name == "adamw":
            raise ConfigError(
                f"optimizer.name is adamw and head.sample_rate {self.head.sample_rate}: AdamW's steps on rows without "
                "a gradient cannot be caught up in closed form, as its second moment enters by a root, and its bias "
                "correction would be wrong for rows touched now and then; take sgd, or sample_rate 1"
            )

    def _refuse_what_needs_a_recognizer(self) -> None:
        alone = "but reconstruction.mode is alone, which trains no recogniser: leave it out, or set the mode to joint"
        if self.validation.data:
            raise ConfigError(f"validation.data is {', '.join(self.validation.data)}, {alone}")
        if self.quality.name != "norm":
            raise ConfigError(f"quality.name is {self.quality.name}, {alone}")
        if self.recorder:
            raise ConfigError(f"recorder is {self.recorder}, {alone}")
        for name in ("weights", "head"):
            if value := getattr(self.initial, name):
                raise ConfigError(f"initial.{name} is {value}, {alone}")


def _check_smallest(config: Any, prefix: str = "") -> None:
    """Raise ConfigError, which names the field, for a value below its `AtLeast`, in `config` and in its parts."""
    hints = get_type_hints(type(config), include_extras=True)
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            _check_smallest(value, f"{prefix}{item.name}.")
        for bound in getattr(hints[item.name], "__metadata__", ()):
            if isinstance(bound, AtLeast) and not value >= bound.smallest:
                raise ConfigError(f"{prefix}{item.name} is {value}, expected at least {bound.smallest}")
