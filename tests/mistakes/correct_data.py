"""Data, heads and losses that are right, though some look unusual."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset, WeightedRandomSampler, random_split
from torchvision.transforms import v2

from helpers.data.preprocessing import Preprocessing
from helpers.models.heads import replace_head
from helpers.models.stages import freeze
from tests.mistakes.mistakes import correct
from tests.mistakes.small import ARCHITECTURES, CLASSES, SIZE, look_trained, photos, pretrained, small_world
from tests.mistakes.worlds import Photos, Setup, World


def _with_statistics(architecture: str, mean: tuple, std: tuple) -> Setup:
    world = small_world(architecture, "adam")
    world.preprocessing = Preprocessing(mean, std, SIZE, SIZE)
    model = world.model()
    model.preprocessing = world.preprocessing
    return world.usual(model)


@correct
def weights_with_statistics_of_one_half() -> Setup:
    return _with_statistics("vit", (0.5,) * 3, (0.5,) * 3)


@correct
def clip_statistics() -> Setup:
    return _with_statistics("vit", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@correct
def timm_model_with_its_own_configuration() -> Setup:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=4, img_size=SIZE, depth=2)
    look_trained(model)
    config = {**model.pretrained_cfg, "input_size": (3, SIZE, SIZE)}
    model.pretrained_cfg = config
    world = small_world("vit", "adam")
    world.preprocessing = Preprocessing(tuple(config["mean"]), tuple(config["std"]), SIZE, SIZE)
    groups = [
        {"params": [p for name, p in model.named_parameters() if name.startswith("head.")], "lr": 1e-3},
        {"params": [p for name, p in model.named_parameters() if not name.startswith("head.")], "lr": 1e-5},
    ]
    return Setup(model.train(), torch.optim.AdamW(groups), classes=CLASSES, **world.loaders())


@correct
def normalized_inside_the_model() -> Setup:
    world = small_world("resnet")
    model = world.model()
    whole = nn.Sequential(v2.Normalize(world.preprocessing.mean, world.preprocessing.std), model)
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    transforms = [v2.RandomHorizontalFlip(), *world.preparation[:1]]
    loaders = {"train_loader": world.loader("train", transforms), "val_loader": world.loader("val", transforms[1:])}
    return Setup(whole, optimizer, classes=CLASSES, **loaders)


def _lit(factor: float, offset: float) -> Setup:
    world = small_world("resnet")
    for split in ("train", "val"):
        images, labels = getattr(world, split)
        setattr(world, split, ((images.float() * factor + offset).round().to(torch.uint8), labels))
    return world.usual()


@correct
def dark_photos() -> Setup:
    return _lit(0.25, 0)


@correct
def high_key_photos() -> Setup:
    return _lit(0.25, 191)


@correct
def low_contrast_photos() -> Setup:
    return _lit(0.2, 110)


@correct
def photos_resampled_as_floats() -> Setup:
    world = small_world("mobilenet")
    resample = [world.preparation[0], v2.Resize(SIZE + 8, antialias=True), v2.CenterCrop(SIZE), world.preparation[1]]
    return world.usual(
        train_loader=world.loader("train", [v2.RandomHorizontalFlip(), *resample]),
        val_loader=world.loader("val", resample),
    )


@correct
def strong_augmentation_of_training_alone() -> Setup:
    world = small_world("resnet")
    steps = [v2.RandomResizedCrop(SIZE), v2.ColorJitter(0.3, 0.3, 0.3), v2.RandomRotation(20), *world.preparation]
    return world.usual(train_loader=world.loader("train", [*steps, v2.RandomErasing()]))


@correct
def patches_erased_with_noise() -> Setup:
    world = small_world("resnet")
    steps = [v2.RandomHorizontalFlip(), *world.preparation, v2.RandomErasing(p=0.9, value="random")]
    return world.usual(train_loader=world.loader("train", steps))


@correct
def mixup_in_the_collate_function() -> Setup:
    world = small_world("resnet")
    mix = v2.MixUp(num_classes=len(CLASSES))
    loader = world.loader("train", collate_fn=lambda batch: mix(*torch.utils.data.default_collate(batch)))
    return world.usual(train_loader=loader)


@correct
def class_balanced_sampling_of_an_uneven_task() -> Setup:
    world = small_world("resnet")
    images, labels = photos(96, 0)
    keep = (labels == 0) | (torch.arange(96) < 8)
    dataset = Photos(images[keep], labels[keep], world.loader("train").dataset.transform)
    counts = torch.bincount(dataset.targets)
    weights = (1 / counts.double())[dataset.targets]
    sampler = WeightedRandomSampler(weights, len(dataset), generator=torch.Generator().manual_seed(0))
    return world.usual(train_loader=DataLoader(dataset, 8, sampler=sampler))


@correct
def uneven_task_with_class_weights() -> Setup:
    world = small_world("resnet")
    images, labels = photos(96, 0)
    keep = (labels == 0) | (torch.arange(96) < 8)
    dataset = Photos(images[keep], labels[keep], world.loader("train").dataset.transform)
    weight = 1 / torch.bincount(dataset.targets).float()
    loader = DataLoader(dataset, 8, shuffle=True, drop_last=True)
    return world.usual(train_loader=loader, criterion=nn.CrossEntropyLoss(weight=weight / weight.mean()))


def _two_classes() -> World:
    world = small_world("resnet")
    world.classes = ("ants", "bees")
    world.train, world.val = photos(48, 0, 2), photos(24, 1, 2)
    return world


@correct
def two_classes() -> Setup:
    return _two_classes().usual()


@correct
def two_classes_and_one_logit() -> Setup:
    world = _two_classes()
    model = replace_head(world.model(head=False), 1)
    loss = nn.BCEWithLogitsLoss()
    return world.usual(model, criterion=lambda scores, labels: loss(scores.flatten(), labels.float()))


@correct
def log_softmax_with_nll() -> Setup:
    world = small_world("resnet")
    model = world.model()
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    whole = nn.Sequential(model, nn.LogSoftmax(dim=1))
    return Setup(whole, optimizer, criterion=nn.NLLLoss(), classes=CLASSES, **world.loaders())


@correct
def label_smoothing() -> Setup:
    return small_world("vit", "adam").usual(criterion=nn.CrossEntropyLoss(label_smoothing=0.1))


@correct
def new_hidden_layer_in_the_head() -> Setup:
    world = small_world("resnet")
    model = replace_head(world.model(head=False), len(CLASSES), hidden=64, dropout=0.3)
    freeze(model)
    head = [p for p in model.parameters() if p.requires_grad]
    return Setup(model, torch.optim.Adam(head, lr=1e-3), classes=CLASSES, **world.loaders())


@correct
def features_and_a_new_classifier() -> Setup:
    """A network taken apart: everything but the old head, and a new one."""
    world = small_world("resnet")
    body = nn.Sequential(*list(world.model(head=False).children())[:-1])
    body.preprocessing = world.preprocessing
    model = nn.Sequential(body, nn.Flatten(), nn.Linear(256, len(CLASSES)))
    return Setup(model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9), classes=CLASSES, **world.loaders())


@correct
def evaluation_only() -> Setup:
    world = small_world("mobilenet")
    return Setup(world.model().eval(), val_loader=world.loader("val"), classes=CLASSES)


@correct
def one_folder_split_in_two() -> Setup:
    world = small_world("resnet")
    train, val = world.files("train").dataset, world.files("train").dataset
    val.transform = v2.Compose([v2.ToImage(), *world.preparation])
    generator = torch.Generator().manual_seed(0)
    chosen, rest = random_split(range(len(train)), [0.75, 0.25], generator=generator)
    pair = (Subset(train, list(chosen)), Subset(val, list(rest)))
    return world.usual(train_loader=DataLoader(pair[0], 8, shuffle=True), val_loader=DataLoader(pair[1], 8))


class _Stream(IterableDataset):
    """Images that come as a stream, in a new order each time."""

    def __init__(self, images: Photos) -> None:
        self.images, self.generator = images, torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        for index in torch.randperm(len(self.images), generator=self.generator).tolist():
            yield self.images[index]


@correct
def stream_of_images() -> Setup:
    world = small_world("resnet")
    return world.usual(train_loader=DataLoader(_Stream(world.loader("train").dataset), 8))


@correct
def mappings_instead_of_pairs() -> Setup:
    world = small_world("resnet")
    collate = torch.utils.data.default_collate

    def named(batch: list) -> dict[str, torch.Tensor]:
        images, labels = collate(batch)
        return {"pixel_values": images, "labels": labels}

    return world.usual(
        train_loader=world.loader("train", collate_fn=named), val_loader=world.loader("val", collate_fn=named)
    )


@correct
def weights_told_as_a_state_dict() -> Setup:
    world = small_world("efficientnet")
    return world.usual(weights=pretrained("efficientnet").state_dict())


@correct
def from_scratch_on_purpose() -> Setup:
    world = small_world("resnet")
    torch.manual_seed(0)
    model = ARCHITECTURES["resnet"]()
    model.fc = nn.Linear(256, len(CLASSES))
    model.preprocessing = world.preprocessing
    return Setup(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        weights=False,
        classes=CLASSES,
        **world.loaders(),
    )
