"""The flowers of the pages "Teach it yourself" and "Try it": sheets of tiles, and a head trained on drawn flowers.

    python -m data.workshop.browser_flowers

Everything goes into `book/_static/teach/`: WebP sheets, `prepared.json`, which says what is on them, and
`flowers.safetensors`, the head with what was measured of it, which `transfer predict` reads as well.

What is no flower is told by the cosine similarity of its features and the mean features of each species, which are in
`flower_means.safetensors`. Of five such scores (largest probability, largest score, energy, distance in a subspace) it
was the best on other images of the first four kinds of `others`. With `TRANSFER_DATA` set, photos are measured too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib import cbook
from PIL import Image, ImageOps
from safetensors.torch import save
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from data.workshop.browser import FeatureMap
from drawn import flowers, slides, source
from helpers.data.transforms import center_crop, resize_as
from helpers.files import atomic_write, write_json
from helpers.models.weights_files.checkpoints import save_checkpoint

FOLDER = Path(__file__).parents[2] / "book" / "_static" / "teach"
BACKBONE = "efficientnet_lite0"
TILE, COLUMNS = 144, 9
TRAINING, HELD, UNSEEN = 20, 25, 36
KNOWN = range(20)
"""The species of the course's flowers; the other four are flowers that the head does not know."""
TAUGHT = (4, 7, 12, 13)
"""Species on the page "Teach it yourself": two pairs, each alike in build."""
FLOWERS = {"train": 20, "val": 15, "test": 15}
"""Images of each species for the head of "Try it"."""
SEEDS = {"train": 101, "val": 102, "test": 103, "taught": 104, "unseen": 105, "others": 107}
STRENGTHS = (3, 10, 30, 100, 300)
KEPT = 0.95
"""The fraction of validation flowers that the threshold lets pass."""


def main() -> None:
    """Draw the sheets, train and measure the head."""
    write_sheets()
    write_head()


def write_sheets() -> None:
    """Draw the tiles, and say what is on them."""
    labels = np.random.default_rng(SEEDS["unseen"]).permutation(np.resize(KNOWN, UNSEEN)).tolist()
    write_sheet("unseen.webp", flowers.draw(labels, TILE, SEEDS["unseen"]))
    items, pictures = zip(*gallery(), strict=True)
    write_sheet("gallery.webp", torch.cat(pictures))
    taught = [(flowers.SPECIES[label], f"{flowers.SPECIES[label].replace(' ', '-')}.webp") for label in TAUGHT]
    for label, (_, file) in zip(TAUGHT, taught, strict=True):
        write_sheet(file, flowers.draw([label] * (TRAINING + HELD), TILE, SEEDS["taught"]))
    sheets = {
        "tile": TILE,
        "columns": COLUMNS,
        "training": TRAINING,
        "held": HELD,
        "teach": [{"name": name, "file": file} for name, file in taught],
        "unseen": {"file": "unseen.webp", "labels": labels},
        "gallery": {"file": "gallery.webp", "items": items},
    }
    write_json(FOLDER / "prepared.json", sheets)


