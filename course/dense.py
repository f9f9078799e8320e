"""Beyond classification: a pretrained backbone under a segmenter and under a detector, on drawn flowers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.segmentation.lraspp import LRASPP
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from course.figures import COLORS
from drawn import flowers
from drawn.annotations import annotate
from helpers.data.preprocessing import Preprocessing
from helpers.data.transforms import normalize
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.modes import eval_mode
from helpers.seeding import seeded

MEASURED = Path(__file__).resolve().parents[1] / "data" / "dense.json"


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images of flowers and where the flowers are.

    Attributes:
        images: uint8 (N, 3, S, S).
        classes: int64 (N, S, S): 0 where no flower is, else 1 + the species.
        targets: of each image its `boxes` (F, 4), float32, and their `labels` (F,), 1 + the species.
    """

    images: Tensor
    classes: Tensor
    targets: list[dict[str, Tensor]]

    def __len__(self) -> int:
        return len(self.images)


def draw_scenes(count: int, species: int = 4, size: int = 64, seed: int = 0) -> Scenes:
    """Draw images of the first species in turn, with the class of each pixel and the boxes.

    Args:
        count: how many images.
        species: how many species.
        size: width and height in pixels.
        seed: another seed, other images.
    """
    labels = torch.arange(count) % species
    found = annotate(labels.tolist(), size, seed)
    masks = torch.stack([one.mask for one in found])
    classes = (masks > 0) * (1 + labels[:, None, None])
    targets = [
        {"boxes": one.boxes, "labels": label.repeat(len(one.boxes))}
        for one, label in zip(found, labels + 1, strict=True)
    ]
    return Scenes(flowers.draw(labels.tolist(), size, seed), classes, targets)


def segmenter(backbone: nn.Module, classes: int, low: str = "layer1", high: str = "layer3") -> nn.Module:
    """A light segmenter on two stages of the embedded backbone: fine places from `low`, meaning from `high`.

    Source of the head (LR-ASPP): Howard et al., *Searching for MobileNetV3* (ICCV 2019); torchvision's.

    Args:
        backbone: the embedded one.
        classes: of a pixel, the background included.
        low: an early stage, with much resolution.
        high: a later stage.

    Returns:
        A network from images (B, 3, S, S) to a dictionary whose `"out"` is (B, classes, S, S).
    """
    body = IntermediateLayerGetter(backbone, {low: "low", high: "high"})
    return LRASPP(body, _width(backbone, low), _width(backbone, high), classes)


def detector(backbone: nn.Module, classes: int, size: int = 64, channels: int = 64) -> nn.Module:
    """A light detector without anchor boxes (FCOS) on a feature pyramid over three stages of the embedded backbone.

    Source: Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection* (ICCV 2019); torchvision's.

    Args:
        backbone: the embedded one, with its `preprocessing`.
        classes: of a box, 0 for "no object" included.
        size: of the images, in pixels.
        channels: of the pyramid.

    Returns:
        torchvision's detector: images in [0, 1] and targets to losses in train mode, images to boxes in eval mode.
    """
    preprocessing = backbone.preprocessing
    levels = {"layer2": "0", "layer3": "1", "layer4": "2"}
    widths = [_width(backbone, level) for level in levels]
    strides = (8, 16, 32, 64)  # of the three stages, and of the level that the pyramid adds
    return FCOS(
        BackboneWithFPN(backbone, levels, widths, channels),
        classes,
        min_size=size,
        max_size=size,
        image_mean=preprocessing.mean,
        image_std=preprocessing.std,
        anchor_generator=AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides)),
        head=FCOSHead(channels, 1, classes, num_convs=2),
        score_thresh=0.05,
        detections_per_img=10,
    )


def _width(backbone: nn.Module, stage: str) -> int:
    """Channels of a stage of a ResNet."""
    return backbone.get_submodule(stage)[-1].bn2.num_features


def new_backbone(pretrained: bool, seed: int) -> nn.Module:
    """The embedded backbone, or its shape with random weights that depend on the seed."""
    torch.manual_seed(seed)
    return load_backbone("embedded", "DEFAULT" if pretrained else None)


