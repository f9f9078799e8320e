"""What scripts hand to the doctor beside one model, one optimizer and pairs: all of it is looked at."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset

from tests.mistakes import CORRECT
from tests.mistakes.small import CLASSES, small_world
from transfer_doctor import diagnose
from transfer_doctor.report import headline


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def alarms(diagnosis):
    failed = {code for code, reason in diagnosis.not_checked.items() if "itself failed" in reason}
    return failed | {finding.code for finding in diagnosis.findings if finding.severity != "note"}


class Keyed(Dataset):
    """Items as dictionaries."""

    def __init__(self, dataset, make):
        self.dataset, self.make = dataset, make

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.make(*self.dataset[index])


KEYS = {
    "pic and class": lambda image, label: {"pic": image, "class": label},
    "two images": lambda image, label: {"image1": image, "image2": image.flip(2), "same_class": label},
    "with an index": lambda image, label: {"idx": 7, "photo": image, "species_label": label, "file": "a.png"},
    "only number": lambda image, label: {"photo": image, "species": label, "file": "a.png"},
}


@pytest.mark.parametrize("keys", KEYS)
def test_dictionaries_with_any_keys_are_read(world, keys):
    loaders = {
        key: DataLoader(Keyed(x.dataset, KEYS[keys]), 8, shuffle=key[0] == "t") for key, x in world.loaders().items()
    }
    assert not alarms(diagnose(world.model(), None, **loaders, classes=CLASSES))
    assert "head-wrong-size" in diagnose(world.model(head=False), None, **loaders, classes=CLASSES).codes


def test_a_dictionary_that_cannot_be_read_is_no_error_and_silences_nothing_else(world):
    loader = DataLoader(Keyed(world.loader("train").dataset, lambda image, label: {"a": image, "b": 1, "c": label}), 8)
    model = world.model()
    model.fc.requires_grad_(False)
    diagnosis = diagnose(model, torch.optim.SGD(model.parameters(), lr=1e-3), loader)
    assert alarms(diagnosis) == {"head-frozen"}
    assert "'a', 'b', 'c'" in diagnosis.not_checked["loader-raises"]
    assert diagnosis.not_checked["schedule-flattens-rates"] == "needs `scheduler`"


def several(model, rates=(1e-3, 1e-2)):
    body = [p for name, p in model.named_parameters() if not name.startswith("fc.") and p.requires_grad]
    return [torch.optim.SGD(body, lr=rates[0], momentum=0.9), torch.optim.Adam(model.fc.parameters(), lr=rates[1] / 10)]


@pytest.mark.parametrize("form", [list, tuple, lambda optimizers: dict(zip(("body", "head"), optimizers, strict=True))])
def test_several_optimizers_are_looked_at_like_one(world, form):
    model = world.model()
    optimizers = several(model)
    schedulers = [lr_scheduler.StepLR(optimizer, 5) for optimizer in optimizers]
    right = diagnose(model, form(optimizers), **world.loaders(), scheduler=schedulers, criterion=nn.CrossEntropyLoss())
    assert not alarms(right), right
    assert "needs `optimizer`" not in right.not_checked.values()
    old = diagnose(world.model(head=False), form(optimizers), **world.loaders(), classes=CLASSES)
    assert {"head-wrong-size", "foreign-parameters"} <= set(old.codes)


def test_several_optimizers_have_the_mistakes_of_one(world):
    model = world.model()
    body, head = several(model)
    assert "parameters-not-in-optimizer" in diagnose(model, [body], **world.loaders()).codes
    assert "parameter-twice" in diagnose(model, [body, head, head]).codes
    other = lr_scheduler.StepLR(torch.optim.SGD(model.parameters(), lr=1e-3), 5)
    assert "scheduler-of-another-optimizer" in diagnose(model, [body, head], scheduler=[other]).codes
    high = diagnose(model, several(model, (3.0, 1e-2)), **world.loaders(), criterion=nn.CrossEntropyLoss())
    assert "rate-too-high" in high.codes


def test_nothing_found_is_said_only_where_everything_was_looked_at(world):
    little = diagnose(world.model())
    assert "Nothing found" not in repr(little)
    first = repr(little).splitlines()[0]
    assert first == headline(little)
    assert f"{little.done} checks done, {len(little.not_checked)} not done" in first
    assert little.to_json()["done"] == little.done


class LoRA(nn.Module):
    """A frozen layer and a small learning one beside it (Hu et al., 2022)."""

    def __init__(self, base, rank=4):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = nn.Linear(base.in_features, rank, False), nn.Linear(rank, base.out_features, False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def test_low_rank_adapters_by_hand():
    world = small_world("vit", "adam")
    model = world.model().requires_grad_(False)
    for block in model.encoder.layers:
        block.mlp[0], block.mlp[3] = LoRA(block.mlp[0]), LoRA(block.mlp[3])
    model.heads.requires_grad_(True)
    assert not alarms(diagnose(**world.usual(model).arguments()))


def test_low_rank_adapters_by_peft():
    peft = pytest.importorskip("peft")
    world = small_world("vit", "adam")
    config = peft.LoraConfig(r=4, target_modules=r".*mlp\.[03]", modules_to_save=["heads"])
    model = peft.get_peft_model(world.model(), config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    assert not alarms(diagnose(model, optimizer, **world.loaders(), criterion=nn.CrossEntropyLoss(), classes=CLASSES))


class WithTeacher(nn.Module):
    """A student and its slowly following copy, as MoCo and mean teachers have it."""

    def __init__(self, world):
        super().__init__()
        self.student = world.model()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, images):
        with torch.no_grad():
            self.teacher(images)
        return self.student(images)


def test_a_copy_that_follows_by_averaging(world):
    model = WithTeacher(world)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=1e-3, momentum=0.9)
    assert not alarms(diagnose(model, optimizer, **world.loaders(), criterion=nn.CrossEntropyLoss(), classes=CLASSES))
    average = torch.optim.swa_utils.AveragedModel(world.model()).eval()
    assert not alarms(diagnose(average, val_loader=world.loader("val"), classes=CLASSES))


class ImageAndTable(nn.Module):
    """Classifies by an image and some numbers beside it."""

    def __init__(self, world):
        super().__init__()
        self.body = world.model(head=False)
        self.body.fc = nn.Identity()
        self.fc = nn.Linear(256 + 3, 4)

    def forward(self, image, numbers):
        return self.fc(torch.cat([self.body(image), numbers], dim=1))


def test_a_model_with_two_inputs_is_looked_at_where_it_can_be(world):
    loaders = {
        key: DataLoader(Keyed(x.dataset, lambda image, label: (image, torch.rand(3), label)), 8, shuffle=key[0] == "t")
        for key, x in world.loaders().items()
    }
    model = ImageAndTable(world)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    diagnosis = diagnose(model, optimizer, **loaders, criterion=nn.CrossEntropyLoss(), classes=CLASSES)
    assert not alarms(diagnosis), diagnosis
    model.fc.requires_grad_(False)
    assert "head-frozen" in diagnose(model, optimizer, **loaders, classes=CLASSES).codes


def test_a_head_that_begins_at_zero_is_right(world):
    model = world.model()
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    assert not alarms(diagnose(**world.usual(model).arguments()))
    cut = nn.Sequential(model, nn.ReLU())
    codes = diagnose(cut, None, **world.loaders(), criterion=nn.CrossEntropyLoss(), classes=CLASSES).codes
    assert "activation-after-logits" in codes


def test_a_probe_in_eval_mode_on_purpose_does_not_drift(world):
    model = world.model().requires_grad_(False).eval()
    model.fc.requires_grad_(True)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.1, momentum=0.9)
    assert not alarms(diagnose(model, optimizer, **world.loaders(), criterion=nn.CrossEntropyLoss(), classes=CLASSES))


def test_there_are_sixty_correct_set_ups():
    assert len(CORRECT) >= 60