def write_sheet(file: str, images: Tensor) -> None:
    """Write images (N, 3, TILE, TILE) row by row as one WebP file."""
    sheet = Image.new("RGB", (COLUMNS * TILE, -(-len(images) // COLUMNS) * TILE))
    for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        row, column = divmod(number, COLUMNS)
        sheet.paste(Image.fromarray(image), (column * TILE, row * TILE))
    sheet.save(FOLDER / file, quality=82, method=6)


def gallery() -> Iterator[tuple[dict[str, str], Tensor]]:
    """Images to try: flowers that the head knows, and other things; what each is, and the image (1, 3, TILE, TILE)."""
    for number, label in enumerate((5, 8, 15, 17)):
        name = flowers.SPECIES[label]
        yield {"name": name, "about": f"A drawn flower: {name}"}, flowers.draw([label], TILE, 200 + number)
    new = flowers.SPECIES[20]
    yield (
        {"name": new, "about": f"A drawn flower of a species that was not taught: {new}"},
        flowers.draw([20], TILE, 200),
    )
    yield {"name": "drawn slide", "about": "A drawn microscope slide"}, slides.draw([0], TILE, 200)
    china, dahlia = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    yield {"name": "temple in China", "about": "A photo of a temple in China"}, tile(china.crop((180, 0, 580, 400)))
    yield {"name": "real dahlia", "about": "A photo of a dahlia"}, tile(dahlia.crop((130, 0, 550, 420)))
    yield {"name": "photo of Grace Hopper", "about": "A photo of Grace Hopper"}, tile(hopper().crop((40, 0, 472, 432)))


def hopper() -> Image.Image:
    """Matplotlib's sample photo, which is in the public domain."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return Image.open(file).convert("RGB")


def tile(image: Image.Image) -> Tensor:
    """A square photo as a tile (1, 3, TILE, TILE)."""
    return torch.from_numpy(np.asarray(image.resize((TILE, TILE), Image.LANCZOS)).copy()).permute(2, 0, 1)[None]


def others() -> dict[str, Tensor]:
    """Images (N, 3, TILE, TILE) of what the head does not know, by kind; for measuring only, never for choosing."""
    seed, rng = SEEDS["others"], np.random.default_rng(SEEDS["others"])
    new = [label for label in range(len(flowers.SPECIES)) if label not in KNOWN]
    parts = []
    for photo in (Image.fromarray(load_sample_images().images[0]), hopper()):
        for _ in range(25):
            side = rng.integers(160, min(photo.size))
            left, top = rng.integers(0, photo.width - side + 1), rng.integers(0, photo.height - side + 1)
            parts.append(tile(photo.crop((left, top, left + side, top + side))))
    found = {
        "drawn slides": slides.draw(np.resize(range(4), 50).tolist(), TILE, seed),
        "drawn images of the source task": source.draw(list(range(0, 1000, 20)), TILE, seed),
        "parts of two photographs": torch.cat(parts),
        "flowers of four other species": flowers.draw(np.resize(new, 50).tolist(), TILE, seed),
    }
    if "TRANSFER_DATA" in os.environ:
        files = sorted(Path(os.environ["TRANSFER_DATA"]).glob("ants-bees/val/*/*.jpg"))[::3]
        squares = [ImageOps.fit(Image.open(file).convert("RGB"), (TILE, TILE)) for file in files]
        found["photos of ants and bees, many on flowers"] = torch.cat([tile(image) for image in squares])
    return found


@torch.no_grad()
def features(network: FeatureMap, images: Tensor) -> np.ndarray:
    """Features (N, C) of images (N, 3, TILE, TILE), prepared as photos are."""
    how = network.preprocessing
    parts = images.split(16)
    prepared = (center_crop(resize_as(part, how), how.image_size).float() for part in parts)
    return torch.cat([network(pixels).mean((2, 3)) for pixels in prepared]).numpy()


def write_head() -> None:
    """Train the head, choose its penalty and the threshold on validation flowers, measure, and write all of it."""
    network = FeatureMap(BACKBONE).eval()
    labels = {split: np.repeat(KNOWN, count) for split, count in FLOWERS.items()}
    known = {split: features(network, flowers.draw(labels[split].tolist(), TILE, SEEDS[split])) for split in FLOWERS}
    strength, weights, biases = fitted(known, labels)
    means = np.stack([known["train"][labels["train"] == label].mean(0) for label in KNOWN])
    threshold = float(np.quantile(similarity(known["val"], means), 1 - KEPT))
    said = (known["test"] @ weights.T + biases).argmax(1)
    description = {
        "backbone": BACKBONE,
        "backbone_weights": "DEFAULT",
        "options": {},
        "head": {"hidden": None, "dropout": 0.0},
        "classes": [flowers.SPECIES[label] for label in KNOWN],
        "preprocessing": network.preprocessing.to_dict(),
        "images": FLOWERS,
        "strength": strength,
        "threshold": threshold,
        "kept": KEPT,
        "accuracy": float((said == labels["test"]).mean()),
        "refused": float((similarity(known["test"], means) < threshold).mean()),
        "passed": {
            kind: [int((similarity(features(network, images), means) >= threshold).sum()), len(images)]
            for kind, images in others().items()
        },
    }
    tensors = {f"{network.head}.weight": weights, f"{network.head}.bias": biases}
    whole = {name: torch.from_numpy(values).float() for name, values in tensors.items()}
    save_checkpoint(FOLDER / "flowers.safetensors", whole, description)
    content = save({"means": torch.from_numpy(means).float()})
    atomic_write(FOLDER / "flower_means.safetensors", lambda file: file.write(content))
    print({name: description[name] for name in ("strength", "threshold", "accuracy", "refused", "passed")})


def fitted(known: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """Logistic regression with the penalty that is best on validation images: its `C`, weights (K, C), biases (K,)."""
    center = known["train"].mean(0)
    scale = np.sqrt(((known["train"] - center) ** 2).sum(1).mean())
    train, val = ((known[split] - center) / scale for split in ("train", "val"))
    heads = [LogisticRegression(C=strength, max_iter=2000).fit(train, labels["train"]) for strength in STRENGTHS]
    best = max(heads, key=lambda head: head.score(val, labels["val"]))
    weights = best.coef_ / scale
    return best.C, weights, best.intercept_ - weights @ center


def similarity(values: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The largest cosine similarity of features (N, C) and the mean features of the classes (K, C); (N,)."""
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (values, means)]
    return (unit[0] @ unit[1].T).max(1)


if __name__ == "__main__":
    main()
