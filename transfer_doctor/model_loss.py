"""Whether the loss rewards the right answers, tried on made-up scores."""

from __future__ import annotations

import copy

import torch
from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.expectations import loss_kind
from transfer_doctor.findings import CannotTell, Symptom, check

SURE = 4.0  # score of the class that a made-up answer favors
BINARY = ("binary-logits", "probability")


@check("error", needs=("model", "loader"))
def softmax_over_batch(case: Case) -> Symptom | None:
    """A softmax runs over the images of a batch instead of over the classes.

    Symptom: accuracy near that of guessing though the loss falls; results change with the batch size.

    By hand: `model.eval()(images).sum(0)` is 1 for each class; `.sum(1)` is to be.

    Repair: return the logits; for display `softmax(dim=1)`.
    """
    outputs = case.outputs
    if outputs.ndim != 2 or len(outputs) < 2 or outputs.shape[1] < 2:
        return None
    probabilities = bool((outputs >= 0).all()) and _near(outputs.sum(0), 1) and not _near(outputs.sum(1), 1)
    logarithms = bool((outputs <= 0).all()) and _near(outputs.logsumexp(0), 0) and not _near(outputs.logsumexp(1), 0)
    by_loss = not probabilities and not logarithms and _loss_compares_images(case)
    if not probabilities and not logarithms and not by_loss:
        return None
    seen = (
        "adding a number to all scores of one class leaves it as it was, adding one to all scores of an image does not"
        if by_loss
        else f"each column of the {tuple(outputs.shape)} outputs sums to 1" + (" after exp" if logarithms else "")
    )
    return Symptom(
        f"{'The loss' if by_loss else 'The model'} takes a softmax over the batch: images compete, not classes.",
        f"Of scores (B, classes), {seen}.",
        "loss = nn.functional.cross_entropy(scores, labels)  # on raw scores\nscores.softmax(dim=1)  # for display",
    )


@check(
    "error",
    needs=("model", "criterion", "loader"),
    unless=(
        "loss-raises",
        "head-wrong-size",
        "labels-out-of-range",
        "labels-from-one",
        "softmax-over-batch",
        "softmax-before-loss",
        "loss-expects-log-probabilities",
    ),
)
def loss_labels_mismatch(case: Case) -> Symptom | None:
    """Loss and labels fit in shape and type, but the loss does not reward the right answers.

    Symptom: the loss falls to some value and stays; all images get about the same answer.

    By hand: print the shapes of outputs and labels; exchange two labels: the loss must change.

    Repair: `nn.CrossEntropyLoss()` for one class per image, `BCEWithLogitsLoss` for several; the same shape for
    `MSELoss`.
    """
    outputs, labels = case.answers, case.batch[1][: len(case.answers)]
    shapes = f"Scores are {tuple(outputs.shape)}, labels {tuple(labels.shape)} of type {labels.dtype}"
    several_hot = labels.ndim == 2 and labels.shape == outputs.shape and bool(((labels == 0) | (labels == 1)).all())
    if several_hot and labels.shape[1] > 1 and loss_kind(case) == "logits" and not _near(labels.float().sum(1), 1):
        return Symptom(
            "Labels name several classes for an image, and cross-entropy lets only one of them win.",
            f"{shapes}; rows hold {int(labels.sum(1).min())} to {int(labels.sum(1).max())} ones.",
            "criterion = nn.BCEWithLogitsLoss()  # labels as float, one yes or no for each class",
        )
    if isinstance(case.criterion, (nn.BCELoss, nn.BCEWithLogitsLoss)) and labels.ndim == 1 and outputs[0].numel() > 1:
        return Symptom(
            "A binary loss gets one class number for an image; it expects a 0 or 1 for each output.",
            f"{shapes}. Unless your loop turns the numbers into rows of zeros and a one, the loss raises an error.",
            "criterion = nn.CrossEntropyLoss()  # one class for each image\n"
            "labels = nn.functional.one_hot(labels, classes).float()  # or this, for the binary loss",
            severity="warning",
        )
    labels = case.sample_labels
    if labels.numel() != len(labels) or len(labels.unique()) < 2:
        raise CannotTell("the batch's labels are not one different number for each image")
    if _ignores_pairing(case, labels):
        return Symptom(
            "The loss compares each score with every label of the batch, not with its own.",
            f"{shapes}; with labels exchanged between images the loss stays the same: shapes are broadcast.",
            "loss = criterion(scores.squeeze(1), labels.float())  # both (B,)",
        )
    flat = labels.flatten().float()
    whole = bool((flat == flat.round()).all())
    if whole and loss_kind(case) in BINARY and outputs[0].numel() == 1 and not 0 <= flat.min() <= flat.max() <= 1:
        return Symptom(
            f"A binary loss gets labels from {flat.min():g} to {flat.max():g}; it expects 0 and 1.",
            f"{shapes}. With other labels the loss has no lower bound, and the largest label wins.",
            "criterion = nn.CrossEntropyLoss()  # several classes: one score for each",
        )
    if whole and outputs.ndim == 2 and outputs.shape[1] > 1 and _prefers_wrong(case, labels):
        return Symptom(
            "The loss is no lower for right answers than for wrong ones.",
            f"{shapes}. On made-up scores, favoring the right class gives no lower loss than favoring the next one.",
            f"criterion = nn.CrossEntropyLoss()  # scores of {in_python(case.head.name)} and int64 labels (B,)",
        )
    return None


def _value(case: Case, scores: torch.Tensor, labels: torch.Tensor) -> float:
    try:
        with torch.no_grad():
            return float(copy.deepcopy(case.criterion)(scores, labels))
    except Exception as error:  # other checks report what raises on real outputs
        raise CannotTell(f"the loss cannot be tried on made-up scores ({type(error).__name__}: {error})") from error


def _made_up(case: Case, count: int) -> torch.Tensor:
    scores = torch.randn((count, *case.answers.shape[1:]), generator=torch.Generator().manual_seed(0)).to(case.device)
    return scores.sigmoid() if loss_kind(case) == "probability" else scores


def _loss_compares_images(case: Case) -> bool:
    labels = case.sample_labels
    if case.criterion is None or labels.ndim != 1 or case.answers.ndim != 2:
        return False
    try:
        scores = _made_up(case, len(labels))
        base = _value(case, scores, labels)
        by_class = _value(case, scores + torch.arange(scores.shape[1], device=scores.device), labels)
        by_image = _value(case, scores + torch.arange(len(scores), device=scores.device)[:, None], labels)
    except CannotTell:
        return False
    return abs(by_class - base) < 1e-4 * max(1, abs(base)) < abs(by_image - base)


def _ignores_pairing(case: Case, labels: torch.Tensor) -> bool:
    scores = _made_up(case, len(labels))
    losses = [_value(case, scores, labels.roll(shift, 0)) for shift in (0, 1, 3)]
    return max(losses) - min(losses) < 1e-5 * max(1.0, abs(losses[0])) and losses[0] != 0


def _prefers_wrong(case: Case, labels: torch.Tensor) -> bool:
    classes = case.answers.shape[1]
    flat = labels.flatten().long().clamp(0, classes - 1)
    favored = [SURE * nn.functional.one_hot((flat + add) % classes, classes).float() for add in (0, 1)]
    if loss_kind(case) == "probability":
        favored = [scores.sigmoid() for scores in favored]
    right, wrong = (_value(case, scores.to(case.device), labels) for scores in favored)
    return not right < wrong


def _near(values: torch.Tensor, target: float) -> bool:
    return bool(((values - target).abs() < 1e-3).all())
