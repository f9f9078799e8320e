"""Normalisation: not done, done twice, or with other numbers than the weights expect."""

from __future__ import annotations

from collections.abc import Iterator

from helpers.doctor.case import Case
from helpers.doctor.expected_recipe import Expected, as_seen, expected_recipe
from helpers.doctor.findings import CannotTell, Symptom, check
from helpers.doctor.pixels import Channel, channels
from helpers.doctor.reading import Reading

PICTURES = 48
CLOSE = 0.02  # relative error of a standard deviation read off the lattice
MILD = 0.35  # difference of normalised values up to which other statistics are a note
OVERSHOOT = 0.5  # beyond the range of pixels; bicubic resampling of floating-point pictures reaches so far
NEEDS = ("model", "loader")


@check("error", needs=NEEDS)
def pixels_0_255(case: Case) -> Iterator[Symptom]:
    """Pictures reach the network as numbers from 0 to 255."""
    for reading, found in _measured(case):
        high = max(channel.high for channel in found)
        raw = all(_near(channel.std, 1 / 255) and channel.low >= 0 for channel in found)
        scaled = all(channel.std is not None and channel.std < 0.004 for channel in found) and high > 20
        bounds = all(channel.std is None for channel in found) and high > 30
        if raw or scaled or bounds:
            yield Symptom(
                f"The {reading.split} pictures run up to {high:.0f}: they were not divided by 255.",
                _evidence(found, reading) + "; the network expects values of about -2 to 2.",
                "transform = v2.Compose([..., v2.ToDtype(torch.float32, scale=True), normalize])  # scale=True: / 255",
            )


@check("error", needs=NEEDS)
def not_normalised(case: Case) -> Iterator[Symptom]:
    """Pictures reach the network in [0, 1], without the normalisation that its weights expect."""
    expected = expected_recipe(case)
    if _near(expected.recipe.std[0], 1) and abs(expected.recipe.mean[0]) < 0.01:
        return
    for reading, found in _measured(case):
        on_lattice = all(
            _near(channel.std, 1) and channel.mean[0] - 0.003 <= 0 <= channel.mean[1] + 0.003
            for channel in found
            if channel.std
        )
        within = all(channel.low >= -1e-6 and channel.high <= 1 + 1e-6 for channel in found)
        if within and on_lattice and (any(c.std for c in found) or _fills(found)):
            yield Symptom(
                f"The {reading.split} pictures are not normalised: they lie in [0, 1].",
                f"{_evidence(found, reading)}; {expected.source} expects {_numbers(expected)}.",
                _fix(expected),
            )


@check("error", needs=NEEDS)
def normalised_twice(case: Case) -> Iterator[Symptom]:
    """Pictures are normalised twice."""
    expected = expected_recipe(case)
    recipe = expected.recipe
    twice = [((-m / s) - m) / s for m, s in zip(recipe.mean, recipe.std, strict=True)]
    for reading, found in _measured(case):
        lattice = all(_near(channel.std, std * std) for channel, std in zip(found, recipe.std, strict=True))
        bounds = all(
            channel.std is None and low - 0.5 < channel.low < 0.6 * low
            for channel, low in zip(found, twice, strict=True)
        )
        if lattice or bounds:
            yield Symptom(
                f"The {reading.split} pictures are normalised twice.",
                f"{_evidence(found, reading)}; one normalisation divides by {recipe.std[0]:.3f}, two by "
                f"{recipe.std[0] ** 2:.4f}, and reach down to {twice[0]:.1f}.",
                "transforms.transforms.remove(normalize)  # keep one Normalize: in the dataset, the loop, or the model",
            )


