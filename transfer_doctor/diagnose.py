"""One call that looks at everything: `diagnose`, and the guard that keeps a broken run from starting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from transfer_doctor.case import Case
from transfer_doctor.catalogue import CHECKS
from transfer_doctor.findings import CannotTell, Check, Finding, Symptom
from transfer_doctor.isolation import isolation
from transfer_doctor.loader_copy import loader_copy
from transfer_doctor.loader_sample import LoaderSample
from transfer_doctor.report import Diagnosis

SAMPLE_SECONDS = 2.0
GUARD_SECONDS = 0.2
LEFT_TO_FIT = {  # which ends such a run by itself, and then knows more
    "rate-too-low",  # trial steps cost too much
    "weight-decay-too-high",
    "rate-too-high",  # trial steps cost too much; it stops at a loss that is not finite, and names the rate
    "images-not-finite",  # and names the image
}
ON_PURPOSE = {"weights-look-random"}  # who starts a run from random weights has asked for them


def diagnose(
    model: nn.Module | None = None,
    optimizer: Any = None,
    train_loader: Iterable | None = None,
    val_loader: Iterable | None = None,
    *,
    scheduler: Any = None,
    criterion: Callable | None = None,
    weights: Any = None,
    classes: Sequence[str] | None = None,
    preprocessing: Any = None,
) -> Diagnosis:
    """Look for the common mistakes of transfer learning in the objects of a training script.

    Nothing is trained and nothing is changed: parameters, buffers, modes, gradients, optimizer state, random states
    and the loaders' next epoch are afterwards as before. Whatever is not given is not checked, and said so.

    Args:
        model: any classifier; compiled and DistributedDataParallel-wrapped ones too.
        optimizer: any optimizer, or several in a list, tuple or dictionary.
        train_loader: any iterable of `(images (B, C, H, W), labels (B,))`, or of dictionaries that hold them.
        val_loader: likewise.
        scheduler: the learning-rate scheduler, or several.
        criterion: the loss, a module or a function of (outputs, labels).
        weights: what was to be loaded: a torchvision enum, a timm name, a state dict or a file. `False` says that the
            network starts from scratch on purpose.
        classes: class names, in the order of their numbers.
        preprocessing: how the weights expect images, where neither weights nor model tell it: any object with `mean`,
            `std` and `image_size`.

    Returns:
        The findings, the most severe first.
    """
    others = {
        "scheduler": scheduler,
        "criterion": criterion,
        "weights": weights,
        "classes": classes,
        "preprocessing": preprocessing,
    }
    return examine(CHECKS.values(), model, optimizer, (train_loader, val_loader), others, SAMPLE_SECONDS)


def guard(
    model: nn.Module,
    optimizer: Any,
    train_loader: Iterable,
    val_loader: Iterable | None = None,
    scheduler: Any = None,
    criterion: Callable | None = None,
    preprocessing: Any = None,
    classes: Sequence[str] | None = None,
    weights: Any = None,
) -> None:
    """Refuse to start a training run in which something is wrong: the checks that can find an error, and only these.

    It takes a fraction of a second with a small network: nothing is tried out in trial steps, and no more than two
    batches are read of loaders that take their time. Random weights are let pass, as they may be meant.

    Raises:
        DiagnosisError: with verdict, evidence and fix of each error.
    """
    serious = [check for check in CHECKS.values() if check.severity == "error" and check.code not in LEFT_TO_FIT]
    others = {
        "scheduler": scheduler,
        "criterion": criterion,
        "weights": weights,
        "classes": classes,
        "preprocessing": preprocessing,
    }
    found = examine(serious, model, optimizer, (train_loader, val_loader), others, GUARD_SECONDS)
    certain = [finding for finding in found if finding.code not in ON_PURPOSE]
    Diagnosis(certain, found.not_checked, found.seconds, found.done).raise_on("error")


def examine(
    checks: Collection[Check],
    model: nn.Module | None,
    optimizer: Any,
    loaders: tuple[Iterable | None, Iterable | None],
    others: dict[str, Any],
    seconds: float,
) -> Diagnosis:
    """Do some checks on some objects; `diagnose` and `guard` say what the objects are.

    Args:
        checks: which checks.
        model: the network.
        optimizer: its optimizer.
        loaders: for training and for validation.
        others: the remaining arguments of `diagnose` by name.
        seconds: how long reading each loader may take.
    """
    start = time.perf_counter()
    not_checked: dict[str, str] = {}
    with isolation(model), ExitStack() as stack, torch.enable_grad():
        torch.manual_seed(0)
        samples, unread = _samples(stack, loaders, seconds)
        case = Case(model, optimizer, *samples, loaders=loaders, **others)
        present = _present(case)
        found: list[Finding] = []
        for check in checks:
            missing = [need for need in check.needs if need not in present]
            if missing:
                unreadable = unread if any("loader" in need for need in missing) else ""
                not_checked[check.code] = unreadable or f"needs {' and '.join(_spoken(missing))}"
                continue
            try:
                found += [_finding(check, symptom) for symptom in _symptoms(check, case)]
            except CannotTell as reason:
                not_checked[check.code] = str(reason)
            except Exception as error:  # a check must never stop the learner's work
                not_checked[check.code] = f"this check itself failed with {type(error).__name__}: {error}"
    codes = {finding.code for finding in found}
    by_code = {check.code: check for check in checks}
    kept = [finding for finding in found if not codes & set(by_code[finding.code].unless)]
    return Diagnosis(kept, not_checked, time.perf_counter() - start, len(checks) - len(not_checked))


def _samples(
    stack: ExitStack, loaders: tuple[Iterable | None, ...], seconds: float
) -> tuple[list[LoaderSample | None], str]:
    samples: list[LoaderSample | None] = []
    unread = ""
    for loader, split in zip(loaders, ("training", "validation"), strict=True):
        try:
            sample = None if loader is None else LoaderSample(stack.enter_context(loader_copy(loader)), split, seconds)
            if sample is not None:
                _ = sample.first_pass
            samples.append(sample)
        except (TypeError, CannotTell) as error:
            samples.append(None)
            unread = f"the {split} loader cannot be read: {error}"
    return samples, unread


def _present(case: Case) -> set[str]:
    names = ("model", "optimizer", "train_loader", "val_loader", "scheduler", "criterion")
    present = {name for name in names if getattr(case, name) is not None}
    if not case.schedulers:
        present.discard("scheduler")
    if case.weights is not None and case.weights is not False:
        present.add("weights")
    return present | ({"loader"} if case.samples else set())


def _spoken(needs: list[str]) -> list[str]:
    words = {"loader": "a loader", "optimizer": "`optimizer`"}
    return [words.get(need, f"`{need}`") for need in needs]


def _symptoms(check: Check, case: Case) -> Iterator[Symptom]:
    symptoms = check.function(case)
    if isinstance(symptoms, Symptom):
        yield symptoms
    elif symptoms is not None:
        yield from symptoms


def _finding(check: Check, symptom: Symptom) -> Finding:
    severity = symptom.severity or check.severity
    return Finding(check.code, severity, symptom.verdict, symptom.evidence, symptom.fix, check.page)
