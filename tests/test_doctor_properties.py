"""Whatever it is given, the doctor raises nothing and leaves everything bit by bit as it was.

`HYPOTHESIS_PROFILE=many pytest tests/test_doctor_properties.py` tries 500 cases instead of 25.
"""

import copy
import os
import random

import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset

from helpers import diagnose

settings.register_profile("few", max_examples=25, deadline=None, database=None, derandomize=True)
settings.register_profile("many", max_examples=500, deadline=None, database=None, phases=[Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

CHANNELS, CLASSES = st.sampled_from([3, 3, 3, 1]), st.integers(1, 5)
ANSWERS = {
    "scores": lambda scores, features: scores,
    "tuple": lambda scores, features: (scores, features),
    "dictionary": lambda scores, features: {"features": features, "logits": scores},
    "nested": lambda scores, features: {"out": [scores], "note": "a string", "none": None},
    "squeezed": lambda scores, features: scores.squeeze(),
    "softmax": lambda scores, features: scores.softmax(-1),
    "nothing": lambda scores, features: None,
}
LABELS = {
    "int64": lambda numbers, classes: numbers,
    "int32": lambda numbers, classes: numbers.int(),
    "uint8": lambda numbers, classes: numbers.to(torch.uint8),
    "float": lambda numbers, classes: numbers.float(),
    "column": lambda numbers, classes: numbers[:, None],
    "one-hot": lambda numbers, classes: nn.functional.one_hot(numbers, classes).float(),
    "bool": lambda numbers, classes: numbers > 0,
}
ITEMS = {
    "pair": lambda image, label: (image, label),
    "named": lambda image, label: {"image": image, "label": label},
    "odd names": lambda image, label: {"pic": image, "kind": label},
    "unclear": lambda image, label: {"a": image, "b": label, "c": label},
    "with path": lambda image, label: (image, label, "a.jpg"),
    "image alone": lambda image, label: image,
}
LOSSES = {
    "none": lambda: None,
    "cross-entropy": nn.CrossEntropyLoss,
    "smoothed": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "nll": nn.NLLLoss,
    "binary": nn.BCEWithLogitsLoss,
    "probability": nn.BCELoss,
    "squared": nn.MSELoss,
    "own": lambda: lambda outputs, labels: (outputs.float().mean() - labels.float().mean()) ** 2,
    "unwilling": lambda: lambda outputs, labels, weight: None,
}
OPTIMIZERS = {
    "none": lambda p: None,
    "SGD": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, weight_decay=1e-4),
    "SGD at 100": lambda p: torch.optim.SGD(p, 100.0),
    "Adam": lambda p: torch.optim.Adam(p, 1e-3, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, torch.tensor(1e-3), weight_decay=2.0),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 1e-3, centered=True),
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=2),
}
SCHEDULES = {
    "none": lambda one: None,
    "step": lambda one: lr_scheduler.StepLR(one, 2),
    "cosine": lambda one: lr_scheduler.CosineAnnealingLR(one, 7),
    "lambda": lambda one: lr_scheduler.LambdaLR(one, lambda epoch: 1 / (1 + epoch)),
    "one cycle": lambda one: lr_scheduler.OneCycleLR(one, 0.1, total_steps=9, cycle_momentum=False),
    "plateau": lr_scheduler.ReduceLROnPlateau,
}


class Net(nn.Module):
    """A stack of convolutions or linear layers with a head."""

    def __init__(self, layers, head, answer):
        super().__init__()
        self.layers, self.head, self.answer = nn.Sequential(*layers), head, answer

    def forward(self, images):
        features = self.layers(images)
        return ANSWERS[self.answer](self.head(features), features)


class Siamese(Net):
    """Compares two images."""

    def forward(self, one, other):
        return super().forward(one - other)


