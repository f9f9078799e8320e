"""What the exercises ask in lesson 7: the flowers project."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from course.exercises import Exercise, Passed, WrongKind, function, number, word
from course.project import drawn_task
from drawn import flowers
from helpers.data.loaders import make_loaders
from helpers.data.tasks import Task
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.training.evaluation import evaluate
from helpers.training.fit import fit
from helpers.training.loop import Settings
from helpers.training.strategies import Phase

WANTED, EPOCHS = 0.65, 10
"""Exercise 6: validation accuracy, and epochs at most."""

_SPOILED = {"b", "c", "e", "f"}
_WHY = {
    "a": "in (a) the choice was made on validation images, and the test images were used once: as it should be.",
    "b": "in (b) the test images chose between the two networks, so the better figure is partly luck.",
    "c": "in (c) the network has seen these photos, mirrored; it is tested on what it learned by heart.",
    "d": "in (d) only training labels changed, by predictions from other training images; the test took no part.",
    "e": "in (e) the temperature was fitted to the very images on which its error is then reported.",
    "f": "in (f) the test photos are nearly the training photos; with another plant the figure would be lower.",
    "g": "in (g) all choices were made before, and the test images took no part. More training images are welcome.",
}


def _spoiled(answer: Any) -> str | None:
    each = answer if isinstance(answer, (list, tuple, set, frozenset)) else str(answer).replace(" and ", ",").split(",")
    given = {word(letter).strip("().") for letter in each} - {""}
    if len(given) == 1 and len(only := next(iter(given))) > 1 and set(only) <= set(_WHY):
        given = set(only)
    if strange := sorted(given - set(_WHY)):
        return f"{strange[0]!r} is none of the seven; give their letters, such as ['a', 'g']."
    if wrong := sorted(given - _SPOILED):
        return f"one of these figures can be believed: {_WHY[wrong[0]]}"
    if missing := sorted(_SPOILED - given):
        return f"there {'is one' if len(missing) == 1 else f'are {len(missing)}'} more: {_WHY[missing[0]]}"
    return None


_PROBABILITIES = torch.tensor(
    [
        [0.70, 0.20, 0.10],  # label 0: right
        [0.02, 0.95, 0.03],  # label 0: odd
        [0.34, 0.33, 0.33],  # label 2: unsure
        [0.25, 0.15, 0.60],  # label 1: wrong
        [0.05, 0.05, 0.90],  # label 2: right
        [0.55, 0.05, 0.40],  # label 1: odd, though the network is less sure than in image 3
        [0.98, 0.01, 0.01],  # label 0: right
    ]
)
_LABELS = torch.tensor([0, 0, 2, 1, 2, 1, 0])
_ODD = (1, 5, 3)


def _odd_ones(answer: Any) -> str | None:
    given = function(answer, _PROBABILITIES.clone(), _LABELS.clone(), 3)
    if isinstance(given, (Tensor, np.ndarray)):
        given = given.tolist()
    if not isinstance(given, (list, tuple)):
        raise WrongKind(f"your function returns {'nothing' if given is None else f'a {type(given).__name__}'}")
    if len(given) == len(_LABELS) and all(value in (0, 1) for value in given):
        return "this marks every image with yes or no; indices are asked for, the oddest first."
    if any(isinstance(value, (list, tuple, Tensor)) and np.size(value) != 1 for value in given):
        return "your function returns several rows of numbers; give one index for each odd image."
    if any(float(value) != int(value) for value in given):
        return "these are losses or probabilities; give the indices of the images."
    given = tuple(int(value) for value in given)
    if len(given) != 3:
        return f"asked for 3 images, it gives {len(given)}; take as many as `count` says."
    if given == _ODD:
        return None
    loss = -_PROBABILITIES[range(7), _LABELS].log()
    if given == tuple(loss.argsort()[:3].tolist()):
        return "these are the images whose labels fit best: the smallest losses. Sort the other way round."
    if given == tuple(_PROBABILITIES.amax(1).argsort()[:3].tolist()):
        return "these are the images of which the network is least sure. An odd label is one that it contradicts."
    if given == tuple(_PROBABILITIES.amax(1).argsort(descending=True)[:3].tolist()):
        return "these are the images of which it is most sure, right or wrong; the given label has to come in."
    if set(given) == set(_ODD):
        return f"the right three images, but in the order {list(given)}: the largest loss comes first."
    missed = next(index for index in _ODD if index not in given)
    return (
        f"image {missed} is missing: its label got a probability of {_PROBABILITIES[missed, _LABELS[missed]]:.2f}. "
        "The loss of an image is minus the logarithm of that."
    )


_THEIRS = (0.800, 0.760, 0.840, 0.780, 0.820)
_VERDICTS = {
    "helps": "four points more with every seed, give or take two, though seeds differ among themselves by as much",
    "harms": "three points less with every seed, give or take one",
    "luck": "2.3 standard errors: with five seeds that is not enough, since t is 2.78 there, not 1.96",
    "sample": "2.6 standard errors if the variance is divided by n - 1, as for any small sample",
}


@cache
def _cases() -> dict[str, tuple[list[float], str]]:
    """By case the accuracies with the switch on, and the verdict; differences of given mean and t value."""
    shape = np.array([-1.0, 0.5, 1.2, -0.9, 0.2])
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    cases = (
        ("helps", 0.04, 5.0, "helps"),
        ("harms", -0.03, -6.0, "harms"),
        ("luck", 0.02, 2.3, "cannot be said"),
        ("sample", 0.02, 2.6, "cannot be said"),
    )
    return {
        name: ((np.array(_THEIRS) + points + points / t * math.sqrt(5) * shape).tolist(), verdict)
        for name, points, t, verdict in cases
    }


def _verdict(answer: Any) -> str | None:
    for name, (ours, wanted) in _cases().items():
        given = function(answer, list(ours), list(_THEIRS))
        if isinstance(given, bool) or not isinstance(given, str):
            raise WrongKind(f"your function returns {given!r}, not one of the three phrases")
        said = " ".join(given.split()).lower().rstrip(".")
        if said not in ("helps", "harms", "cannot be said"):
            return f"it returns {given!r}; the three answers are 'helps', 'harms' and 'cannot be said'."
        if said != wanted:
            both = "with" if {said, wanted} == {"helps", "harms"} else ""
            turned = " Is the difference the right way round?" if both else ""
            means = f"{np.mean(ours):.3f} against {np.mean(_THEIRS):.3f}"
            return f"for {means} it says {said!r}, and it is {wanted!r}: {_VERDICTS[name]}.{turned}"
    return None


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1 (Guo et al., ICML 2017): bins of equal width, weighted by their images."""
    place = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(confidence[place == b].sum() - correct[place == b].float().sum()).abs() for b in range(bins)]
    return float(sum(gaps) / len(confidence))


