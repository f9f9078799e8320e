"""How the embedded backbone is made: drawn source images, one network, plain supervised training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.errors import HelpersError
from helpers.files import atomic_write, sha256
from helpers.models.embedded import PREPROCESSING, build
from helpers.training.runs.precision import supports_bf16

SIZE = 64
VALIDATION_ROUND = 10_000
"""Rounds from this number on are never trained on."""


@dataclass(frozen=True)
class Plan:
    """What makes one pretraining run; two runs with equal plans see the same images in the same order."""

    seed: int
    classes: int
    rounds: int
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float


def pretrain(
    out: str | Path,
    *,
    epochs: int = 5,
    rounds: int = 300,
    classes: int | None = None,
    seed: int = 0,
    batch_size: int = 128,
    lr: float = 0.2,
    weight_decay: float = 1e-4,
    workers: int = 2,
    resume: bool = True,
    save_every: float = 60.0,
    report: Callable[[str], object] = print,
) -> dict[str, float]:
    """Draw the source images, train a backbone on them, and write its weights.

    Images and a checkpoint are kept in a folder beside `out` (`<out>.work`, 3.7 GB for the full run) so that a
    stopped run goes on where it was; delete the folder when you are done.

    Args:
        out: the safetensors file to write.
        epochs: passes over the images.
        rounds: images per class.
        classes: only the first so many source classes; all if None.
        seed: of first weights, order and augmentation.
        batch_size: images per step.
        lr: the highest learning rate of the one-cycle schedule.
        weight_decay: of convolutions and head; norms and biases have none.
        workers: processes that draw images; 0 draws in this one.
        resume: go on from the checkpoint of an equal plan, if there is one.
        save_every: seconds between checkpoints.
        report: called with one line of progress at a time.

    Returns:
        `accuracy` on fresh source images (0 to 1), `loss` at the end of training, `seconds` of training (all
        sessions together) and `images` seen.

    Raises:
        HelpersError: if there are not enough classes, or too few images for one batch.
    """
    from drawn.source import CLASSES

    out, names = Path(out), CLASSES[:classes]
    if len(names) < 2 or len(names) * rounds < batch_size:
        raise HelpersError(
            f"{len(names)} classes with {rounds} images each are too few for batches of {batch_size}; "
            "give at least 2 classes, more rounds, or a smaller batch_size."
        )
    plan = Plan(seed, len(names), rounds, epochs, batch_size, lr, weight_decay)
    work = out.with_name(out.name + ".work")
    images = _images(work / f"{len(names)}-classes", len(names), range(rounds), workers, report)
    run = _Training(plan, work / "checkpoint.pt")
    if resume:
        run.restore(report)
    run.train(images, save_every, report)
    fresh = _images(
        work / f"{len(names)}-classes", len(names), range(VALIDATION_ROUND, VALIDATION_ROUND + 2), workers, report
    )
    result = {
        "accuracy": source_accuracy(rounded(run.model), fresh),
        "loss": run.loss,
        "seconds": run.seconds,
        "images": float(run.step * batch_size),
    }
    _write(out, run.model, plan, names, result)
    report(f"source accuracy {result['accuracy']:.1%} on {2 * len(names)} fresh images; {out} {sha256(out)}")
    return result


def _images(folder: Path, classes: int, rounds: range, workers: int, report: Callable[[str], object]) -> list[Tensor]:
    """Round k holds one image of every class, drawn with seed k: uint8 (classes, 3, SIZE, SIZE)."""
    files = [folder / f"{k:05d}.npy" for k in rounds]
    missing = [(file, classes, k) for file, k in zip(files, rounds, strict=True) if not file.exists()]
    if missing:
        report(f"drawing {len(missing) * classes:,} source images")
        began = time.monotonic()
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers else nullcontext() as pool:
            for done, _ in enumerate((pool.map if pool else map)(_draw_round, missing), start=1):
                if done % 25 == 0:
                    report(f"drew {done * classes:,} ({done * classes / (time.monotonic() - began):.0f} a second)")
    return [torch.from_numpy(np.load(file)) for file in files]


def _draw_round(job: tuple[Path, int, int]) -> None:
    from drawn.source import draw

    file, classes, seed = job
    images = draw(range(classes), SIZE, seed).numpy()
    atomic_write(file, lambda target: np.save(target, images))


class _Training:
    """One run: model, optimizer, step, and a checkpoint from which it goes on exactly."""

    def __init__(self, plan: Plan, checkpoint: Path) -> None:
        self.plan, self.checkpoint = plan, checkpoint
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            self.model = build(plan.classes).to(memory_format=torch.channels_last)
        parameters = list(self.model.parameters())
        self.optimizer = torch.optim.SGD(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
                {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=plan.lr,
            momentum=0.9,
            nesterov=True,
        )
        self.per_epoch = plan.classes * plan.rounds // plan.batch_size
        self.steps = self.per_epoch * plan.epochs
        self.step, self.seconds, self.loss = 0, 0.0, math.log(plan.classes)

    def restore(self, report: Callable[[str], object]) -> None:
        """Take up the checkpoint, if there is one of an equal plan."""
        if not self.checkpoint.exists():
            return
        stored = torch.load(self.checkpoint, weights_only=True)
        if stored["plan"] != asdict(self.plan):
            report(f"{self.checkpoint} is of another plan; starting anew")
            return
        self.model.load_state_dict(stored["model"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.seconds, self.loss = stored["progress"]
        report(f"going on from step {self.step} of {self.steps}")

    def save(self) -> None:
        """Write the checkpoint."""
        content = {
            "plan": asdict(self.plan),
            "progress": (self.step, self.seconds, self.loss),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        atomic_write(self.checkpoint, lambda file: torch.save(content, file))

    def train(self, drawings: list[Tensor], save_every: float, report: Callable[[str], object]) -> None:
        """Train from the present step to the last."""
        self.model.train()
        fast = supports_bf16(torch.device("cpu"))  # without the hardware, bfloat16 takes five times as long as float32
        saved = before = time.monotonic()
        for images, labels in self._batches(drawings):
            for group in self.optimizer.param_groups:
                group["lr"] = one_cycle(self.step, self.steps, self.plan.lr)
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                loss = F.cross_entropy(self.model(images).float(), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
            self.loss += (loss.item() - self.loss) * 0.01
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            if self.step % 200 == 0 or self.step == self.steps:
                speed = self.step * self.plan.batch_size / self.seconds
                report(f"step {self.step} of {self.steps}, loss {self.loss:.3f}, {speed:.0f} images a second")
            if now - saved > save_every or self.step == self.steps:
                self.save()
                saved = now

    def _batches(self, drawings: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches from the present step on; each depends only on the plan and its step."""
        plan = self.plan
        while self.step < self.steps:
            epoch, first = divmod(self.step, self.per_epoch)
            order = torch.randperm(plan.classes * plan.rounds, generator=_generator(plan.seed, 0, epoch))
            for k in range(first, self.per_epoch):
                chosen = order[k * plan.batch_size : (k + 1) * plan.batch_size]
                labels = chosen % plan.classes
                rounds = (chosen // plan.classes).tolist()
                raw = torch.stack([drawings[r][c] for r, c in zip(rounds, labels.tolist(), strict=True)])
                yield augmented(normalized(raw), _generator(plan.seed, 1, self.step)), labels


def _generator(*numbers: int) -> torch.Generator:
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def one_cycle(step: int, steps: int, highest: float, warm: float = 0.15) -> float:
    """The learning rate at a step: up from highest / 25, then down to almost nothing, both along a cosine.

    Smith and Topin, *Super-Convergence* (2018).
    """
    turn = warm * steps
    if step < turn:
        return highest * (0.04 + 0.96 * (1 - math.cos(math.pi * step / turn)) / 2)
    return highest * (1 + math.cos(math.pi * (step - turn) / (steps - turn))) / 2


def normalized(images: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) as the network expects it: float32, normalized by the preprocessing, channels last."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PREPROCESSING.mean, PREPROCESSING.std))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops (30 to 100 % of the area), mirror, and gains of light and of each color; same shape."""
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    side, stretch = uniform(0.3, 1).sqrt(), uniform(-0.25, 0.25).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = width * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    matrix[:, 1, 1] = height
    matrix[:, 0, 2] = uniform(-1, 1) * (1 - width)
    matrix[:, 1, 2] = uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = uniform(0.85, 1.15, 3, 1, 1) * uniform(0.85, 1.15, 1, 1, 1)
    return (images * gain + uniform(-0.2, 0.2, 1, 1, 1)).contiguous(memory_format=torch.channels_last)


def rounded(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are shipped: convolutions and head in half precision, everything else as it is."""
    return {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value
        for name, value in model.state_dict().items()
    }


@torch.no_grad()
def source_accuracy(weights: dict[str, Tensor], rounds: list[Tensor]) -> float:
    """Fraction of images classified correctly in rounds (see `_images`) by a network with these weights, 0 to 1."""
    model = build(len(weights["fc.bias"]))
    model.load_state_dict(weights)
    model.eval()
    hits = [
        (model(normalized(part)).argmax(1) == where).float()
        for images in rounds
        for part, where in zip(images.split(250), torch.arange(len(images)).split(250), strict=True)
    ]
    return torch.cat(hits).mean().item()


def _write(out: Path, model: nn.Module, plan: Plan, names: tuple[str, ...], result: dict[str, float]) -> None:
    from safetensors.torch import save

    about = {
        "preprocessing": json.dumps(PREPROCESSING.to_dict()),
        "classes": json.dumps(names),
        "seed": str(plan.seed),
        "plan": json.dumps(asdict(plan)),
        "result": json.dumps(result),
        "made_by": "python -m helpers pretrain",
    }
    content = save({k: v.contiguous() for k, v in rounded(model).items()}, metadata=about)
    atomic_write(out, lambda file: file.write(content))
