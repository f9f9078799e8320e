"""Normalization: not done, done twice, or with other numbers than the weights expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from transfer_doctor.case import Case
from transfer_doctor.expected_preprocessing import Expected, as_seen, expected_preprocessing
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.loader_sample import LoaderSample
from transfer_doctor.pixels import Channel, channels

IMAGES = 48
CLOSE = 0.02  # relative error of a standard deviation read off the lattice
MILD = 0.35  # difference of normalized values up to which other statistics are a note
OVERSHOOT = 0.5  # beyond the range of pixels; bicubic resampling of floating-point images reaches so far
FEW = 0.005  # fraction of values that may lie beyond: random erasing fills a patch with noise
NEEDS = ("model", "loader")


@check("error", needs=NEEDS)
def pixels_0_255(case: Case) -> Symptom | None:
    """Images reach the network as numbers from 0 to 255.

    Symptom: the first loss is huge, or NaN; all images get one class.

    By hand: `print(images.min(), images.max())`.

    Repair: `v2.ToDtype(torch.float32, scale=True)`, then normalize.
    """
    where, found = _where(case, _is_0_255)
    if not found:
        return None
    return Symptom(
        f"The {where} images run up to {max(channel.high for channel in found):.0f}: they were not divided by 255.",
        _evidence(found) + "; the network expects values of about -2 to 2.",
        "transform = v2.Compose([..., v2.ToDtype(torch.float32, scale=True), normalize])  # scale=True: / 255",
    )


@check("error", needs=NEEDS)
def not_normalized(case: Case) -> Symptom | None:
    """Images reach the network in [0, 1], without the normalization that its weights expect.

    Symptom: accuracy is lower than others report; frozen features suffer most.

    By hand: `print(images.min(), images.max())`: 0 and 1.

    Repair: `v2.Normalize(mean, std)` with the numbers of the weights.
    """
    expected = expected_preprocessing(case)
    if _near(expected.std[0], 1) and abs(expected.mean[0]) < 0.01:
        return None
    where, found = _where(case, _is_0_1)
    if not found:
        return None
    return Symptom(
        f"The {where} images are not normalized: they lie in [0, 1].",
        f"{_evidence(found)}; {expected.source} expects {_numbers(expected)}.",
        _fix(expected),
    )


@check("error", needs=NEEDS)
def normalized_twice(case: Case) -> Symptom | None:
    """Images are normalized twice.

    Symptom: accuracy is lower than others report; frozen features suffer most.

    By hand: `print(images.min(), images.max())`: beyond -3 and 3.

    Repair: keep one `Normalize`, in the dataset, the loop or the model.
    """
    expected = expected_preprocessing(case)

    twice = [((-m / s) - m) / s for m, s in zip(expected.mean, expected.std, strict=True)]

    def is_twice(found: list[Channel]) -> bool:
        squares = all(_near(channel.std, std * std) for channel, std in zip(found, expected.std, strict=True))
        bounds = [
            channel.std is None and low - 0.5 < channel.low < 0.6 * low
            for channel, low in zip(found, twice, strict=True)
        ]
        return squares or all(bounds)

    where, found = _where(case, is_twice)
    if not found:
        return None
    return Symptom(
        f"The {where} images are normalized twice.",
        f"{_evidence(found)}; one normalization divides by {expected.std[0]:.3f}, two by "
        f"{expected.std[0] ** 2:.4f}, and reach down to {twice[0]:.1f}.",
        "transforms.transforms.remove(normalize)  # keep one Normalize: in the dataset, the loop, or the model",
    )


@check("warning", needs=NEEDS, unless=("pixels-0-255", "not-normalized", "normalized-twice"))
def other_statistics(case: Case) -> Symptom | None:
    """Images are normalized with other statistics than the weights expect.

    Symptom: accuracy is a little lower than it could be.

    By hand: `print(weights.transforms())`, and compare mean and std.

    Repair: the numbers of the weights, not those of your photos.
    """
    expected = expected_preprocessing(case)

    where, found = _where(case, lambda found: _distance(found, expected) > 0.05)
    if not found:
        return _off_the_lattice(case, expected)
    distance = _distance(found, expected)
    reverse = [
        channel.distance(m, s) for channel, m, s in zip(found, expected.mean[::-1], expected.std[::-1], strict=True)
    ]
    return Symptom(
        "The normalization's numbers are in the order blue, green, red."
        if max(reverse) < 0.02
        else f"The {where} images are normalized with other statistics than the weights expect.",
        f"{_evidence(found)}; {expected.source} expects {_numbers(expected)}. A pixel is off by up to {distance:.2f}.",
        _fix(expected),
        severity="note" if distance < MILD else "warning",
    )


def _off_the_lattice(case: Case, expected: Expected) -> Symptom | None:
    """Images whose values show no common lattice: only single images and bounds can tell."""
    for sample, found in _measured(case):
        if all(channel.std is not None for channel in found):
            continue
        alone = _by_image(case, sample)
        images = as_seen(case, sample.first_images(IMAGES)).float()
        if alone or _outside(images, expected) > FEW or _halves(found, expected):
            low, high = (
                -expected.mean[0] / expected.std[0],
                (1 - expected.mean[0]) / expected.std[0],
            )
            return Symptom(
                f"Each of the {sample.split} images is normalized by its own statistics, not by the weights'."
                if alone
                else f"The {sample.split} images are not on the scale of the weights' normalization.",
                f"{_evidence(found)}; {alone}{expected.source} expects {_numbers(expected)}, so values from {low:.2f} "
                f"to {high:.2f}.",
                _fix(expected),
            )
    return None


def _where(case: Case, wrong: Callable[[list[Channel]], bool]) -> tuple[str, list[Channel]]:
    """The splits in which something is wrong, as words, and the channels of the first; no channels if in none."""
    hits = [(sample.split, found) for sample, found in _measured(case) if wrong(found)]
    return " and ".join(split for split, _ in hits), hits[0][1] if hits else []


def _is_0_255(found: list[Channel]) -> bool:
    high = max(channel.high for channel in found)
    raw = all(_near(channel.std, 1 / 255) and channel.low >= 0 for channel in found)
    scaled = all(channel.std is not None and channel.std < 0.004 for channel in found) and high > 20
    return raw or scaled or (all(channel.std is None for channel in found) and high > 30)


def _is_0_1(found: list[Channel]) -> bool:
    if any(channel.low < -1e-6 or channel.high > 1 + 1e-6 for channel in found):
        return False
    on_lattice = [_near(c.std, 1) and c.mean[0] - 0.003 <= 0 <= c.mean[1] + 0.003 for c in found if c.std]
    return all(on_lattice) if on_lattice else _fills(found)


def _distance(found: list[Channel], expected: Expected) -> float:
    """The largest difference that another normalization makes to any pixel; 0 where it cannot be read off."""
    if any(channel.std is None for channel in found):
        return 0.0
    return max(channel.distance(m, s) for channel, m, s in zip(found, expected.mean, expected.std, strict=True))


def _measured(case: Case) -> Iterator[tuple[LoaderSample, list[Channel]]]:
    """Each loader's channels, of color images as they reach the network."""
    told = False
    for sample in case.samples:
        if not sample.batches:
            continue
        shape = sample.batches[0][0].shape
        if len(shape) != 4 or shape[1] != 3:
            continue
        told = True
        yield sample, _channels(case, sample)
    if not told:
        raise CannotTell("no loader gives color images (B, 3, H, W)")


