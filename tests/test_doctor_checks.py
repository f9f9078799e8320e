"""What particular checks find, and what they do not mistake for it, in objects made for each."""

import math

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from helpers import diagnose
from tests.mistakes import MISTAKES
from tests.mistakes.small import CLASSES, small_world
from transfer_doctor.pixels import measure
from transfer_doctor.rate_comparison import RateComparison


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def test_the_lattice_tells_mean_and_std():
    pixels = torch.randint(0, 256, (4, 16, 16)) / 255
    channel = measure((pixels - 0.485) / 0.229)
    assert channel.std == pytest.approx(0.229, rel=1e-4)
    assert channel.mean[0] <= 0.485 + 1e-4
    assert channel.mean[1] >= 0.485 - 1e-4
    dark = measure((pixels * 255 // 4 / 255 - 0.485) / 0.229)
    assert dark.std == pytest.approx(0.229, rel=1e-4)
    assert dark.mean[1] - dark.mean[0] > 0.5
    assert measure(torch.rand(4, 64, 64)).std is None


def test_frozen_resnet_of_the_tutorial_drifts_by_a_measured_fraction(world):
    setup = next(each for each in MISTAKES if each.name == "frozen_by_requires_grad_alone").build(world, True)
    found = {finding.code: finding for finding in diagnose(**setup.arguments()).findings}
    finding = found["frozen-batchnorm-drifts"]
    assert "% of the distance between images" in finding.evidence
    assert "20 frozen BatchNorm layers" in finding.verdict


def test_random_torchvision_network_is_told_from_a_pretrained_one():
    model = resnet18()
    model.fc = nn.Linear(512, 2)
    assert "weights-look-random" in diagnose(model, torch.optim.SGD(model.parameters(), lr=1e-3)).codes


def test_gradients_left_over_move_frozen_parameters(world):
    model = world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    images, labels = next(iter(world.loader("train")))
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
    for parameter in model.layer1.parameters():
        parameter.requires_grad = False
    finding = next(f for f in diagnose(model, optimizer).findings if f.code == "frozen-in-optimizer")
    assert finding.severity == "warning"
    model.zero_grad()
    finding = next(f for f in diagnose(model, optimizer).findings if f.code == "frozen-in-optimizer")
    assert finding.severity == "note"


def test_trainable_parameters_that_forward_ignores_are_a_note(world):
    model = world.model()
    model.spare = nn.Linear(7, 7)
    assert "parameters-unused" in diagnose(model, None, world.loader("train")).codes


def test_steps_counted_in_validation_batches_are_no_accumulation(world):
    model = world.model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    train = torch.utils.data.DataLoader(world.loader("train").dataset, 3, shuffle=True)
    val = torch.utils.data.DataLoader(world.loader("val").dataset, 3)
    cut = torch.utils.data.DataLoader(torch.utils.data.Subset(val.dataset, range(15)), 3)
    for steps, expected in ((5 * len(train), False), (5 * len(cut), True), (5 * (len(train) // 4), False)):
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-4, total_steps=steps)
        assert ("schedule-length" in diagnose(model, optimizer, train, cut, scheduler=scheduler).codes) is expected


def test_samplers_that_divide_one_dataset_do_not_overlap(world):
    dataset = world.loader("train", world.preparation).dataset
    order = torch.randperm(len(dataset)).tolist()
    samplers = [torch.utils.data.SubsetRandomSampler(part) for part in (order[:32], order[32:], order[:40])]
    loaders = [torch.utils.data.DataLoader(dataset, 8, sampler=sampler) for sampler in samplers]
    assert "split-overlap" not in diagnose(None, None, loaders[0], loaders[1]).codes
    assert "split-overlap" in diagnose(None, None, loaders[2], loaders[1]).codes


class Table(torch.utils.data.Dataset):
    """File names in one list, and labels that only `__getitem__` tells."""

    def __init__(self, folder, change):
        self.paths, self.folder, self.change = [path for path, _ in folder.samples], folder, change

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image, label = self.folder[index]
        return image, self.change(label)


def test_labels_read_in_shuffled_order_are_not_paired_with_files(world):
    def loaders(change_val):
        train, val = Table(world.files("train").dataset, int), Table(world.files("val").dataset, change_val)
        return torch.utils.data.DataLoader(train, 8, shuffle=True), torch.utils.data.DataLoader(val, 8)

    assert not {"classes-merged", "class-order-differs"} & set(diagnose(None, None, *loaders(int)).codes)
    assert "class-order-differs" in diagnose(None, None, *loaders(lambda label: 3 - label)).codes


def test_labels_shifted_by_a_target_transform_are_one_mistake_not_two(world):
    train, val = (world.files(split, target_transform=lambda label: label + 1) for split in ("train", "val"))
    codes = diagnose(world.model(), None, train, val).codes
    assert "labels-from-one" in codes
    assert "class-order-differs" not in codes


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_sigmoid_before_a_binary_loss_with_logits(world, squeeze):
    class Binary(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = world.model(head=False)
            self.body.fc = nn.Linear(256, 1)

        def forward(self, images):
            scores = torch.sigmoid(self.body(images))
            return scores.squeeze(1) if squeeze else scores

    loss = nn.BCEWithLogitsLoss()
    function = lambda scores, labels: loss(scores.flatten(), labels.float())  # noqa: E731
    for criterion in (loss, function):
        diagnosis = diagnose(Binary(), None, world.loader("train"), criterion=criterion, classes=("ants", "bees"))
        assert "activation-after-logits" in diagnosis.codes


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid, torch.relu])
def test_an_activation_inside_forward(world, function):
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = world.model()

        def forward(self, images):
            return function(self.body(images))

    diagnosis = diagnose(Bounded(), None, world.loader("train"), criterion=nn.CrossEntropyLoss(), classes=CLASSES)
    assert "activation-after-logits" in diagnosis.codes


def test_weights_initialized_again_after_loading(world):
    model = world.model()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    assert "weights-look-random" in diagnose(model, None, world.loader("train")).codes


def test_trainable_set_on_parameters(world):
    model = world.model()
    for parameter in model.layer1.parameters():
        parameter.trainable = False
    assert "ignored-attribute" in diagnose(model).codes


def test_a_network_that_leapt_up_and_guesses_since_has_forgotten_all():
    """EfficientNet-Lite0 at 64 px, SGD at 0.01: it ends with one answer for ants and bees, and so at a tenth."""
    leapt = [0.95, 3.93, 0.58, 0.69, 1.0, 0.51, 0.75, 0.86, 0.69, 0.72, 0.7, 0.69, 0.69, 0.71, 0.69, 0.68, 0.72, 0.67]
    slowly = [0.7 - 0.001 * step + 0.03 * (-1) ** step for step in range(18)]
    tenth = [0.95, 1.14, 2.75, 0.82, 0.85, 0.46, 1.16, 0.71, 0.75, 0.76, 0.57, 1.43, 0.39, 1.58, 0.81, 0.92, 0.64, 1.67]
    assert RateComparison(leapt, tenth, 8, 0, guessing=math.log(2)).slower_is_better
    assert not RateComparison(slowly, slowly, 8, 0, guessing=math.log(2)).slower_is_better