@check("warning", needs=NEEDS, unless=("pixels-0-255", "not-normalised", "normalised-twice"))
def other_statistics(case: Case) -> Iterator[Symptom]:
    """Pictures are normalised with other statistics than the weights expect."""
    expected = expected_recipe(case)
    recipe = expected.recipe
    told = False
    for reading, found in _measured(case):
        if any(channel.std is None for channel in found):
            outside = _outside(found, expected)
            alone = _by_picture(case, reading)
            if alone or outside > OVERSHOOT or _halves(found, expected):
                yield Symptom(
                    f"Each of the {reading.split} pictures is normalised by its own statistics, not by the weights'."
                    if alone
                    else f"The {reading.split} pictures are not on the scale of the weights' normalisation.",
                    _evidence(found, reading)
                    + (f"; {alone}" if alone else "")
                    + f"; {expected.source} expects {_numbers(expected)}, so values from "
                    f"{-recipe.mean[0] / recipe.std[0]:.2f} to {(1 - recipe.mean[0]) / recipe.std[0]:.2f}.",
                    _fix(expected),
                )
            continue
        distance = max(channel.distance(m, s) for channel, m, s in zip(found, recipe.mean, recipe.std, strict=True))
        if distance < 0.05 or told:
            continue
        told = True
        reverse = zip(found, recipe.mean[::-1], recipe.std[::-1], strict=True)
        swapped = recipe.std[0] != recipe.std[2] and all(channel.distance(m, s) < 0.02 for channel, m, s in reverse)
        yield Symptom(
            "The normalisation's numbers are in the order blue, green, red."
            if swapped
            else f"The {reading.split} pictures are normalised with other statistics than the weights expect.",
            f"{_evidence(found, reading)}; {expected.source} expects {_numbers(expected)}. A pixel is off by up to "
            f"{distance:.2f}.",
            _fix(expected),
            severity="note" if distance < MILD else "warning",
        )


def _measured(case: Case) -> Iterator[tuple[Reading, list[Channel]]]:
    """Each loader's channels, of colour pictures as they reach the network."""
    told = False
    for reading in case.readings:
        if not reading.batches:
            continue
        pictures = reading.pictures[:PICTURES]
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            continue
        told = True
        yield reading, _channels(case, reading)
    if not told:
        raise CannotTell("no loader gives colour pictures (B, 3, H, W)")


def _channels(case: Case, reading: Reading) -> list[Channel]:
    kept = case.__dict__.setdefault("_channels", {})
    if reading.split not in kept:
        kept[reading.split] = channels(as_seen(case, reading.pictures[:PICTURES]).float())
    return kept[reading.split]


def _near(value: float | None, target: float) -> bool:
    return value is not None and abs(value / target - 1) < CLOSE


def _fills(found: list[Channel]) -> bool:
    """Whether values fill [0, 1] as raw pixels do; normalised low-contrast pictures would not."""
    return all(channel.low < 0.35 and channel.high > 0.5 for channel in found)


def _outside(found: list[Channel], expected: Expected) -> float:
    """How far values lie beyond what pixels from 0 to 1 can give, in units of the standard deviation."""
    beyond = [
        max(-m / s - channel.low, channel.high - (1 - m) / s)
        for channel, m, s in zip(found, expected.recipe.mean, expected.recipe.std, strict=True)
    ]
    return max(beyond) if len(beyond) == 3 else 0.0


def _halves(found: list[Channel], expected: Expected) -> bool:
    """Whether every channel runs from -1 to 1, as mean and std of 0.5 make it, where other numbers are expected."""
    ends = all(abs(channel.low + 1) < 0.02 and abs(channel.high - 1) < 0.02 for channel in found)
    return ends and abs(expected.recipe.std[0] - 0.5) > 0.05


def _by_picture(case: Case, reading: Reading) -> str:
    """Words on pictures that each have their own lattice, or nothing."""
    pictures = as_seen(case, reading.pictures[:6]).float()
    each = [channels(picture[None])[0] for picture in pictures]
    stds = [channel.std for channel in each if channel.std]
    if len(stds) < len(each) or max(stds) / min(stds) < 1.05:
        return ""
    return f"single pictures were divided by {min(stds):.3f} to {max(stds):.3f}"


def _evidence(found: list[Channel], reading: Reading) -> str:
    count = min(PICTURES, len(reading.pictures))
    if any(channel.std is None for channel in found):
        ranges = ", ".join(f"{channel.low:.2f} to {channel.high:.2f}" for channel in found)
        return f"In {count} pictures the channels run from {ranges}"
    stds = ", ".join(f"{channel.std:.4g}" for channel in found)
    means = ", ".join(f"{channel.mean[0]:.3f} to {channel.mean[1]:.3f}" for channel in found)
    return f"In {count} pictures the values lie on a lattice: pixels in [0, 1] minus ({means}) over ({stds})"


def _numbers(expected: Expected) -> str:
    mean, std = expected.recipe.mean, expected.recipe.std
    return f"mean {tuple(round(m, 3) for m in mean)} and std {tuple(round(s, 3) for s in std)}"


def _fix(expected: Expected) -> str:
    mean, std = expected.recipe.mean, expected.recipe.std
    return (
        f"normalize = v2.Normalize(mean={[round(m, 4) for m in mean]}, std={[round(s, 4) for s in std]})\n"
        "# once, as the last transform of training and validation"
    )