@cache
def _confidences() -> tuple[Tensor, Tensor]:
    """Fifteen images: most of them in one bin, one with confidence 1, too sure in some bins, too unsure in another."""
    confidence = torch.tensor([0.95, 0.97, 0.92, 0.93, 0.99, 0.96, 0.94, 1.0, 0.55, 0.52, 0.58, 0.33, 0.38, 0.71, 0.62])
    correct = torch.tensor([1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0]).bool()
    return confidence, correct


def _ece(answer: Any) -> str | None:
    confidence, correct = _confidences()
    given = number(function(answer, confidence.clone(), correct.clone()))
    wanted = expected_calibration_error(confidence, correct)
    if abs(given - wanted) < 1e-4:
        return _single_bin(answer)
    return f"it gives {given:.4f} where {wanted:.4f} is right: {_what_it_is(given, confidence, correct)}"


def _single_bin(answer: Any) -> str | None:
    """A perfectly calibrated bin has no error, whatever the bin's middle is."""
    confidence, correct = torch.full((4,), 0.75), torch.tensor([True, True, True, False])
    given = number(function(answer, confidence, correct))
    if abs(given) > 1e-4:
        return f"four images with confidence 0.75, of which three are right, have no error, but it gives {given:.4f}."
    return None


def _what_it_is(given: float, confidence: Tensor, correct: Tensor) -> str:
    place = (confidence * 10).long().clamp(max=9)
    own = [(confidence[place == b], correct[place == b].float()) for b in place.unique()]
    gaps = [float((sure.mean() - right.mean()).abs()) for sure, right in own]
    signed = float(confidence.mean() - correct.float().mean())
    inside = confidence < 1
    middles = ((place + 0.5) / 10).float()
    known = {
        "it is in percent; give a fraction.": 100 * expected_calibration_error(confidence, correct),
        "bins count by how many images they hold; this is the plain mean over bins.": sum(gaps) / len(gaps),
        "this is the mean over all bins, empty ones as well; weigh each by its images.": sum(gaps) / 10,
        "this is the largest gap of a bin, and the mean is asked for.": max(gaps),
        "without bins, what is too sure and what is too unsure cancel out.": abs(signed),
        "without absolute values, what is too sure and what is too unsure cancel out.": signed,
        "this has the sign turned, and no absolute value.": -signed,
        "take the mean confidence of the images in a bin, not the bin's middle.": expected_middle(middles, correct),
        "the image with a confidence of exactly 1 is in no bin.": expected_calibration_error(
            confidence[inside], correct[inside]
        ),
        "it is dropped where confidence is exactly 1, though all images are counted.": expected_calibration_error(
            confidence[inside], correct[inside]
        )
        * float(inside.float().mean()),
        "gaps are squared; absolute values are asked for.": sum(
            len(sure) / len(confidence) * gap**2 for (sure, _), gap in zip(own, gaps, strict=True)
        ),
        "this is the error rate.": float(1 - correct.float().mean()),
        "this is the accuracy.": float(correct.float().mean()),
    }
    near = [reason for reason, value in known.items() if abs(value - given) < 1e-4]
    return near[0] if near else "in each of ten bins |accuracy - mean confidence|, weighted by the bin's images."


