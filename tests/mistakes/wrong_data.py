"""Mistakes in the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    random_split,
)
from torchvision import datasets
from torchvision.transforms import v2

from tests.mistakes.mistakes import mistake
from tests.mistakes.worlds import Photos, Setup, World


def _setup(world: World, train_loader: Any = None, val_loader: Any = None, **fields: Any) -> Setup:
    """A usual set-up with these loaders."""
    model = world.model()
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    train = world.loader("train") if train_loader is None else train_loader
    val = world.loader("val") if val_loader is None else val_loader
    return Setup(model, optimizer, train, val, **{"classes": world.classes, **fields})


def _both(world: World, preparation: Sequence[Any]) -> Setup:
    """A set-up whose two splits are prepared in the same unusual way."""
    mirrored = [v2.RandomHorizontalFlip(), *preparation]
    return _setup(world, world.loader("train", mirrored), world.loader("val", preparation))


@mistake("pixels-0-255")
def never_divided_by_255(world: World, wrong: bool) -> Setup:
    return _both(world, [v2.ToDtype(torch.float32)] if wrong else world.preparation)


@mistake("not-normalized")
def no_normalize(world: World, wrong: bool) -> Setup:
    return _both(world, world.preparation[: 1 if wrong else 2])


@mistake("not-normalized")
def validation_without_normalize(world: World, wrong: bool) -> Setup:
    return _setup(world, val_loader=world.loader("val", world.preparation[: 1 if wrong else 2]))


@mistake("normalized-twice")
def normalize_twice(world: World, wrong: bool) -> Setup:
    return _both(world, world.preparation + (world.preparation[1:] if wrong else []))


@mistake("other-statistics")
def statistics_of_other_weights(world: World, wrong: bool) -> Setup:
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    other = ([0.5] * 3, [0.5] * 3) if world.preprocessing.std[0] < 0.24 else imagenet
    if world.preprocessing.std[0] == 0.25:
        other = ([0.5] * 3, [0.5] * 3)
    return _both(
        world,
        [
            world.preparation[0],
            v2.Normalize(*(other if wrong else (world.preprocessing.mean, world.preprocessing.std))),
        ],
    )


@mistake("other-statistics")
def each_image_by_itself(world: World, wrong: bool) -> Setup:
    def standardize(image: torch.Tensor) -> torch.Tensor:
        image = image.float() / 255
        return (image - image.mean()) / image.std()

    return _both(world, [standardize] if wrong else world.preparation)


@mistake("bgr-images")
def read_as_bgr(world: World, wrong: bool) -> Setup:
    loader = _bgr if wrong else datasets.folder.default_loader
    return _setup(world, world.files("train", loader=loader), world.files("val", loader=loader))


def _bgr(path: str) -> Any:
    """A file as `cv2.imread` gives it: blue first."""
    from PIL import Image

    red, green, blue = datasets.folder.default_loader(path).split()
    return Image.merge("RGB", (blue, green, red))


@mistake("validation-augmented")
def validation_with_training_transforms(world: World, wrong: bool) -> Setup:
    size = world.preprocessing.image_size
    augmented = [v2.RandomResizedCrop(size, scale=(0.1, 1.0)), v2.RandomHorizontalFlip(), *world.preparation]
    return _setup(world, world.loader("train", augmented), world.loader("val", augmented if wrong else None))


@mistake("shared-transform")
def one_dataset_split_in_two(world: World, wrong: bool) -> Setup:
    images, labels = (torch.cat(parts) for parts in zip(world.train, world.val, strict=True))
    size = world.preprocessing.image_size
    augmented = v2.Compose([v2.RandomResizedCrop(size, scale=(0.1, 1.0)), *world.preparation])
    whole = Photos(images, labels, augmented)
    sizes = [len(world.train[1]), len(world.val[1])]
    train, val = random_split(whole, sizes, generator=torch.Generator().manual_seed(world.seed))
    if not wrong:
        val = Subset(Photos(images, labels, v2.Compose(world.preparation)), val.indices)
    return _setup(world, *_loaders(world, train, val))


@mistake("shared-transform")
def shared_transform_overwritten(world: World, wrong: bool) -> Setup:
    """`val.dataset.transform = ...` after `random_split`, as in many scripts."""
    whole, plain = world.files("train").dataset, world.files("val").dataset.transform
    parts = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0)).tolist()
    train, val = Subset(whole, parts[: len(parts) * 3 // 4]), Subset(whole, parts[len(parts) * 3 // 4 :])
    if wrong:
        val.dataset.transform = plain
    else:
        val.dataset = world.files("train").dataset
        val.dataset.transform = plain
    return _setup(world, *_loaders(world, train, val))


@mistake("training-never-changes")
def no_augmentation(world: World, wrong: bool) -> Setup:
    return _setup(world, world.loader("train", world.preparation if wrong else None))


@mistake("split-overlap")
def training_images_in_validation(world: World, wrong: bool) -> Setup:
    val = world.loader("val").dataset
    images, labels = world.train
    count = len(labels) // 2
    copies = Photos(images[:count], labels[:count], v2.Compose(world.preparation))
    return _setup(
        world,
        *_loaders(
            world, world.loader("train", world.preparation).dataset, ConcatDataset([val, copies]) if wrong else val
        ),
    )


@mistake("split-overlap")
def training_files_in_validation(world: World, wrong: bool) -> Setup:
    train, val = world.files("train").dataset, world.files("val").dataset
    return _setup(world, *_loaders(world, train, _with(val, train.samples[::2]) if wrong else val))


@mistake("labels-from-one", trains=False)
def labels_counted_from_one(world: World, wrong: bool) -> Setup:
    return _setup(world, *_relabeled(world, lambda label: label + 1 if wrong else label))


@mistake("labels-out-of-range", trains=False)
def label_without_an_output(world: World, wrong: bool) -> Setup:
    last = len(world.classes) - 1
    return _setup(
        world, *_relabeled(world, lambda label: label + 3 if wrong and label == last else label), classes=world.classes
    )


@mistake("classes-missing")
def class_without_training_images(world: World, wrong: bool) -> Setup:
    images, labels = world.train
    keep = labels != 0 if wrong else labels >= 0
    dataset = Photos(images[keep], labels[keep], world.loader("train").dataset.transform)
    return _setup(world, *_loaders(world, dataset, world.loader("val").dataset))


@mistake("classes-merged")
def two_folders_with_one_label(world: World, wrong: bool) -> Setup:
    train, val = world.files("train").dataset, world.files("val").dataset
    for dataset in (train, val) if wrong else ():
        dataset.samples = [(path, max(label, 1)) for path, label in dataset.samples]
        dataset.targets = [label for _, label in dataset.samples]
    return _setup(world, *_loaders(world, train, val))


@mistake("class-order-differs")
def validation_counts_classes_backwards(world: World, wrong: bool) -> Setup:
    val = world.files("val").dataset
    if wrong:
        last = len(val.classes) - 1
        val.samples = [(path, last - label) for path, label in val.samples]
        val.targets = [label for _, label in val.samples]
    return _setup(world, *_loaders(world, world.files("train").dataset, val))


@mistake("class-names-in-another-order")
def names_shuffled(world: World, wrong: bool) -> Setup:
    return _setup(world, classes=world.classes[::-1] if wrong else world.classes)


@mistake("class-names-in-another-order", trains=False)
def numbered_folders_sorted_as_text(world: World, wrong: bool) -> Setup:
    loaders = world.loaders()
    numbers = ["1", "10", "11", "2"]
    for loader in loaders.values():
        loader.dataset.classes = numbers
    names = [f"species {number}" for number in ((1, 2, 10, 11) if wrong else numbers)]
    return _setup(world, **loaders, classes=names)


@mistake("class-imbalance")
def every_second_class_with_a_tenth_of_the_images(world: World, wrong: bool) -> Setup:
    """Against as many images in all, evenly spread."""
    images, labels = world.train
    most = int(torch.bincount(labels).min())
    counts = [(most // 10 if label % 2 else most) if wrong else most * 11 // 20 for label in range(len(world.classes))]
    chosen = torch.cat([(labels == label).nonzero().flatten()[: max(1, n)] for label, n in enumerate(counts)])
    dataset = Photos(images[chosen], labels[chosen], world.loader("train").dataset.transform)
    return _setup(world, *_loaders(world, dataset, world.loader("val").dataset))


@mistake("not-shuffled")
def shuffle_forgotten(world: World, wrong: bool) -> Setup:
    images, labels = world.train
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(world.seed))
    dataset = Photos(images[mixed], labels[mixed], world.loader("train").dataset.transform)
    return _setup(world, DataLoader(dataset, world.batch_size, shuffle=not wrong))


@mistake("repeats-without-set-epoch")
def distributed_sampler_never_told_the_epoch(world: World, wrong: bool) -> Setup:
    dataset = world.loader("train").dataset
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0)
    return _setup(world, DataLoader(dataset, world.batch_size, **{"sampler": sampler} if wrong else {"shuffle": True}))


@mistake("sorted-batches")
def class_by_class(world: World, wrong: bool) -> Setup:
    images, labels = world.train
    order = labels.argsort()
    dataset = Photos(images[order], labels[order], world.loader("train").dataset.transform)
    return _setup(world, DataLoader(dataset, world.batch_size, shuffle=not wrong))


@mistake("last-batch-of-one", only=("resnet", "mobilenet", "efficientnet"))
def one_image_left_over(world: World, wrong: bool) -> Setup:
    dataset = world.loader("train").dataset
    count = (len(dataset) - 1) // world.batch_size * world.batch_size + 1
    return _setup(world, DataLoader(Subset(dataset, range(count)), world.batch_size, shuffle=True, drop_last=not wrong))


@mistake("image-size", only=("resnet", "mobilenet", "efficientnet", "squeezenet"))
def smaller_than_the_weights_know(world: World, wrong: bool) -> Setup:
    size = world.preprocessing.image_size
    resize: list[Callable] = [v2.Resize(size * 5 // 8, antialias=True)] if wrong else []
    return _both(world, [*resize, *world.preparation])


@mistake("interpolation")
def resized_by_nearest(world: World, wrong: bool) -> Setup:
    mode = v2.InterpolationMode.NEAREST if wrong else v2.InterpolationMode.BILINEAR
    size = world.preprocessing.image_size
    enlarge = v2.Resize(size * 5 // 4, interpolation=mode, antialias=not wrong)
    return _both(world, [enlarge, v2.CenterCrop(size), *world.preparation])


@mistake("gray-images")
def gray_photos(world: World, wrong: bool) -> Setup:
    return _both(world, [*([v2.Grayscale(3)] if wrong else []), *world.preparation])


@mistake("images-not-finite", trains=False)
def one_nan(world: World, wrong: bool) -> Setup:
    def divide(image: torch.Tensor) -> torch.Tensor:
        image = image.clone()
        image[0, 0, 0] = float("nan") if wrong else image[0, 0, 0]
        return image

    return _setup(world, world.loader("train", [*world.preparation, divide]))


@mistake("loader-raises", trains=False)
def no_to_tensor(world: World, wrong: bool) -> Setup:
    transforms = [v2.ToPILImage()] if wrong else None
    return _setup(world, world.loader("train", transforms))


@mistake("loader-empty", trains=False)
def batch_larger_than_the_split(world: World, wrong: bool) -> Setup:
    dataset = world.loader("train").dataset
    return _setup(world, DataLoader(dataset, len(dataset) + (1 if wrong else 0), shuffle=True, drop_last=True))


@mistake("classes-missing", trains=False)
def sampler_draws_the_first_half_of_sorted_images(world: World, wrong: bool) -> Setup:
    images, labels = world.train
    order = labels.argsort(stable=True)
    dataset = Photos(images[order], labels[order], world.loader("train").dataset.transform)
    half = len(labels) // 2
    chosen = range(half) if wrong else torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:half]
    return _setup(world, DataLoader(dataset, world.batch_size, sampler=SubsetRandomSampler([int(i) for i in chosen])))


@mistake("images-never-drawn")
def one_weight_for_each_class(world: World, wrong: bool) -> Setup:
    dataset = world.loader("train").dataset
    weights = 1 / torch.bincount(dataset.targets).double()
    sampler = WeightedRandomSampler(weights if wrong else weights[dataset.targets], len(dataset))
    return _setup(world, DataLoader(dataset, world.batch_size, sampler=sampler))


@mistake("validation-incomplete")
def validation_drops_its_last_batch(world: World, wrong: bool) -> Setup:
    val = world.loader("val").dataset
    part = Subset(val, range(len(val) - 1))
    return _setup(world, val_loader=DataLoader(part, world.batch_size, drop_last=wrong))


def _uneven(world: World) -> Photos:
    """Half as many images in each class as in the one before, at least two."""
    images, labels = world.train
    most = int(torch.bincount(labels).min())
    chosen = [(labels == c).nonzero().flatten()[: max(2, most >> min(c, 2))] for c in range(len(world.classes))]
    chosen = torch.cat(chosen)
    return Photos(images[chosen], labels[chosen], world.loader("train").dataset.transform)


@mistake("class-weights-backwards")
def loss_weights_by_the_counts(world: World, wrong: bool) -> Setup:
    dataset = _uneven(world)
    counts = torch.bincount(dataset.targets).float()
    weight = counts if wrong else 1 / counts
    loader = DataLoader(dataset, world.batch_size, shuffle=True, drop_last=True)
    return _setup(world, loader, criterion=nn.CrossEntropyLoss(weight=weight / weight.mean()))


@mistake("class-weights-backwards")
def sampling_weights_by_the_counts(world: World, wrong: bool) -> Setup:
    dataset = _uneven(world)
    counts = torch.bincount(dataset.targets).double()
    weights = (counts if wrong else 1 / counts)[dataset.targets]
    sampler = WeightedRandomSampler(weights, len(dataset), generator=torch.Generator().manual_seed(0))
    return _setup(world, DataLoader(dataset, world.batch_size, sampler=sampler, drop_last=True))


def _loaders(world: World, train: Any, val: Any) -> tuple[DataLoader, DataLoader]:
    return DataLoader(train, world.batch_size, shuffle=True), DataLoader(val, world.batch_size)


def _with(dataset: datasets.ImageFolder, samples: list[tuple[str, int]]) -> datasets.ImageFolder:
    dataset.samples = [*dataset.samples, *samples]
    dataset.targets = [label for _, label in dataset.samples]
    dataset.imgs = dataset.samples
    return dataset


def _relabeled(world: World, change: Callable[[int], int]) -> tuple[DataLoader, DataLoader]:
    """Loaders whose labels went through a function."""
    made = []
    for split in ("train", "val"):
        dataset = world.loader(split).dataset
        labels = torch.tensor([change(int(label)) for label in dataset.targets])
        made.append(Photos(dataset.images, labels, dataset.transform))
    return _loaders(world, *made)