def batches(scenes: Scenes, epochs: int, seed: int, size: int = 16) -> Iterator[Tensor]:
    """Indices of the batches of all epochs, shuffled anew in each; an incomplete batch is left out."""
    for epoch in range(epochs):
        order = torch.randperm(len(scenes), generator=seeded(seed, epoch, 0))
        yield from order[: len(scenes) // size * size].split(size)


def train_segmenter(
    model: nn.Module, scenes: Scenes, preprocessing: Preprocessing, *, epochs: int, lr: float, seed: int = 0
) -> None:
    """Train with cross-entropy over pixels, AdamW and one cycle of the rate."""
    inputs = normalize(scenes.images, preprocessing)
    optimizer, scheduler = _optimizer(model, lr, epochs * (len(scenes) // 16))
    model.train()
    for indices in batches(scenes, epochs, seed):
        loss = functional.cross_entropy(model(inputs[indices])["out"], scenes.classes[indices])
        _step(loss, optimizer, scheduler)


def train_detector(model: nn.Module, scenes: Scenes, *, epochs: int, lr: float, seed: int = 0) -> None:
    """Train with the detector's own losses, AdamW and one cycle of the rate."""
    inputs = scenes.images / 255
    optimizer, scheduler = _optimizer(model, lr, epochs * (len(scenes) // 16))
    model.train()
    for indices in batches(scenes, epochs, seed):
        some = indices.tolist()
        losses = model([inputs[i] for i in some], [scenes.targets[i] for i in some])
        _step(sum(losses.values()), optimizer, scheduler)


def _optimizer(
    model: nn.Module, lr: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.1)


def _step(loss: Tensor, optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.OneCycleLR) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()


@torch.no_grad()
def segment(model: nn.Module, images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The class of each pixel, int64 (N, S, S), of uint8 images (N, 3, S, S)."""
    with eval_mode(model):
        parts = normalize(images, preprocessing).split(50)
        return torch.cat([model(part)["out"].argmax(1) for part in parts])


@torch.no_grad()
def detect(model: nn.Module, images: Tensor) -> list[dict[str, Tensor]]:
    """Boxes, labels and scores of uint8 images (N, 3, S, S), the surest first."""
    with eval_mode(model):
        return [found for part in (images / 255).split(50) for found in model(list(part))]


def mean_iou(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Mean intersection over union of the classes, 0 to 1, over all pixels (N, S, S)."""
    return MulticlassJaccardIndex(classes)(predicted, truth).item()


def mean_ap(found: list[dict[str, Tensor]], truth: list[dict[str, Tensor]]) -> dict[str, float]:
    """Mean average precision of boxes: `map` over overlaps of 0.5 to 0.95 (COCO), and `map_50`."""
    metric = MeanAveragePrecision()
    metric.update(found, truth)
    scores = metric.compute()
    return {name: scores[name].item() for name in ("map", "map_50")}


def with_mask(image: Tensor, classes: Tensor) -> Tensor:
    """A uint8 image (3, S, S) with each class but 0 of its pixels (S, S) in a color of its own."""
    masks = torch.stack([classes == label for label in range(1, len(COLORS) + 1)])
    return draw_segmentation_masks(image, masks, alpha=0.7, colors=list(COLORS))


def with_boxes(image: Tensor, found: dict[str, Tensor], least: float = 0.3, scale: int = 3) -> Tensor:
    """A uint8 image, enlarged, with its boxes in the colors of their classes; detections from a score of `least` on."""
    large = image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    keep = found.get("scores", torch.ones(len(found["boxes"]))) >= least
    colors = [COLORS[label - 1] for label in found["labels"][keep].tolist()]
    return draw_bounding_boxes(large, scale * found["boxes"][keep], colors=colors, width=4) if colors else large


def measured(task: str, score: str, path: Path = MEASURED) -> dict[str, list[float]]:
    """Test scores that `make models` measured, by start ("pretrained", "from scratch"), one per seed.

    Args:
        task: "segmentation" or "detection".
        score: "iou", or "map" or "map_50".
        path: of the measurement.

    Raises:
        HelpersError: if it is missing or damaged.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in stored["runs"] if row["task"] == task and row["seed"] in stored["seeds"]]
        starts = dict.fromkeys(row["start"] for row in rows)
        return {start: [row[score] for row in rows if row["start"] == start] for start in starts}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HelpersError(f"{path} cannot be read ({error!r}); measure it again with `make models`") from error
