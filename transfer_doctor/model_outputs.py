"""What comes out of the model, and whether the loss takes it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import torch
from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.expectations import loss_kind
from transfer_doctor.findings import CannotTell, Symptom, check

SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d)
BOUNDING = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.Softplus)
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
POOLING = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d)


@check("error", needs=("model", "loader"))
def module_raises(case: Case) -> Symptom | None:
    """The model raises an error on a batch of its own loader.

    Symptom: an error about shapes, types or devices in the first batch.

    By hand: `model(next(iter(train_loader))[0])`, and read the last lines of the error.

    Repair: what the evidence names: convert, permute or move the images.
    """
    images = case.batch[0]
    error, where = case.forward_trace.error, case.forward_trace.culprit
    if case.arguments > 1:
        raise CannotTell(f"the model takes {case.arguments} inputs, and the doctor has only images to give")
    if error is None:
        error, where = case.error_in_eval, "(in eval mode)"
    if error is None:
        return None
    shape = tuple(images.shape)
    return Symptom(
        f"The model raises {type(error).__name__} on a batch of the {case.sample.split} loader.",
        f"In {in_python(where) if not where.startswith('(') else where}, for images of shape {shape} and type "
        f"{images.dtype}: {_first_line(error)}",
        _fix_for(images),
    )


@check("error", needs=("model", "criterion", "loader"), unless=("head-wrong-size", "labels-out-of-range"))
def loss_raises(case: Case) -> Symptom | None:
    """The loss raises an error on the model's outputs and the loader's labels.

    Symptom: an error in the line of the loss.

    By hand: print shape and `dtype` of outputs and labels just before the loss.

    Repair: for cross-entropy, scores (B, classes) and labels (B,) of type int64.
    """
    outputs = case.answers
    labels = case.batch[1][: len(outputs)]
    if not _takes_two(case.criterion):
        raise CannotTell("the loss takes other arguments than outputs and labels")
    try:
        with torch.no_grad():
            case.loss(copy.deepcopy(case.criterion), case.whole_answer, labels)
    except Exception as error:  # whatever the learner's loss raises is a finding
        if isinstance(error, IndexError) or "out of bounds" in str(error):
            return None  # `labels_out_of_range` has the numbers
        if isinstance(case.criterion, (nn.BCEWithLogitsLoss, nn.BCELoss)) and _fits_reshaped(outputs, labels):
            return None  # a loop usually brings scores and labels into one shape before it calls this loss
        fix = "labels.long()" if not labels.is_floating_point() or labels.ndim == 1 else "labels"
        return Symptom(
            f"The loss raises {type(error).__name__} on the model's outputs and these labels.",
            f"Outputs {tuple(outputs.shape)}, labels {tuple(labels.shape)} of type {labels.dtype}: "
            f"{_first_line(error)}",
            f"# cross-entropy takes scores (B, classes) and int64 labels (B,)\nloss = criterion(outputs, {fix})",
        )
    return None


def _takes_two(criterion: Callable) -> bool:
    """Whether a loss can be called with outputs and labels alone."""
    try:
        inspect.signature(getattr(criterion, "forward", criterion)).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # functions written in C tell no signature
        return True
    return True


def _fits_reshaped(outputs: torch.Tensor, labels: torch.Tensor) -> bool:
    """Whether a binary loss takes scores and labels once both are floating and of one shape."""
    scores = outputs.flatten()
    wanted = labels.float().flatten()
    if len(scores) != len(wanted) and labels.ndim == 1:
        wanted = wanted.repeat_interleave(outputs.shape[-1])  # of class numbers, a row of zeros and a one
    return len(scores) == len(wanted)


@check("error", needs=("model", "loader"), unless=("softmax-over-batch",))
def softmax_before_loss(case: Case) -> Symptom | None:
    """A softmax comes before a loss that applies its own.

    Symptom: the loss falls slowly and never comes near zero, while accuracy is not bad.

    By hand: `model.eval()(images).sum(1)`: every number is 1.

    Repair: return the logits; apply softmax only to show probabilities.
    """
    outputs = case.outputs
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return None
    kind = loss_kind(case)
    probabilities = bool((outputs >= 0).all()) and _close(outputs.sum(1), 1)
    log_probabilities = bool((outputs <= 0).all()) and _close(outputs.logsumexp(1), 0)
    if log_probabilities and kind == "logits":
        return Symptom(
            "The model ends in a log-softmax and the loss applies another: harmless, but one is enough.",
            f"The exponentials of each row of outputs sum to 1 ({_where(case)}).",
            "criterion = nn.NLLLoss()  # or return the logits and keep the criterion",
            severity="note",
        )
    if not probabilities or kind in ("probability", "other"):
        return None
    if kind == "log-probabilities":
        verdict = "The model returns probabilities, and the loss expects their logarithms."
    elif kind is None:
        verdict = "The model returns probabilities; cross-entropy, the usual loss, expects logits."
    else:
        verdict = "The model applies a softmax, and so does the loss: gradients shrink and learning slows."
    return Symptom(
        verdict,
        f"Each row of outputs sums to 1.000 and lies between {outputs.min():.3f} and {outputs.max():.3f} "
        f"({_where(case)}).",
        _without_last(case) + "\n# probabilities for display: model(images).softmax(1)",
        severity="warning" if kind is None else "error",
    )


@check(
    "error",
    needs=("model", "criterion", "loader"),
    unless=("softmax-before-loss", "softmax-over-batch", "loss-raises", "head-not-reached"),
)
def loss_expects_log_probabilities(case: Case) -> Symptom | None:
    """The loss expects log-probabilities, and the model returns something else.

    Symptom: the loss is negative and falls without end; accuracy does not follow.

    By hand: print the loss of the first batch: it is to be about log(number of classes).

    Repair: `nn.CrossEntropyLoss()` on logits, or `log_softmax(1)` before `NLLLoss`.
    """
    outputs = case.outputs
    if outputs.ndim != 2 or loss_kind(case) != "log-probabilities" or _close(outputs.logsumexp(1), 0):
        return None
    return Symptom(
        "NLLLoss expects log-probabilities, and the model returns raw scores: the loss falls without learning.",
        f"The exponentials of the rows of outputs sum to {outputs.logsumexp(1).exp().mean():.3g} on average, not 1.",
        "criterion = nn.CrossEntropyLoss()",
    )


@check("error", needs=("model", "loader"), unless=("softmax-before-loss", "softmax-over-batch"))
def activation_after_logits(case: Case) -> Symptom | None:
    """An activation or dropout comes after the last layer, so the loss does not see the logits.

    Symptom: training is slow, some classes are never predicted, or the loss stops well above zero.

    By hand: `model.eval()(images)`: no number is negative, or all lie between -1 and 1.

    Repair: return what the last layer gives.
    """
    if case.forward_trace.error is not None:
        raise CannotTell("the model raises on a batch")
    kind = loss_kind(case)
    modules = dict(case.model.named_modules())
    last = len(case.forward_trace.calls) - 1 - case.forward_trace.calls[::-1].index(case.head.name)
    after = [(name, modules[name]) for name in case.forward_trace.calls[last + 1 :] if name in modules]
    pooled = [index for index, (_, module) in enumerate(after) if isinstance(module, POOLING)]
    if pooled:
        after = after[pooled[-1] + 1 :]  # SqueezeNet has a ReLU before its pooling by design
    for name, module in after:
        if isinstance(module, nn.Sigmoid) and (kind == "probability" or (kind is None and case.outputs.shape[-1] == 1)):
            return None
        if isinstance(module, BOUNDING) or (isinstance(module, DROPOUT) and module.p > 0):
            dropout = isinstance(module, DROPOUT)
            return Symptom(
                f"{type(module).__name__} comes after the last layer, so the loss does not get the scores themselves.",
                f"{in_python(name)} = {module} runs after {in_python(case.head.name)}; outputs lie between "
                f"{case.outputs.min():.3f} and {case.outputs.max():.3f}.",
                _without_last(case, name),
                severity="warning" if dropout or isinstance(module, nn.LeakyReLU) else None,
            )
    if pooled:
        return None
    outputs = case.outputs
    zeros = float((outputs == 0).float().mean())
    if bool((outputs >= 0).all()) and zeros > 0.05:
        return Symptom(
            "The outputs pass through a ReLU: a class whose score is negative gets no gradient.",
            f"All outputs are at least 0 and {zeros:.0%} are exactly 0.",
            f"# in forward: return what {in_python(case.head.name)} gives, without an activation",
        )
    logits = kind == "binary-logits" or (kind == "logits" and outputs.shape[-1] > 1)
    for function in (torch.sigmoid, torch.tanh):
        if logits and bool((outputs.abs() < 1).all()) and _passed_through(case, function):
            return Symptom(
                f"The outputs pass through a {function.__name__} before a loss that expects logits.",
                f"All outputs lie between {outputs.min():.3f} and {outputs.max():.3f}: they are the "
                f"{function.__name__} of what the last layer gives.",
                f"# in forward: return what {in_python(case.head.name)} gives, without an activation",
            )
    return None


def _passed_through(case: Case, function: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    """Whether the outputs are this function of what the last layer gives."""
    given = case.head_outputs
    if given is None or given.numel() != case.outputs.numel():
        return False
    scores = given.reshape(case.outputs.shape)
    return _close(function(scores), case.outputs) and not _close(scores, case.outputs)


def _close(values: torch.Tensor, target: torch.Tensor | float) -> bool:
    return bool(((values - target).abs() < 1e-3).all())


def _where(case: Case) -> str:
    names = [name for name, module in case.model.named_modules() if isinstance(module, SOFTMAX)]
    return f"by {in_python(names[-1])}" if names else "inside forward"


def _without_last(case: Case, name: str = "") -> str:
    """Code that takes the last module out of the model."""
    names = [key for key, module in case.model.named_modules() if isinstance(module, SOFTMAX)]
    name = name or (names[-1] if names else "")
    if not name:
        return f"# in forward: return the scores of {in_python(case.head.name)} as they are, without softmax"
    return f"{in_python(name)} = nn.Identity()"


def _fix_for(images: torch.Tensor) -> str:
    if not images.is_floating_point():
        return "transform = v2.Compose([..., v2.ToDtype(torch.float32, scale=True), normalize])"
    if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        return "images = images.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)"
    if images.ndim == 4 and images.shape[1] == 1:
        return "transform = v2.Compose([v2.Grayscale(num_output_channels=3), ...])"
    if images.ndim == 4 and images.shape[1] == 4:
        return 'image = image.convert("RGB")  # before the transforms: drops the alpha channel'
    return f"model.eval()(torch.zeros({tuple(images.shape)}))  # find the layer that complains and its sizes"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
