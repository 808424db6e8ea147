"""Settings of training."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ojito.config.lora import LoraConfig
from ojito.config.model import Part
from ojito.config.rules import check_seed, divisible, fraction, not_negative, positive, share
from ojito.config.stages import StageConfig, steps_of
from ojito.settings import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of training.

    Attributes:
        steps: Optimizer steps; 0 means that `samples` or `minutes` decide. As a setting over a recipe that has another
            of the three, it replaces it; give several to end with the first.
        samples: Rows to learn from, each as often as it comes; 0 means that the others decide.
        minutes: Wall-clock budget of the training loop, which the schedule follows; 0 means that the others decide.
        batch_size: Rows a step, all micro-batches of `accumulate` together; with `data.pack`, packed rows.
        accumulate: Micro-batches per step; more of them take less memory, and learn from the same rows with the same
            gradient. Two things do differ: batch norm (vision kind=resnet, stem=conv) sees the statistics of a
            micro-batch, and dropout draws other numbers.
        optimizer: AdamW for all parameters, or Muon for the hidden matrices and AdamW for the others.
        lr: Peak learning rate; vision_lr, connector_lr, decoder_lr replace it for their part where greater than 0.
        vision_lr, connector_lr, decoder_lr: Peak learning rate of this part; 0 means `lr`.
        muon_lr: Peak learning rate of Muon on hidden matrices, with optimizer=muon; all else is AdamW's. A part with
            a learning rate of its own gets as much more or less of this one, too.
        lora_lr: Peak learning rate of adapters, with lora.rank, in every part; the others are for what learns in full.
        betas: AdamW's decay rates of the gradient's mean and of its mean square.
        weight_decay: Decoupled weight decay, of matrices and convolutions; biases, norms and learned tables have none.
        clip: Maximal norm of the gradient over all parameters; longer gradients are scaled down to it. 0 clips nothing.
        freeze: Parts that do not learn.
        schedule: How the learning rate falls after the warmup: along a cosine, or at the very end ("wsd").
        warmup: Share of the run over which the rate rises from 0.
        decay: Share of the run, at its end, over which schedule=wsd falls to 0.
        precision: "auto" is bfloat16 autocast where the device multiplies it fast, else float32.
        parallel: How several processes that `torchrun` starts train one model: each with the whole of it ("ddp"), or
            with a part of every parameter, for models that are too large for one device ("fsdp").
        rank_timeout: Seconds that one of these processes waits for another, before the run ends with an error.
        checkpoint: Parts whose transformer blocks are computed anew in the backward pass ("gradient checkpointing"), in
            place of keeping all that is inside: [vision, decoder]. Gradients are the same.
        checkpoint_kind: "full" keeps nothing inside a block, and takes about a third more time; "selective" keeps the
            outputs of matrix products, and computes norms, activations and attention anew.
        compile: Whether `torch.compile` compiles the transformer blocks, which needs a C++ compiler. Rows are then
            padded to a multiple of 32 positions, so that few shapes are compiled. The first step takes a minute.
        peak_tflops: Operations of matrix products that the device does at the most, 10^12 a second, for the share of
            them that training uses (MFU). 0 looks it up for known GPUs, and measures it elsewhere.
        threads: Threads that PyTorch computes with on a CPU. 0 measures at the start how many are fastest beside other
            processes, unless OMP_NUM_THREADS says; a run of `minutes` measures now and then again. Another number may
            round sums otherwise: for results that are equal to the last bit, give one.
        log_every: Steps per line of the log.
        eval_every: Steps between evaluations; 0 evaluates at the end only.
        eval_samples: Maximal number of rows of `data.eval_split` in an evaluation, drawn by the seed from more.
        save_every: Steps between checkpoints, from which `--resume auto` goes on; 0 leaves it to `save_minutes`.
        save_minutes: Minutes between checkpoints, of wall-clock time; 0 leaves it to `save_every`. With both at 0, a
            run that is interrupted is saved, and one that is killed is lost.
        keep: Checkpoints that are kept, the newest ones.
        stages: Stages of the run, one after the other, each with steps, frozen parts and rates of its own; `steps` is
            then their sum.
        score: A score of the evaluations by which the best model is told, such as exact_match, overlap or loss (that of
            the evaluated rows, which is then computed): its checkpoint is kept, and it is what the run leaves. ""
            leaves the model of the last step.
        patience: Evaluations in a row without a better `score`, after which the run ends; 0 never ends it so.
        grounding_rows: Rows of `data.eval_split`, or of training where there is none, whose loss is measured with the
            image of another row, too; 0 measures nothing.
        grounding_every: Steps between two such measurements; 0 measures at the end only.
        show_rows: Rows of that split whose answers are shown while the model learns; 0 shows none.
        show_every: Steps between such answers; 0 shows them at the end only.
        logs: Logs beside metrics.jsonl, in the folder of the run: tensorboard (extra `log`), and wandb, which stays
            offline unless WANDB_MODE says otherwise.
        seed: Seed of weights, order of the data, dropout and everything else that is random.
        lora: Adapters that learn in place of weights.
    """

    steps: int = 1000
    samples: int = 0
    minutes: float = 0.0
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    vision_lr: float = 0.0
    connector_lr: float = 0.0
    decoder_lr: float = 0.0
    muon_lr: float = 0.02
    lora_lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0
    schedule: Literal["cosine", "wsd"] = "cosine"
    warmup: float = 0.05
    decay: float = 0.2
    freeze: tuple[Part, ...] = ()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    rank_timeout: float = 300.0
    checkpoint: tuple[Literal["vision", "decoder"], ...] = ()
    checkpoint_kind: Literal["full", "selective"] = "full"
    compile: bool = False
    peak_tflops: float = 0.0
    threads: int = 0
    log_every: int = 10
    eval_every: int = 0
    eval_samples: int = 256
    save_every: int = 0
    save_minutes: float = 10.0
    keep: int = 2
    stages: tuple[StageConfig, ...] = ()
    score: str = ""
    patience: int = 0
    grounding_rows: int = 32
    grounding_every: int = 100
    show_rows: int = 3
    show_every: int = 0
    logs: tuple[Literal["tensorboard", "wandb"], ...] = ()
    seed: int = 0
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        positive(self, "batch_size", "accumulate", "lr", "muon_lr", "lora_lr")
        positive(self, "log_every", "eval_samples", "keep", "rank_timeout")
        divisible(self, "batch_size", "accumulate")
        not_negative(self, vision_lr="lr", connector_lr="lr", decoder_lr="lr")
        not_negative(self, peak_tflops="to look it up or measure it")
        if self.compile and self.checkpoint and self.checkpoint_kind == "selective":
            remedy = "use checkpoint_kind=full; compiled blocks compute cheap steps anew without being asked"
            raise ConfigError("checkpoint_kind", "selective does not go with compile", remedy)
        not_negative(self, threads="as many as are fastest")
        not_negative(self, weight_decay="none", clip="no clipping", eval_every="an evaluation at the end only")
        not_negative(self, grounding_rows="none", grounding_every="a measurement at the end only")
        not_negative(self, show_rows="none", show_every="answers at the end only")
        fraction(self, "betas", "warmup")
        share(self, decay=0.2)
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise ConfigError(
                "decay",
                f"{self.decay} and warmup {self.warmup} are more than the whole run",
                f"use {1 - self.warmup:g} or less",
            )
        usual = type(self).steps
        others = {"samples": self.samples, "minutes": self.minutes}
        object.__setattr__(self, "steps", steps_of(self.stages, self.steps, usual, others))
        not_negative(self, patience="no early end")
        if self.patience and not self.score:
            raise ConfigError("patience", f"{self.patience} needs a score to wait for", "set train.score")
        if self.score and not self.eval_every:
            raise ConfigError("score", f"{self.score!r} needs evaluations", "set train.eval_every")
        if self.steps <= 0 and self.samples <= 0 and self.minutes <= 0:
            lengths = f"{self.steps}, samples {self.samples} and minutes {self.minutes}"
            raise ConfigError("steps", f"{lengths} leave no training", "set one of them")
        not_negative(self, steps="no limit", samples="no limit", minutes="no limit")
        not_negative(self, save_every="none by steps", save_minutes="none by time")
        check_seed(self.seed)
        if set(self.freeze) == set(typing.get_args(Part)):
            raise ConfigError("freeze", f"{list(self.freeze)} leaves nothing to train", "leave one part out")

    @property
    def frozen(self) -> tuple[Part, ...]:
        """The parts that learn nothing, in no stage."""
        phases = [stage.freeze for stage in self.stages] or [self.freeze]
        return tuple(part for part in typing.get_args(Part) if all(part in phase for phase in phases))

    @property
    def adapted(self) -> tuple[Part, ...]:
        """The parts that learn through adapters of LoRA alone, in whatever stage."""
        return tuple(part for part in self.lora.parts if part not in self.frozen) if self.lora.rank else ()

    def at(self, step: int) -> tuple[TrainConfig, int]:
        """Return the settings of the stage that a step is in, and the step at which that began.

        Args:
            step: Steps that are done.
        """
        begin = 0
        for stage in self.stages:
            if step < begin + stage.steps or stage is self.stages[-1]:
                return dataclasses.replace(self, stages=(), **stage.settings()), begin
            begin += stage.steps
        return self, 0


LENGTHS = ("steps", "samples", "minutes")
"""Settings that say how long a run is."""


def only_length(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to be laid under settings that give one length of a run: the others at 0.

    Args:
        given: Settings over a recipe, in groups.
    """
    train = given.get("train")
    if not isinstance(train, Mapping):
        return {}
    lengths = {name: train[name] for name in LENGTHS if name in train}
    if not train.get("stages") and not any(isinstance(value, (int, float)) and value > 0 for value in lengths.values()):
        return {}
    return {"train": {name: 0 for name in LENGTHS if name not in lengths}}
