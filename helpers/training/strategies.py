"""A strategy is a list of phases: which stages are trainable, how fast, for how long.

Every way of transferring a model in this course is such a list, and `helpers.training.fit.fit` runs any of them.
Write a new list and you have invented a new strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from helpers.errors import HelpersError

SCHEDULES = ("constant", "step", "cosine", "one-cycle")
MIN_STEPS = 60  # of a named strategy: with two images per class an epoch may be a single step


@dataclass(frozen=True)
class Phase:
    """Some epochs during which a fixed set of stages is trainable.

    Attributes:
        trainable: which stages: `"all"`, `"head"`, a number (so many stages, from the head) or a tuple
            of stage names (`helpers.models.stages.stages`). All others are frozen, their BatchNorm included.
        lr: the learning rate of the stages (the highest one, where a schedule varies it).
        epochs: how many passes over the training images.
        layer_decay: each stage further from the head trains at `layer_decay` times the rate of the one above it
            (discriminative rates; Howard and Ruder, *Universal Language Model Fine-tuning for Text
            Classification*, ACL 2018).
        head_lr: the head's own rate, where it should differ from `lr`.
        schedule: `"constant"`, `"step"` (a tenth after each third of the phase), `"cosine"` (down to zero) or
            `"one-cycle"` (up, then down to zero; Smith and Topin, *Super-Convergence*, 2018).
        warmup: the fraction of the phase, from 0 to below 1, in which the rate first rises linearly to its value
            (for the one-cycle schedule: the fraction that rises; its own 0.3 where 0 is given).
        update_batchnorm: whether BatchNorm of the trainable stages follows the new images; False keeps the pretrained
            statistics, which small batches cannot estimate better.
    """

    trainable: str | int | tuple[str, ...]
    lr: float
    epochs: int
    layer_decay: float = 1.0
    head_lr: float | None = None
    schedule: str = "one-cycle"
    warmup: float = 0.0
    update_batchnorm: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or int(self.epochs) != self.epochs:
            raise HelpersError(f"a phase has a whole number of epochs, 1 or more; not {self.epochs!r}")
        for name, value in (("lr", self.lr), ("head_lr", self.head_lr), ("layer_decay", self.layer_decay)):
            if value is not None and not 0 < value < float("inf"):
                raise HelpersError(f"{name} of a phase must be a positive number, not {value!r}")
        if self.schedule not in SCHEDULES:
            raise HelpersError(f"schedule {self.schedule!r} is not known; choose one of {', '.join(SCHEDULES)}")
        if not 0 <= self.warmup < 1:
            raise HelpersError(f"warmup is a fraction of the phase, from 0 to below 1 (say 0.1), not {self.warmup!r}")

    def trainable_stages(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names among `names` (a model's stages, stem to head) that are trainable in this phase.

        Raises:
            HelpersError: if `trainable` names a stage that the model does not have, or too many stages.
        """
        if self.trainable == "all":
            return tuple(names)
        if self.trainable == "head":
            return (names[-1],)
        if isinstance(self.trainable, int):
            if not 1 <= self.trainable <= len(names):
                raise HelpersError(f"trainable={self.trainable}: the model has {len(names)} stages, {', '.join(names)}")
            return tuple(names[-self.trainable :])
        wanted = (self.trainable,) if isinstance(self.trainable, str) else self.trainable
        if not wanted or not set(wanted) <= set(names):
            raise HelpersError(f"trainable={self.trainable!r}: name stages of this model, which are {', '.join(names)}")
        return tuple(name for name in names if name in wanted)


Strategy = Sequence[Phase]


def feature_extraction(epochs: int = 30, lr: float = 3e-3) -> list[Phase]:
    """Only a new head learns; the network before it is a fixed feature extractor."""
    return [Phase("head", lr, epochs)]


def fine_tuning(epochs: int = 15, lr: float = 3e-4) -> list[Phase]:
    """Everything learns from the first step; the new head ten times as fast as the pretrained stages."""
    return [Phase("all", lr, epochs, head_lr=10 * lr)]


def discriminative(epochs: int = 15, lr: float = 1e-3, layer_decay: float = 0.6) -> list[Phase]:
    """Everything learns, and each stage towards the stem more slowly than the one above it."""
    return [Phase("all", lr, epochs, layer_decay=layer_decay)]


def gradual_unfreezing(epochs: int = 15, lr: float = 1e-3, layer_decay: float = 0.6) -> list[Phase]:
    """The head first, then the last two stages, the last three, and at last everything.

    Howard and Ruder's method (ACL 2018). The first three phases take a sixth of the epochs each, at least one; with
    fewer than four epochs there are fewer phases.
    """
    short = max(1, epochs // 6)
    opening = [Phase(trainable, lr, short, layer_decay=layer_decay) for trainable in ("head", 2, 3)[: epochs - 1]]
    return [*opening, Phase("all", lr, epochs - short * len(opening), layer_decay=layer_decay)]


def lp_ft(epochs: int = 15, lr: float = 3e-4) -> list[Phase]:
    """Linear probe, then fine-tune.

    The head is trained first, so that the gradients that reach the pretrained stages make sense (Kumar et al.,
    *Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution*, ICLR 2022).
    """
    return [Phase("head", 10 * lr, epochs), Phase("all", lr, epochs)]


def from_scratch(epochs: int = 30, lr: float = 2e-3) -> list[Phase]:
    """Everything learns, on a network without pretrained weights; BatchNorm follows the images."""
    return [Phase("all", lr, epochs, update_batchnorm=True)]


_MAKERS = (feature_extraction, fine_tuning, discriminative, gradual_unfreezing, lp_ft, from_scratch)
STRATEGIES: dict[str, Callable[..., list[Phase]]] = {make.__name__.replace("_", "-"): make for make in _MAKERS}


def make_strategy(
    name: str, *, epochs: int | None = None, lr: float | None = None, steps_per_epoch: int | None = None
) -> list[Phase]:
    """The named strategy, with its own epochs and rate unless told otherwise.

    Where its own epochs make fewer than `MIN_STEPS` optimizer steps, they are increased (given `steps_per_epoch`).

    Raises:
        HelpersError: for a name that is not in `STRATEGIES`.
    """
    if name not in STRATEGIES:
        raise HelpersError(f"strategy {name!r} is not known; choose one of {', '.join(STRATEGIES)}")
    given = {key: value for key, value in (("epochs", epochs), ("lr", lr)) if value is not None}
    phases = STRATEGIES[name](**given)
    if epochs is None and steps_per_epoch:
        longer = max(1.0, MIN_STEPS / steps_per_epoch / sum(phase.epochs for phase in phases))
        phases = [replace(phase, epochs=math.ceil(longer * phase.epochs)) for phase in phases]
    return phases
