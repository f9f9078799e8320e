"""Learning rates on photos: what the check says of them, and what training with them gives.

`TRANSFER_DATA=FOLDER python -m tests.mistakes.rates` writes `data/rates.json`. FOLDER holds `ants-bees/` and
`weights/mobilenet_v2-coral.pth`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from torchvision.transforms import v2

from helpers.files import write_json
from helpers.models.backbones import load_backbone
from tests.mistakes.worlds import Setup, World
from transfer_doctor.catalogue import CHECKS
from transfer_doctor.diagnose import examine

ROOT = Path(__file__).resolve().parents[2]
SIZE, PER_CLASS, BATCH, EPOCHS, SEEDS = 64, 60, 16, 4, 1
RATES = {"sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1), "adam": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
HEAD = {"sgd": 1e-2, "adam": 1e-3}  # at least; where the rate of the body is higher, the head has that one
NETWORKS = ("efficientnet_lite0", "mobilenet_v2")
CHECKED = ("rate-too-high", "rate-too-low")


def main() -> None:
    """Measure all rates; what is done is kept in `runs/rates.jsonl` until all is."""
    torch.set_num_threads(1)
    kept = ROOT / "runs" / "rates.jsonl"
    kept.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["network"], row["optimizer"], row["rate"]) for row in rows}
    with kept.open("a") as file:
        for network in NETWORKS:
            for row in measure(network, Path(os.environ["TRANSFER_DATA"]), done):
                rows.append(row)
                print(json.dumps(row), file=file, flush=True)
                print(row, flush=True)
    about = {"images": f"{PER_CLASS} photos each of ants and bees, {SIZE} px", "batch_size": BATCH, "epochs": EPOCHS}
    write_json(ROOT / "data" / "rates.json", {**about, "seeds": SEEDS, "head": HEAD, "rates": rows})
    kept.unlink()


def measure(network: str, folder: Path, done: set[tuple[str, str, float]]) -> Iterator[dict[str, Any]]:
    """One row for each optimizer and rate that is not done: accuracies after training, and the check's verdict.

    A rate of 0 stands for the head alone.
    """
    weights = folder / "weights" / "mobilenet_v2-coral.pth" if network == "mobilenet_v2" else "DEFAULT"
    backbone = load_backbone(network, weights=weights)
    train, val = (photos(folder / "ants-bees" / split, count) for split, count in (("train", PER_CLASS), ("val", 100)))
    for family, rates in RATES.items():
        preprocessing = backbone.preprocessing.with_size(SIZE)
        world = World(backbone, train, val, ("ants", "bees"), preprocessing, family, batch_size=BATCH)
        for rate in (0.0, *rates):
            if (network, family, rate) not in done:
                found = _verdict(set_up(world, rate)) if rate else {}
                accuracies = [round(trained(set_up(world, rate, seed), seed), 4) for seed in range(SEEDS)]
                yield {"network": network, "optimizer": family, "rate": rate, "accuracies": accuracies, **found}


def photos(folder: Path, per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first photos of each class as uint8 (N, 3, 64, 64), and labels."""
    crop = v2.Compose([v2.Resize(SIZE * 8 // 7), v2.CenterCrop(SIZE), v2.PILToTensor()])
    images, labels = [], []
    for label, home in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for file in sorted(home.iterdir()):
            try:
                image = crop(Image.open(file).convert("RGB"))
            except UnidentifiedImageError:  # the published folder holds a broken file
                continue
            if labels.count(label) < per_class:
                images.append(image)
                labels.append(label)
    return torch.stack(images), torch.tensor(labels)


def set_up(world: World, rate: float, seed: int = 0) -> Setup:
    """Fine-tuning of everything with BatchNorm's statistics kept, the body at `rate`."""
    world.seed = seed
    model = world.model()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    groups = world.two_groups(model, max(rate, HEAD[world.family]), rate)
    if not rate:
        for parameter in groups[0]["params"]:
            parameter.requires_grad_(False)
        groups = groups[1:]
    return world.usual(model, optimizer=world.optimizer(groups))


def trained(setup: Setup, seed: int) -> float:
    """Validation accuracy after a few epochs."""
    torch.manual_seed(seed)
    for _ in range(EPOCHS):
        for images, labels in setup.train_loader:
            setup.optimizer.zero_grad()
            setup.criterion(setup.model(images), labels).backward()
            setup.optimizer.step()
    setup.model.eval()
    with torch.no_grad():
        right = [(setup.model(images).argmax(1) == labels).float() for images, labels in setup.val_loader]
    return float(torch.cat(right).mean())


def _verdict(setup: Setup) -> dict[str, Any]:
    """Severity and words of what the checks of the rate find; no severity where they find nothing."""
    loaders = (setup.train_loader, setup.val_loader)
    others = {"criterion": setup.criterion, "classes": setup.classes}
    found = examine([CHECKS[code] for code in CHECKED], setup.model, setup.optimizer, loaders, others, 2.0)
    if found.not_checked:
        raise RuntimeError(f"not checked: {found.not_checked}")
    first = next(iter(found), None)
    named = {"code": first.code, "verdict": first.verdict} if first else {}
    return {"severity": first.severity if first else None, **named}


if __name__ == "__main__":
    main()