def expected_middle(middles: Tensor, correct: Tensor) -> float:
    """The error if a bin's middle stands for the confidences in it."""
    return float(
        sum((middles[middles == m] - correct[middles == m].float()).sum().abs() for m in middles.unique())
        / len(middles)
    )


@cache
def _logits(sharpness: float) -> tuple[Tensor, Tensor]:
    """Logits of 400 images, whose labels are drawn from the softmax of the logits without that sharpness."""
    generator = torch.Generator().manual_seed(7)
    honest = 2 * torch.randn(400, 5, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    return sharpness * honest, labels


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy, to half a percent."""
    grid = torch.logspace(-1.5, 1.5, 1400)
    return float(min(grid, key=lambda t: functional.cross_entropy(logits / t, labels).item()))


def _temperature(answer: Any) -> str | None:
    for sharpness, how in ((3.0, "too sure"), (0.4, "too unsure")):
        logits, labels = _logits(sharpness)
        returned = function(answer, logits.clone(), labels.clone())
        if isinstance(returned, Tensor) and returned.numel() > 1:
            return "your function returns many numbers; the temperature is a single one."
        given, best = number(returned), best_temperature(logits, labels)
        if not math.isfinite(given) or given <= 0:
            return f"a temperature is a positive number, and it returns {given:g}."
        if abs(math.log(given / best)) < 0.05:
            continue
        if abs(math.log(given * best)) < 0.05:
            return f"{given:.2f} is one over the temperature: logits are divided by it, not multiplied."
        if abs(given - functional.cross_entropy(logits / best, labels).item()) < 0.01:
            return "it returns the loss at the best temperature; return the temperature itself."
        if given == 1:
            return f"a temperature of 1 changes nothing, and these logits are {how}."
        return (
            f"for logits that are {how} it returns {given:.2f}, and the cross-entropy of the labels is least at "
            f"{best:.2f}: {functional.cross_entropy(logits / best, labels):.3f} instead of "
            f"{functional.cross_entropy(logits / given, labels):.3f}."
        )
    return None


@cache
def _flowers() -> Task:
    return drawn_task(flowers.SPECIES, flowers.draw, train_per_class=5, val_per_class=6, test_per_class=10, seed=77)


def measure(phases: Sequence[Phase], settings: Settings) -> tuple[float, float]:
    """Train the embedded backbone on five images of each species: accuracy on validation and test images, 0 to 1."""
    task = _flowers()
    model = replace_head(load_backbone("embedded"), len(task.classes), dropout=0.2)
    run = fit(model, task, phases, settings, verbose=False, doctor=False)
    return run.val_accuracy, evaluate(model, make_loaders(task, model.preprocessing).test).accuracy


def _recipe(answer: Any) -> str | Passed | None:
    if isinstance(answer, Settings) or (isinstance(answer, (list, tuple)) and answer and _are_phases(answer)):
        return "two things are asked for: `(phases, settings)`, a list of phases and a `Settings`."
    if not (isinstance(answer, (list, tuple)) and len(answer) == 2 and isinstance(answer[1], Settings)):
        raise WrongKind("this is no pair `([Phase(...), ...], Settings(...))`")
    phases = [answer[0]] if isinstance(answer[0], Phase) else answer[0]
    if not _are_phases(phases):
        raise WrongKind("its first part is no list of `Phase(...)`")
    if (epochs := sum(phase.epochs for phase in phases if phase.trainable != "head")) > EPOCHS:
        return f"{epochs} epochs with more than the head trainable, and {EPOCHS} are allowed."
    try:
        val, test = measure(phases, answer[1])
    except HelpersError as error:
        return f"`fit` stopped: {error}"
    if val < WANTED:
        return f"{val:.0%} of the validation images, and {WANTED:.0%} are wanted. " + (
            "Only the head learns; let more stages learn." if _heads_only(phases) else _advice(phases, answer[1])
        )
    return Passed(f"Validation {val:.0%}; and, tested once, {test:.0%}.")


def _are_phases(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(each, Phase) for each in value)


def _heads_only(phases: Sequence[Phase]) -> bool:
    return all(phase.trainable == "head" for phase in phases)


def _advice(phases: Sequence[Phase], settings: Settings) -> str:
    if settings.batch_size > 32:
        return f"With batches of {settings.batch_size} there are few steps; try 16."
    if max(phase.lr for phase in phases) < 1e-4:
        return "The rate is very low for so few steps; try 1e-3 for the pretrained stages."
    if max(phase.lr for phase in phases) > 5e-3:
        return "The rate is too high for pretrained stages; try 1e-3."
    return "Train the head first, or give it a `head_lr` ten times as high; smaller batches give more steps."


EXERCISES = {
    "07.1": Exercise(
        _spoiled,
        "a list of letters",
        "A figure counts if what it was measured on had no part in any choice, and nothing near it was trained on.",
        (
            "For each, ask: would new photos, of other plants, give the same figure?",
            "Whatever is fitted or chosen on some images fits these better than others: networks, rates, temperatures.",
        ),
    ),
    "07.2": Exercise(
        _odd_ones,
        "a function of probabilities, labels and a number",
        "The loss of the given label says how strongly the network contradicts it.",
        (
            "The loss of image i is `-log(probabilities[i, labels[i]])`.",
            "`probabilities[range(len(labels)), labels]` picks one entry of each row; then `argsort`.",
        ),
    ),
    "07.3": Exercise(
        _verdict,
        "a function of two lists of accuracies",
        "Seeds are paired, the interval is that of the mean difference, and it may contain zero.",
        (
            "Take differences seed by seed first. Their interval is mean ± t * standard deviation / sqrt(n).",
            "For five seeds t is 2.776. Or let `compare(ours, theirs).verdict` of `helpers` do it.",
        ),
    ),
    "07.4": Exercise(
        _ece,
        "a function of confidences and of what was right",
        "Weighted by their images, the bins say how far confidence is from accuracy on average.",
        (
            "The bin of a confidence is `(confidence * bins).long()`; a confidence of exactly 1 belongs to the last.",
            "In each bin |mean of correct - mean of confidence|, times the bin's images over all images.",
        ),
    ),
    "07.5": Exercise(
        _temperature,
        "a function of logits and labels",
        "One number, fitted on images that were not trained on. It changes no prediction.",
        (
            "Try many: `torch.logspace(-1, 1, 500)`, and keep the one with the least cross-entropy of `logits / t`.",
            "It can be below 1, where the network is less sure than it could be: MixUp and label smoothing do that.",
        ),
    ),
    "07.6": Exercise(
        _recipe,
        "a pair of phases and settings",
        "Chosen on validation images, tested once.",
        (
            "Five images of each species are 120: with batches of 32 an epoch has three steps.",
            "LP-FT: `Phase('head', lr=1e-2, epochs=30)` costs little, then `Phase('all', lr=1e-3, epochs=10)`.",
            "`Settings(batch_size=16, ...)`; see in step 5 what helped.",
        ),
    ),
}
