"""Comparing two copies that learn side by side, one at the learner's rates and one at a tenth of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, pstdev

import torch
from torch.nn.functional import interpolate

from transfer_doctor.case import Case
from transfer_doctor.expectations import loss_kind
from transfer_doctor.findings import CannotTell
from transfer_doctor.trial_steps import peak_rates, ready_to_learn, set_rate, warms_up

STEPS, FEWEST_STEPS = 24, 12
FEWEST, MOST = 8, 10  # images in a step: half the learner's batch, since with fewer images a high rate shows sooner
AFFORDABLE = 20e9  # multiplications in the forward passes of one copy
SMALLER = (96, 64)  # pixels, for networks that cannot afford all steps
FALLEN, FALLING = (
    0.4,
    0.75,
)  # fractions of the first loss: below these it may end, or all is well
ENOUGH = 0.7  # fraction of the first loss below which a tenth of the rate has shown that it does better
CALM = 1.1  # times the first loss: as high as it may have been in between
LEAP = 2.0  # times the first loss: a network that leapt so high and guesses since has forgotten all
WINDOW = 6  # steps whose losses are averaged before they are compared with the first


@dataclass(frozen=True)
class RateComparison:
    """The losses of both copies, each on the next few images before it learned from them.

    Attributes:
        as_set: at the highest rates that are to come.
        a_tenth: with a tenth of them where pretrained layers learn; empty where `as_set` alone shows that all is well.
        images: in each step.
        size: side of the images in pixels if they were made smaller, else 0.
        guessing: the loss of guessing, where it is known; a new head may begin far above it.
    """

    as_set: list[float]
    a_tenth: list[float]
    images: int
    size: int
    guessing: float = math.inf

    @property
    def slower_is_better(self) -> bool:
        """Whether a tenth of the rate did far better: half the mean loss, or twice the progress."""
        if not self.a_tenth:
            return False
        if not self.finite or self.collapsed:
            return True
        first, slower = self.as_set[0], fmean(self.a_tenth)
        progress, by_a_tenth = first - late(self.as_set), first - late(self.a_tenth)
        return fmean(self.as_set) > slower + max(slower, 0.1 * first) or by_a_tenth > max(2 * progress, 0.15 * first)

    @property
    def finite(self) -> bool:
        """Whether the loss stayed a number at the rates as they are set."""
        return all(map(math.isfinite, self.as_set))

    @property
    def collapsed(self) -> bool:
        """Whether the loss has stopped depending on the images: the network gives them all the same answer.

        It then stands still, or it has leapt up first and stays near that of guessing since.
        """
        last = _last_third(self.as_set)
        still = late(self.as_set) > 0.5 * self.as_set[0] and pstdev(last) < 0.01
        leapt = max(self.as_set) > LEAP * self.as_set[0]
        return self.finite and (still or (leapt and all(abs(x / self.guessing - 1) < 0.1 for x in last)))

    @property
    def learned_nothing(self) -> bool:
        """Whether the loss ended about where it began, or at that of guessing, or higher, or nowhere."""
        return self.collapsed or not late(self.as_set) < 0.85 * min(self.as_set[0], self.guessing)


def late(losses: list[float]) -> float:
    """The mean of the last third."""
    return fmean(_last_third(losses))


def _last_third(losses: list[float]) -> list[float]:
    return losses[-(len(losses) // 3) :]


def compare_rates(case: Case, pretrained: Collection[torch.nn.Parameter], *, all_steps: bool) -> RateComparison | None:
    """Let two copies learn from the images that were read; None for networks too large for that.

    A schedule that warms up is followed in fast motion: the rate rises to its peak in the first half of the steps.

    Args:
        case: what was given.
        pretrained: the learner's parameters whose groups get a tenth of the rate in the second copy.
        all_steps: take all steps even where the loss falls at first, as few images are soon known by heart.

    Raises:
        CannotTell: if model, loss or optimizer raise; other checks report that.
    """
    runner = _Runner(case, {id(parameter) for parameter in pretrained})
    steps, images = runner.affordable
    if steps < FEWEST_STEPS:
        return None
    try:
        as_set = runner.losses(steps, images, divide_by=1, stop_below=0.0 if all_steps else FALLEN)
        enough = min(ENOUGH, 1 - 2 * (1 - late(as_set) / max(as_set[0], 1e-9)))
        a_tenth = [] if _falls(as_set, FALLING) else runner.losses(steps, images, divide_by=10, stop_below=enough)
    except Exception as error:  # reported by the checks of the model, the loss and the loader
        raise CannotTell(f"a trial step raised {type(error).__name__}: {error}") from error
    return RateComparison(as_set, a_tenth, images, runner.size if runner.smaller else 0, _guessing(case))


def _guessing(case: Case) -> float:
    """Cross-entropy of equal probabilities; infinity for other losses."""
    if case.criterion is not None and loss_kind(case) != "logits":
        return math.inf
    return math.log(max(2, case.outputs.shape[-1]))


def _falls(losses: list[float], below: float) -> bool:
    """Whether the loss never rose much and is now below a fraction of the first."""
    windows = [fmean(losses[i : i + WINDOW]) for i in range(0, len(losses) - WINDOW + 1, WINDOW)]
    return bool(windows) and max(windows) < CALM * losses[0] and windows[-1] < below * losses[0]


@dataclass
class _Runner:
    case: Case
    pretrained: set[int]

    @cached_property
    def size(self) -> int:
        """Side of the images in pixels: their own, or a smaller one for a large network that takes such."""
        own = min(self.case.batch[0].shape[-2:])
        size = next((size for size in (own, *SMALLER) if size <= own and self._steps(MOST, size) == STEPS), SMALLER[-1])
        try:
            if size < own:
                model_copy = ready_to_learn(self.case)[0]
                with torch.no_grad():
                    self.case.run(model_copy, interpolate(self.case.batch[0][:2], size))
        except Exception:  # vision transformers take one size alone
            return own
        return min(size, own)

    @property
    def smaller(self) -> bool:
        """Whether the images are made smaller."""
        return self.size < min(self.case.batch[0].shape[-2:])

    @property
    def affordable(self) -> tuple[int, int]:
        """How many steps, and images in each."""
        batch = len(self.case.sample.batches[0][1])
        most = min(batch, max(FEWEST, batch // 2), MOST)
        counts = [count for count in (most, FEWEST, FEWEST // 2) if self._steps(count, self.size) >= FEWEST_STEPS]
        images = (counts or [most])[0]
        return self._steps(images, self.size), images

    def _steps(self, images: int, size: int) -> int:
        fraction = size**2 / math.prod(self.case.batch[0].shape[-2:])
        return min(STEPS, int(AFFORDABLE / max(1.0, fraction * images * self.case.forward_trace.multiplications)))

    def losses(self, steps: int, count: int, divide_by: float, stop_below: float) -> list[float]:
        """Train one copy, until the loss is no number or has fallen below a fraction of the first."""
        case, ramp, peaks = self.case, warms_up(self.case), peak_rates(self.case)
        model_copy, optimizer, criterion = ready_to_learn(case)
        model_copy.zero_grad()
        order = torch.randperm(case.images_read, generator=torch.Generator().manual_seed(0)).repeat(steps)
        slow = [any(id(p) in self.pretrained for p in group["params"]) for group in case.optimizer.param_groups]
        losses: list[float] = []
        for step in range(steps):
            fraction = min(1.0, 2 * (step + 1) / steps) if ramp else 1.0
            for group, peak, divided in zip(optimizer.param_groups, peaks, slow, strict=True):
                set_rate(group, peak * fraction / (divide_by if divided else 1))
            few, labels = case.chosen(order[step * count : (step + 1) * count].tolist())
            few = interpolate(few, self.size, mode="bilinear", antialias=True) if self.smaller else few

            def closure(few: torch.Tensor = few, labels: torch.Tensor = labels) -> torch.Tensor:
                optimizer.zero_grad()
                loss = case.loss(criterion, case.run(model_copy, few), labels)
                loss.backward()
                return loss

            losses.append(float(optimizer.step(closure).detach()))
            if not math.isfinite(losses[-1]) or _falls(losses, stop_below):
                break
        return losses
