"""Set-ups as scripts and notebooks write them: models, batches and arguments of unusual shapes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from helpers import diagnose, load_backbone, load_task, make_loaders, replace_head
from tests.mistakes.small import CLASSES, small_world
from transfer_doctor.catalogue import CHECKS


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def alarms(diagnosis):
    failed = {code for code, reason in diagnosis.not_checked.items() if "itself failed" in reason}
    return failed | {finding.code for finding in diagnosis.findings if finding.severity != "note"}


def show(world, model, **fields):
    groups = [p for p in model.parameters() if p.requires_grad]
    fields = {"criterion": nn.CrossEntropyLoss(), "classes": CLASSES, **world.loaders(), **fields}
    return diagnose(model, torch.optim.SGD(groups, lr=1e-3, momentum=0.9), **fields)


class Returning(nn.Module):
    """Returns the scores in some wrapping, or among other things."""

    def __init__(self, world, wrap):
        super().__init__()
        self.body = world.model()
        self.head, self.body.fc = self.body.fc, nn.Identity()
        self.embedding = nn.Linear(256, 16)
        self.wrap = wrap

    def forward(self, images):
        features = self.body(images)
        return self.wrap(self.head(features), self.embedding(features))


WRAPPED = {
    "object": (
        lambda a, b: SimpleNamespace(logits=a, hidden=b),
        lambda out, y: F.cross_entropy(out.logits, y),
    ),
    "scores first": (lambda a, b: (a, b), nn.CrossEntropyLoss()),
    "scores last": (lambda a, b: (b, a), lambda out, y: F.cross_entropy(out[1], y)),
    "mapping": (lambda a, b: {"embedding": b, "logits": a}, nn.CrossEntropyLoss()),
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_scores_are_found_in_whatever_a_model_returns(world, wrapping):
    wrap, criterion = WRAPPED[wrapping]
    assert not alarms(show(world, Returning(world, wrap), criterion=criterion))
    wrong = Returning(world, wrap)
    wrong.head.requires_grad_(False)
    assert alarms(show(world, wrong, criterion=criterion)) == {"head-frozen"}


class Pairs(Dataset):
    """Two images, and whether they are of one class."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        (a, x), (b, y) = self.dataset[index], self.dataset[len(self) - 1 - index]
        return a, b, float(x == y)


def test_a_siamese_network_classifies_nothing(world):
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = world.model()

        def forward(self, a, b):
            return self.body(a), self.body(b)

    loaders = {key: DataLoader(Pairs(x.dataset), 8, shuffle=key[0] == "t") for key, x in world.loaders().items()}
    diagnosis = show(world, Siamese(), criterion=nn.CosineEmbeddingLoss(), classes=None, **loaders)
    assert not alarms(diagnosis), diagnosis
    assert "2 inputs" in diagnosis.not_checked["module-raises"]
    single = show(world, world.model(), criterion=nn.TripletMarginLoss(), classes=None, **loaders)
    assert "other arguments" in single.not_checked["loss-raises"]


class Named(Dataset):
    """The file's name beside image and label, wherever `order` puts it."""

    def __init__(self, dataset, order):
        self.dataset, self.order = dataset, order

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, label = self.dataset[index]
        parts = {"name": f"{index}.png", "image": image, "label": label}
        return tuple(parts[key] for key in self.order)


@pytest.mark.parametrize("order", [("name", "image", "label"), ("image", "name", "label"), ("image", "label", "name")])
def test_batches_with_file_names(world, order):
    loaders = {key: DataLoader(Named(x.dataset, order), 8, shuffle=key[0] == "t") for key, x in world.loaders().items()}
    assert not alarms(show(world, world.model(), **loaders))
    assert "head-wrong-size" in show(world, world.model(head=False), **loaders).codes


@pytest.mark.parametrize("classes", [4, dict(zip(CLASSES, range(4), strict=True)), dict(enumerate(CLASSES))])
def test_classes_as_a_number_or_a_mapping(world, classes):
    assert not alarms(show(world, world.model(), classes=classes))
    assert "head-wrong-size" in show(world, world.model(head=False), classes=classes).codes


def test_a_name_of_timm_with_a_dot_is_no_file(world):
    import timm  # noqa: F401  (the doctor asks it, where the script uses it)

    model = world.model()
    model.preprocessing = None
    codes = show(world, model, weights="timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k").codes
    assert "other-statistics" in codes


