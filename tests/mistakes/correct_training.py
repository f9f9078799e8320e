"""Ways to train that are right, though some look unusual."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from helpers.models.heads import replace_head
from helpers.models.stages import freeze, freeze_batchnorm_statistics, parameter_groups, stages
from tests.mistakes.mistakes import CORRECT, correct
from tests.mistakes.small import ARCHITECTURES, CLASSES, photos, small_world
from tests.mistakes.worlds import Setup, World


def _linear_probe(world: World) -> Setup:
    model = world.model()
    freeze(model)
    return world.usual(model)


for _architecture in ARCHITECTURES:
    for _family in ("sgd", "adam"):
        CORRECT[f"fine_tuning_{_architecture}_{_family}"] = lambda a=_architecture, f=_family: small_world(a, f).usual()
    CORRECT[f"linear_probe_{_architecture}"] = lambda a=_architecture: _linear_probe(small_world(a))


@correct
def linear_probe_without_freezing_calls() -> Setup:
    """Only the head in the optimizer, the body frozen, everything in eval mode for good."""
    world = small_world("resnet")
    model = world.model().eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("fc.")
    freeze(model)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.1, momentum=0.9)
    return Setup(model.eval(), optimizer, classes=CLASSES, **world.loaders())


@correct
def second_phase_of_lp_ft() -> Setup:
    world = small_world("resnet", "adam")
    model = world.model()
    features = world.loader("val", shuffle=False)
    head = torch.optim.Adam(model.fc.parameters(), lr=1e-3)
    freeze(model)
    for images, labels in features:
        head.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        head.step()
    for module in model.modules():
        module.__dict__.pop("train", None)
    model.requires_grad_(True).train()
    model.zero_grad()
    return world.usual(model)


@correct
def discriminative_one_cycle() -> Setup:
    world = small_world("resnet", "adam")
    model = world.model()
    optimizer = torch.optim.AdamW(parameter_groups(model, 1e-3, 0.3, weight_decay=1e-2))
    loaders = world.loaders()
    rates = [group["lr"] for group in optimizer.param_groups]
    scheduler = lr_scheduler.OneCycleLR(optimizer, rates, epochs=3, steps_per_epoch=len(loaders["train_loader"]))
    return Setup(model, optimizer, scheduler=scheduler, classes=CLASSES, **loaders)


@correct
def adam_1e_3_with_one_cycle_warm_up() -> Setup:
    world = small_world("mobilenet")
    model = world.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loaders = world.loaders()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1e-3, epochs=5, steps_per_epoch=len(loaders["train_loader"]))
    return Setup(model, optimizer, scheduler=scheduler, classes=CLASSES, **loaders)


@correct
def gradient_accumulation_with_one_cycle() -> Setup:
    world = small_world("resnet")
    model = world.model()
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    loaders = world.loaders()
    steps = 5 * (len(loaders["train_loader"]) // 2)
    scheduler = lr_scheduler.OneCycleLR(optimizer, list(world.rates[::-1]), total_steps=steps)
    return Setup(model, optimizer, scheduler=scheduler, classes=CLASSES, **loaders)


@correct
def warm_up_then_cosine() -> Setup:
    world = small_world("efficientnet", "adam")
    setup = world.usual()
    warm = lr_scheduler.LinearLR(setup.optimizer, 0.1, total_iters=3)
    cosine = lr_scheduler.CosineAnnealingLR(setup.optimizer, 20)
    setup.scheduler = lr_scheduler.SequentialLR(setup.optimizer, [warm, cosine], [3])
    return setup


@correct
def reduce_on_plateau() -> Setup:
    setup = small_world("squeezenet").usual()
    setup.scheduler = lr_scheduler.ReduceLROnPlateau(setup.optimizer, patience=2)
    return setup


@correct
def stem_frozen_on_purpose() -> Setup:
    world = small_world("resnet")
    model = world.model()
    freeze(model, up_to=stages(model)[1].name)
    return world.usual(model)


@correct
def batch_norm_in_eval_while_fine_tuning() -> Setup:
    world = small_world("mobilenet")
    world.rates = (1e-3, 1e-4)  # with ten times these, this network diverges when BatchNorm does not rescale
    model = world.model()
    freeze_batchnorm_statistics(model)
    return world.usual(model)


@correct
def only_norms_and_head_learn() -> Setup:
    world = small_world("vit", "adam")
    model = world.model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "ln" in name or name.startswith("heads")
    return world.usual(model)


@correct
def adapters_between_frozen_layers() -> Setup:
    world = small_world("vit", "adam")
    model = world.model()
    for parameter in model.parameters():
        parameter.requires_grad = False
    for block in model.encoder.layers:
        block.mlp = nn.Sequential(block.mlp, _Adapter(64, 16))
    model.heads.requires_grad_(True)
    return world.usual(model)


class _Adapter(nn.Module):
    """A small layer beside the identity (Houlsby et al., 2019)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input plus a small correction."""
        return x + self.up(nn.functional.gelu(self.down(x)))


@correct
def frozen_part_kept_in_eval_mode() -> Setup:
    world = small_world("mobilenet")
    model = world.model()
    model.features.requires_grad_(False).eval()
    return world.usual(model)


def _one_number(last: nn.Module, loss: nn.Module) -> Setup:
    world = small_world("efficientnet", "adam")
    world.classes, world.train, world.val = ("ants", "bees"), photos(48, 0, 2), photos(24, 1, 2)
    model = replace_head(world.model(head=False), 1)
    optimizer = world.optimizer(world.two_groups(model, *world.rates))
    whole = nn.Sequential(model, last)
    return Setup(whole, optimizer, criterion=loss, classes=world.classes, **world.loaders())


@correct
def one_probability_with_a_binary_loss_in_a_function() -> Setup:
    loss = nn.BCELoss()
    setup = _one_number(nn.Sigmoid(), loss)
    setup.criterion = lambda scores, labels: loss(scores.squeeze(1), labels.float())
    return setup


@correct
def one_logit_brought_into_shape_by_the_loop() -> Setup:
    return _one_number(nn.Identity(), nn.BCEWithLogitsLoss())


@correct
def one_logit_without_a_second_axis() -> Setup:
    setup = _one_number(nn.Flatten(0), nn.BCEWithLogitsLoss())
    setup.criterion = lambda scores, labels: nn.functional.binary_cross_entropy_with_logits(scores, labels.float())
    return setup


@correct
def small_network_on_features_computed_once() -> Setup:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 4
    features = torch.randn(64, 256, generator=generator) + nn.functional.one_hot(labels, 256) * 4
    splits = (TensorDataset(features[:48], labels[:48]), TensorDataset(features[48:], labels[48:]))
    model = nn.Sequential(nn.Linear(256, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    train, val = DataLoader(splits[0], 8, shuffle=True), DataLoader(splits[1], 8)
    return Setup(model, torch.optim.Adam(model.parameters(), lr=1e-3), train, val, classes=CLASSES)


@correct
def two_parts_of_one_dataset_by_sampler() -> Setup:
    world = small_world("resnet")
    dataset = world.loader("train", world.preparation).dataset
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    train, val = (DataLoader(dataset, 8, sampler=SubsetRandomSampler(part)) for part in (order[:32], order[32:]))
    return world.usual(train_loader=train, val_loader=val)


@correct
def one_cycle_with_a_step_to_spare() -> Setup:
    world = small_world("vgg")
    setup = world.usual()
    setup.scheduler = lr_scheduler.OneCycleLR(
        setup.optimizer, [1e-3, 1e-2], total_steps=5 * len(setup.train_loader) + 1
    )
    return setup