class Items(Dataset):
    """Noise with labels, each as one of `ITEMS`."""

    def __init__(self, images, labels, item):
        self.images, self.labels, self.item = images, labels, item

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        noise = torch.rand(()).to(self.images.dtype)  # from the global generator, as augmentation takes it
        return ITEMS[self.item](self.images[index] + noise, self.labels[index])


@st.composite
def networks(draw, channels, size, classes):
    layers, width = [], channels
    convolutional = draw(st.booleans())
    if not convolutional:
        layers, width = [nn.Flatten()], channels * size * size
    for _ in range(draw(st.integers(0, 3))):
        out = draw(st.sampled_from([1, 4, 6]))
        layers.append(nn.Conv2d(width, out, 3, padding=1) if convolutional else nn.Linear(width, out))
        norm = nn.BatchNorm2d if convolutional else nn.BatchNorm1d
        extra = st.sampled_from([norm(out), norm(out, affine=False), nn.GroupNorm(1, out), nn.Dropout(0.3), nn.ReLU()])
        layers += draw(st.lists(extra, max_size=2))
        width = out
    dense = draw(st.booleans()) and convolutional
    if not dense and convolutional:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = nn.Conv2d(width, classes, 1) if dense else nn.Linear(width, classes, bias=draw(st.booleans()))
    if draw(st.booleans()):
        head = nn.Sequential(nn.Dropout(), head, draw(st.sampled_from([nn.Identity(), nn.ReLU(), nn.Softmax(0)])))
    if draw(st.integers(0, 9)) == 0:
        head = nn.Identity()
    if draw(st.booleans()):
        nn.init.zeros_(next(head.parameters(), torch.empty(0)))
    kind = draw(st.sampled_from([Net] * 9 + [Siamese]))
    model = kind(layers, head, draw(st.sampled_from([*["scores"] * 5, *ANSWERS])))
    for parameter in model.parameters():
        parameter.requires_grad_(draw(st.booleans()) or draw(st.booleans()))
    model.to(draw(st.sampled_from([torch.float32] * 4 + [torch.float64, torch.bfloat16])))
    model.train(draw(st.booleans()))
    for module in model.modules():
        if draw(st.integers(0, 4)) == 0:
            module.training = not module.training
    return model


@st.composite
def loaders(draw, channels, size, classes):
    count, seed = draw(st.sampled_from([0, 1, 2, 5, 9, 14, 23])), draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    images = (200 * torch.rand(count, channels, size, size, generator=generator)).to(
        draw(st.sampled_from([torch.float32] * 4 + [torch.uint8, torch.float64, torch.float16]))
    )
    numbers = torch.randint(classes + draw(st.integers(0, 1)), (count,), generator=generator)
    kind = draw(st.sampled_from([*["int64"] * 6, *LABELS]))
    labels = LABELS[kind](numbers if kind != "one-hot" else numbers.clamp_max(classes - 1), classes)
    dataset = Items(images, labels, draw(st.sampled_from([*["pair"] * 6, *ITEMS])))
    batch, shuffle, drop_last = draw(st.integers(1, 7)), draw(st.booleans()), draw(st.booleans())
    loader = DataLoader(dataset, batch, shuffle=shuffle and count > 0, drop_last=drop_last, generator=generator)
    return list(loader) if draw(st.integers(0, 9)) == 0 else loader