def test_a_misplaced_head_is_found_without_knowing_the_classes(world):
    class Untold(Dataset):
        def __init__(self, dataset):
            self.images_and_labels = dataset

        def __len__(self):
            return 10**5

        def __getitem__(self, index):
            return self.images_and_labels[index % 48]

    model = world.model(head=False)
    model.classifier = nn.Linear(256, 7)
    stream = DataLoader(Untold(world.loader("train").dataset), 8, shuffle=True)
    diagnosis = diagnose(model, torch.optim.SGD(model.parameters(), lr=1e-3), stream)
    assert "head-not-reached" in diagnosis.codes


def test_a_rate_set_on_the_optimizer_itself(world):
    model = world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    optimizer.lr = 1e-5
    (finding,) = diagnose(model, optimizer).of("warning")
    assert finding.code == "ignored-attribute"
    assert "optimizer.lr = 1e-05" in finding.verdict


@pytest.mark.parametrize(("rate", "found"), [(0.01, []), (0.03, []), (0.1, ["rate-too-high"])])
def test_momentum_counts_in_the_rate_check(rate, found):
    """Fine-tuned for twelve epochs, this network ends at 85, 84 and 59 % of the test flowers."""
    task = load_task("flowers").few(10)
    model = replace_head(load_backbone("embedded"), len(task.classes)).train()
    loaders = make_loaders(task, model.preprocessing, batch_size=20, augment="light")
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    diagnosis = diagnose(model, optimizer, loaders.train, loaders.val, criterion=nn.CrossEntropyLoss())
    assert [finding.code for finding in diagnosis.of("error") + diagnosis.of("warning")] == found, diagnosis


def test_dropout_alone_in_eval_mode_is_a_note():
    world = small_world("vgg")
    (finding,) = (f for f in show(world, world.model().eval()).findings if f.code == "eval-mode-for-training")
    assert finding.severity == "note"


def test_the_chapter_has_a_section_for_every_finding():
    chapter = (Path(__file__).parents[1] / "book" / "doctor.md").read_text(encoding="utf-8")
    assert {line.removeprefix("### ") for line in chapter.splitlines() if line.startswith("### ")} >= set(CHECKS)


class Floats(Named):
    """Labels as a binary loss wants them."""

    def __getitem__(self, index):
        image, label = self.dataset[index]
        return image, float(label)


def test_names_of_a_wrapped_dataset_count_only_where_its_labels_do(world):
    class Halves(Named):
        def __getitem__(self, index):
            image, label = self.dataset[index]
            return image, label // 2

    loaders = {
        key: DataLoader(Halves(x.dataset, ()), 8, shuffle=key == "train_loader") for key, x in world.loaders().items()
    }
    model = world.model(head=False)
    model.fc = nn.Linear(256, 2)
    assert not alarms(show(world, model, classes=None, **loaders))
    assert "head-wrong-size" in show(world, world.model(head=False), classes=None, **loaders).codes


def test_the_stem_alone_learns_before_a_frozen_body(world):
    def learning(*names):
        model = world.model()
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith(names)
        return model

    assert "freezing-wrong-layers" in show(world, learning("conv1", "bn1", "fc")).codes
    other = learning("conv1", "fc")
    other.conv1 = nn.Conv2d(3, other.conv1.out_channels, 5, 2, 2, bias=False)  # new, as for images of other channels
    assert "freezing-wrong-layers" not in show(world, other).codes


def test_a_misplaced_head_with_its_own_activation_is_one_mistake(world):
    model = world.model(head=False).requires_grad_(False)
    model.classifier = nn.Sequential(nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 4), nn.LogSoftmax(dim=1))
    errors = {finding.code for finding in show(world, model, criterion=nn.NLLLoss()).of("error")}
    assert errors == {"head-not-reached"}


def test_labels_as_floats_are_read(world):
    loaders = {
        key: DataLoader(Floats(x.dataset, ()), 8, shuffle=key == "train_loader") for key, x in world.loaders().items()
    }
    assert not alarms(diagnose(world.model(), None, **loaders))


@pytest.mark.parametrize("classes", [None, ("ants", "bees")])
def test_one_output_for_cross_entropy(world, classes):
    images, labels = world.train
    prepared = torch.stack([world.loader("val").dataset.transform(image) for image in images])
    loaders = {"train_loader": DataLoader(TensorDataset(prepared, labels % 2), 8, shuffle=True), "val_loader": None}
    model = world.model(head=False)
    model.fc = nn.Linear(256, 1)
    assert "head-wrong-size" in show(world, model, classes=classes, **loaders).codes
