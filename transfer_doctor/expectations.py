"""What the data and the loss ask of the model: how many outputs, and logits or probabilities."""

from __future__ import annotations

import copy

import torch
from torch import nn

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell

PRETRAINING_CLASSES = {365, 1000, 1001, 11221, 11821, 21841, 21843}


def expected_classes(case: Case) -> tuple[int, str]:
    """How many classes the task has, and how that is known.

    Raises:
        CannotTell: if neither class names nor the labels of a whole split are at hand.
    """
    if case.classes is not None:
        return len(case.classes), f"{len(case.classes)} class names were given"
    names = case.class_names
    if names:
        return len(names), f"the dataset has {len(names)} classes"
    known = [sample.labels for sample in case.samples if sample.whole and sample.labels is not None]
    if not known:
        raise CannotTell("the number of classes is unknown; pass `classes`")
    labels = torch.cat(known)
    return int(labels.max()) + 1, f"labels run from {int(labels.min())} to {int(labels.max())}"


def loss_kind(case: Case) -> str | None:
    """What the loss takes, found by trying it.

    Returns:
        `"logits"` where adding a constant to all scores changes nothing (cross-entropy, focal loss ...),
        `"log-probabilities"` where it lowers the loss by that constant (`NLLLoss`), `"probability"` and
        `"binary-logits"` for the binary losses, `"other"`, or None where no loss was given.
    """
    if case.criterion is None:
        return None
    kinds = {nn.BCELoss: "probability", nn.BCEWithLogitsLoss: "binary-logits"}
    if type(case.criterion) in kinds:
        return kinds[type(case.criterion)]
    classes = case.outputs.shape[-1]
    shape = (8, classes) if case.answers.ndim > 1 else (8,)
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(case.device)
    labels = (torch.arange(8) % max(2, classes)).to(case.device)
    if classes == 1 and _value(case, scores, labels) is None:
        labels = torch.zeros_like(labels)  # for cross-entropy one output is one class
    base, shifted = _value(case, scores, labels), _value(case, scores + 3, labels)
    if base is None or shifted is None:
        bounded = _value(case, scores.sigmoid(), labels)
        return "probability" if bounded is not None else "other"
    if abs(shifted - base) < 1e-3 * max(1.0, abs(base)):
        return "logits"
    binary = nn.functional.binary_cross_entropy_with_logits
    if classes == 1 and abs(base - float(binary(scores.flatten(), labels.float()))) < 1e-3:
        return "binary-logits"
    return "log-probabilities" if abs(shifted - base + 3) < 1e-2 else "other"


def _value(case: Case, scores: torch.Tensor, labels: torch.Tensor) -> float | None:
    """The loss of some scores, or None where it takes no such scores."""
    try:
        with torch.no_grad():
            return float(copy.deepcopy(case.criterion)(scores, labels))
    except Exception:  # a loss with another signature
        return None


def new_layer(module: nn.Module, classes: int) -> str:
    """Python code for a layer like `module` with another number of outputs."""
    if isinstance(module, nn.Conv2d):
        return f"nn.Conv2d({module.weight.shape[1]}, {classes}, kernel_size={tuple(module.kernel_size)})"
    return f"nn.Linear({module.weight.shape[1]}, {classes})"
