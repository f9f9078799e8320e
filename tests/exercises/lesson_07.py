"""Answers to the exercises of lesson 7: right ones, and plausible wrong ones with what each is told."""

import math
from statistics import mean, pstdev, stdev

import numpy as np
import torch
from torch.nn import functional

from helpers import Phase, Settings, compare


def oddest(probabilities, labels, count):
    return (-probabilities[range(len(labels)), labels].log()).argsort(descending=True)[:count]


def oddest_by_probability(probabilities, labels, count):
    return probabilities.gather(1, labels[:, None])[:, 0].argsort()[:count].tolist()


def oddest_in_numpy(probabilities, labels, count):
    chosen = probabilities.numpy()[np.arange(len(labels)), labels.numpy()]
    return np.argsort(chosen)[:count]


def loss_of_predicted(probabilities, labels, count):
    return probabilities.amax(1).argsort()[:count]


def sure_and_wrong(probabilities, labels, count):
    confidence, predicted = probabilities.max(1)
    return (confidence * (predicted != labels)).argsort(descending=True)[:count]


def first_wrong(probabilities, labels, count):
    return (probabilities.argmax(1) != labels).nonzero()[:, 0][:count]


def interval_of(ours, theirs, t=2.776, deviation=stdev, root=True):
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    half = t * deviation(differences) / (math.sqrt(len(differences)) if root else 1)
    return mean(differences) - half, mean(differences) + half


def said(low, high):
    return "helps" if low > 0 else "harms" if high < 0 else "cannot be said"


def by_hand(ours, theirs):
    return said(*interval_of(ours, theirs))


def by_helper(ours, theirs):
    return {"better": "helps", "worse": "harms"}.get(compare(ours, theirs).verdict, "Cannot be said.")


def normal(ours, theirs):
    return said(*interval_of(ours, theirs, t=1.96))


def divided_by_n(ours, theirs):
    return said(*interval_of(ours, theirs, deviation=pstdev))


def spread(ours, theirs):
    return said(*interval_of(ours, theirs, root=False))


def unpaired(ours, theirs):
    half = 2.306 * math.sqrt((stdev(ours) ** 2 + stdev(theirs) ** 2) / len(ours))
    return said(mean(ours) - mean(theirs) - half, mean(ours) - mean(theirs) + half)


def turned(ours, theirs):
    return by_hand(theirs, ours)


def by_means(ours, theirs):
    return "helps" if mean(ours) > mean(theirs) else "harms"


def never_harms(ours, theirs):
    return "helps" if by_hand(ours, theirs) == "helps" else "cannot be said"


def by_best(ours, theirs):
    return "helps" if max(ours) > max(theirs) else "harms"


def ece(confidence, correct, weighted=True, signed=False, power=1, top=True, bins=10):
    total = 0.0
    for b in range(bins):
        inside = (confidence >= b / bins) & ((confidence < (b + 1) / bins) | (top and b == bins - 1))
        if inside.any():
            gap = correct[inside].float().mean() - confidence[inside].mean()
            gap = gap if signed else gap.abs() ** power
            total += gap * (inside.float().mean() if weighted else 1)
    return total


def ece_in_numpy(confidence, correct):
    confidence, correct = confidence.numpy().astype(float), correct.numpy()
    place = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs((confidence - correct)[place == b].sum()) for b in range(10)]
    return np.float64(sum(gaps) / len(confidence))


def ece_mean_of_bins(confidence, correct):
    used = len(((confidence * 10).long().clamp(max=9)).unique())
    return ece(confidence, correct, weighted=False) / used


def ece_middle(confidence, correct):
    place = (confidence * 10).long().clamp(max=9)
    return ece((place + 0.5) / 10, correct)


def ece_largest(confidence, correct):
    place = (confidence * 10).long().clamp(max=9)
    own = [place == b for b in place.unique()]
    return max(float((correct[o].float().mean() - confidence[o].mean()).abs()) for o in own)


def ece_without_bins(confidence, correct):
    return (confidence.mean() - correct.float().mean()).abs()


GRID = torch.logspace(-1.3, 1.3, 400)


def losses(logits, labels, grid=GRID):
    return torch.stack([functional.cross_entropy(logits / t, labels) for t in grid])


def temperature(logits, labels):
    return GRID[losses(logits, labels).argmin()]


def temperature_by_lbfgs(logits, labels):
    log_t = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], lr=0.1, max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_t.exp().item()


def above_one(logits, labels):
    return max(1.0, float(temperature(logits, labels)))


def below_one(logits, labels):
    return min(1.0, float(temperature(logits, labels)))


def most_accurate(logits, labels):
    accuracies = torch.stack([((logits / t).argmax(1) == labels).float().mean() for t in GRID])
    return GRID[accuracies.argmax()]


def coarse(logits, labels):
    grid = torch.tensor([0.5, 1.0, 2.0, 5.0])
    return grid[losses(logits, labels, grid).argmin()]


def worst(logits, labels):
    return GRID[losses(logits, labels).argmax()]


LP_FT = [Phase("head", lr=1e-2, epochs=30), Phase("all", lr=1e-3, epochs=10, head_lr=3e-3)]
SMALL = Settings(batch_size=16, augment="light", label_smoothing=0.1, precision="fp32")

RIGHT = {
    "07.1": [["b", "c", "e", "f"], "b, c, e, f", {"B", "C", "E", "F"}, "bcef", "(b), (c), (e) and (f)"],
    "07.2": [oddest, oddest_by_probability, oddest_in_numpy],
    "07.3": [by_hand, by_helper],
    "07.4": [ece, ece_in_numpy],
    "07.5": [temperature, temperature_by_lbfgs],
    "07.6": [(LP_FT, SMALL)],
}