def _channels(case: Case, sample: LoaderSample) -> list[Channel]:
    kept = case.__dict__.setdefault("_channels", {})
    if sample.split not in kept:
        kept[sample.split] = channels(as_seen(case, sample.first_images(IMAGES)).float())
    return kept[sample.split]


def _near(value: float | None, target: float) -> bool:
    return value is not None and abs(value / target - 1) < CLOSE


def _fills(found: list[Channel]) -> bool:
    """Whether values fill [0, 1] as raw pixels do; normalized low-contrast images would not."""
    return all(channel.low < 0.35 and channel.high > 0.5 for channel in found)


def _outside(images: torch.Tensor, expected: Expected) -> float:
    """The fraction of values well beyond what pixels from 0 to 1 can give."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (expected.mean, expected.std))
    low, high = -mean / std - OVERSHOOT, (1 - mean) / std + OVERSHOOT
    return float(((images < low) | (images > high)).float().mean())


def _halves(found: list[Channel], expected: Expected) -> bool:
    """Whether every channel runs from -1 to 1, as mean and std of 0.5 make it, where other numbers are expected."""
    ends = all(abs(channel.low + 1) < 0.02 and abs(channel.high - 1) < 0.02 for channel in found)
    return ends and abs(expected.std[0] - 0.5) > 0.05


def _by_image(case: Case, sample: LoaderSample) -> str:
    """Words on images that each have their own lattice, or nothing."""
    images = as_seen(case, sample.first_images(6)).float()
    each = [channels(image[None])[0] for image in images]
    stds = [channel.std for channel in each if channel.std]
    if len(stds) < len(each) or max(stds) / min(stds) < 1.05:
        return ""
    return f"single images were divided by {min(stds):.3f} to {max(stds):.3f}; "


def _evidence(found: list[Channel]) -> str:
    if any(channel.std is None for channel in found):
        ranges = ", ".join(f"{channel.low:.2f} to {channel.high:.2f}" for channel in found)
        return f"In up to {IMAGES} images the channels run from {ranges}"
    stds = ", ".join(f"{channel.std:.4g}" for channel in found)
    means = ", ".join(f"{channel.mean[0]:.3f} to {channel.mean[1]:.3f}" for channel in found)
    return f"In up to {IMAGES} images the values lie on a lattice: pixels in [0, 1] minus ({means}) over ({stds})"


def _numbers(expected: Expected) -> str:
    mean, std = expected.mean, expected.std
    return f"mean {tuple(round(m, 3) for m in mean)} and std {tuple(round(s, 3) for s in std)}"


def _fix(expected: Expected) -> str:
    mean, std = expected.mean, expected.std
    return (
        f"normalize = v2.Normalize(mean={[round(m, 4) for m in mean]}, std={[round(s, 4) for s in std]})\n"
        "# once, as the last transform of training and validation"
    )