@st.composite
def inputs(draw):
    channels, size, classes = draw(CHANNELS), draw(st.sampled_from([5, 8, 11])), draw(CLASSES)
    torch.manual_seed(draw(st.integers(0, 99)))
    model = draw(networks(channels, size, classes))
    learning = [p for p in model.parameters() if p.requires_grad] if draw(st.booleans()) else [*model.parameters()]
    make = OPTIMIZERS[draw(st.sampled_from([*OPTIMIZERS]))]
    optimizer = make(learning) if learning else None
    schedule = SCHEDULES[draw(st.sampled_from([*SCHEDULES]))]
    several = optimizer is not None and len(learning) > 1 and draw(st.integers(0, 5)) == 0
    scheduler = None if optimizer is None else schedule(optimizer)
    for parameter in learning if draw(st.booleans()) else []:
        parameter.grad = torch.full_like(parameter, 0.01)
    if optimizer is not None and draw(st.booleans()) and not isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step()
    return {
        "model": model,
        "optimizer": [optimizer, make(learning[:1])] if several else optimizer,
        "train_loader": draw(st.none() | loaders(channels, size, classes)),
        "val_loader": draw(st.none() | loaders(channels, size, classes)),
        "scheduler": scheduler,
        "criterion": LOSSES[draw(st.sampled_from([*LOSSES]))](),
        "classes": draw(st.none() | st.just([f"class {number}" for number in range(classes)])),
        "weights": draw(st.sampled_from([None, None, False, copy.deepcopy(model.state_dict())])),
    }


def snapshot(inputs):
    """Everything that a diagnosis could change, as bytes and plain values."""
    model, several = inputs["model"], inputs["optimizer"]
    optimizers = [one for one in (several if isinstance(several, list) else [several]) if one is not None]
    loaders = [one for one in (inputs["train_loader"], inputs["val_loader"]) if isinstance(one, DataLoader)]
    return [
        {name: bits(value) for name, value in model.state_dict().items()},
        [(p.requires_grad, bits(p.grad)) for p in model.parameters()],
        [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks), *sorted(vars(m))) for m in model.modules()],
        [plain(one.state_dict()) for one in optimizers],
        plain(vars(inputs["scheduler"])) if inputs["scheduler"] is not None else None,
        [(bits(one.generator.get_state()), bits(one.dataset.images), bits(one.dataset.labels)) for one in loaders],
        bits(torch.get_rng_state()),
        random.getstate(),
        plain(np.random.get_state()),
    ]


def bits(tensor):
    return None if tensor is None else (tensor.dtype, tensor.shape, tensor.detach().view(-1).view(torch.uint8).tolist())


def plain(value):
    """Values for comparison: tensors as bytes, objects by their type."""
    if isinstance(value, torch.Tensor):
        return bits(value.reshape(-1).contiguous())
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray) else repr(value) if vars_free(value) else type(value)


def vars_free(value):
    return isinstance(value, (int, float, str, bool, type(None)))


@given(inputs())
def test_it_raises_nothing_and_changes_nothing(inputs):
    before = snapshot(inputs)
    diagnosis = diagnose(**inputs)
    assert snapshot(inputs) == before
    failed = {code: why for code, why in diagnosis.not_checked.items() if "this check itself failed" in why}
    assert not failed, failed
    assert str(diagnosis)
    assert diagnosis._repr_html_()


def failures(diagnosis):
    return [why for why in diagnosis.not_checked.values() if "this check itself failed" in why]


def test_a_schedule_beside_a_loader_without_batches():
    model = nn.Sequential(nn.Flatten(), nn.Linear(75, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)
    diagnosis = diagnose(model, optimizer, [], scheduler=scheduler)
    assert "loader-empty" in diagnosis.codes
    assert not failures(diagnosis)


def test_class_numbers_beyond_the_outputs_of_a_binary_loss():
    model = nn.Sequential(nn.Flatten(), nn.Linear(75, 2))
    batches = [(torch.rand(3, 3, 5, 5), torch.tensor([0, 1, 2]))]
    diagnosis = diagnose(model, val_loader=batches, criterion=nn.BCEWithLogitsLoss())
    assert "labels-out-of-range" in diagnosis.codes
    assert not failures(diagnosis)


def test_a_last_batch_of_one_that_the_model_cannot_take():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 2))
    images = torch.randint(256, (9, 3, 5, 5), dtype=torch.uint8)
    loader = DataLoader(Items(images, torch.arange(9) % 2, "pair"), 4)
    diagnosis = diagnose(model, train_loader=loader)
    assert "module-raises" in diagnosis.codes
    assert not failures(diagnosis)