WRONG = {
    "07.1": [
        (["b"], "are 3 more"),
        (["b", "c"], "are 2 more"),
        (["b", "c", "f"], "in (e)"),
        (["c", "e", "f"], "in (b)"),
        (["b", "c", "e"], "in (f)"),
        (["b", "e", "f"], "in (c)"),
        (["a", "b", "c", "e", "f"], "in (a)"),
        ("b, c, d, e, f", "in (d)"),
        ("b, c, e, f, g", "in (g)"),
        ("all", "none of the seven"),
        ([], "are 4 more"),
        (["h"], "none of the seven"),
        ([2, 3], "this is an int"),
    ],
    "07.2": [
        (lambda p, y, n: oddest(p, y, 7).flip(0)[:n], "fit best"),
        (loss_of_predicted, "least sure"),
        (lambda p, y, n: p.amax(1).argsort(descending=True)[:n], "most sure"),
        (sure_and_wrong, "but in the order"),
        (lambda p, y, n: sorted(oddest(p, y, n).tolist()), "but in the order"),
        (first_wrong, "image 5 is missing"),
        (lambda p, y, n: oddest(p, y, 7), "it gives 7"),
        (lambda p, y, n: oddest(p, y, 2), "it gives 2"),
        (lambda p, y, n: p.argmax(1) != y, "yes or no"),
        (lambda p, y, n: p[range(7), y][:n], "give the indices"),
        (lambda p, y, n: [0, 1, 2], "image 5 is missing"),
        (lambda p, y, n: None, "returns nothing"),
        (lambda p, y, n: p[y].argsort()[:n], "several rows"),
        (lambda p, y: oddest(p, y, 3), "calling it failed"),
        (oddest_by_probability(torch.eye(3), torch.arange(3), 3), "this is a list"),
        (lambda p, y, n: p.gathers(1, y), "AttributeError"),
    ],
    "07.3": [
        (normal, "2.3 standard errors"),
        (divided_by_n, "n - 1"),
        (spread, "cannot be said"),
        (unpaired, "with every seed"),
        (turned, "the right way round"),
        (by_means, "2.3 standard errors"),
        (never_harms, "three points less"),
        (by_best, "standard errors"),
        (lambda ours, theirs: "cannot be said", "four points more"),
        (lambda ours, theirs: compare(ours, theirs).verdict, "the three answers"),
        (lambda ours, theirs: mean(ours) > mean(theirs), "not one of the three phrases"),
        (lambda ours, theirs: None, "returns None"),
        (lambda ours, theirs: mean(ours) - mean(theirs), "not one of the three phrases"),
        ("helps", "this is a str"),
        (lambda ours: "helps", "calling it failed"),
    ],
    "07.4": [
        (ece_mean_of_bins, "plain mean over bins"),
        (lambda c, r: ece(c, r, weighted=False) / 10, "empty ones"),
        (ece_largest, "largest gap"),
        (lambda c, r: 100 * ece(c, r), "in percent"),
        (ece_without_bins, "cancel out"),
        (lambda c, r: ece(c, r, bins=1), "cancel out"),
        (lambda c, r: c.mean() - r.float().mean(), "without"),
        (lambda c, r: ece(c, r, signed=True), "absolute value"),
        (ece_middle, "the bin's middle"),
        (lambda c, r: ece(c, r, top=False), "exactly 1"),
        (lambda c, r: ece(c, r, power=2), "squared"),
        (lambda c, r: 1 - r.float().mean(), "error rate"),
        (lambda c, r: r.float().mean(), "the accuracy"),
        (lambda c, r: ece(c, r, bins=5), "in each of ten bins"),
        (lambda c, r: torch.zeros(10), "this is a Tensor"),
        (lambda c, r: None, "None"),
    ],
    "07.5": [
        (lambda z, y: 1 / temperature(z, y), "one over the temperature"),
        (lambda z, y: 1.0, "changes nothing"),
        (above_one, "too unsure"),
        (below_one, "changes nothing"),
        (coarse, "cross-entropy of the labels is least"),
        (most_accurate, "least at"),
        (worst, "least at"),
        (lambda z, y: losses(z, y).min(), "returns the loss"),
        (lambda z, y: z / temperature(z, y), "a single one"),
        (lambda z, y: -temperature(z, y), "positive number"),
        (lambda z, y: temperature(z, y).log() - 5, "positive number"),
        (lambda z, y: None, "None"),
        (2.5, "this is a float"),
        (lambda z: 2.5, "calling it failed"),
    ],
    "07.6": [
        (LP_FT, "two things"),
        (SMALL, "two things"),
        ((SMALL, LP_FT), "no pair"),
        ("fine-tuning", "no pair"),
        ((LP_FT, "light"), "no pair"),
        (("fine-tuning", SMALL), "no list"),
        (([], SMALL), "no list"),
        (([Phase("all", lr=1e-3, epochs=30)], SMALL), "30 epochs"),
        (([Phase("head", lr=1e-3, epochs=3)], SMALL), "Only the head learns"),
        (([Phase("all", lr=1e-5, epochs=2)], SMALL), "rate is very low"),
        (([Phase("all", lr=3e-2, epochs=2)], SMALL), "rate is too high"),
        (([Phase("all", lr=3e-4, epochs=3)], Settings(batch_size=64, precision="fp32")), "batches of 64"),
        (([Phase("layer9", lr=1e-3, epochs=3)], SMALL), "`fit` stopped"),
        (([Phase("all", lr=1e5, epochs=1)], SMALL), "`fit` stopped"),
    ],
}
