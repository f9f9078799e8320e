"""The images: their size, their colors, whether they can be read at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from transfer_doctor.case import Case
from transfer_doctor.expected_preprocessing import as_seen, expected_preprocessing, transform_of
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.loader_sample import LoaderSample
from transfer_doctor.pixels import channels

GRAY = 64  # images that are compared channel by channel
COLORED = 0.02  # mean difference of red and blue, in [0, 1], below which a photo is as good as gray


@check("error", needs=("loader",))
def loader_raises(case: Case) -> Iterator[Symptom]:
    """A loader raises an error, or does not give images with labels.

    Symptom: an error in the middle of an epoch, often from a worker process.

    By hand: `for index in range(len(dataset)): dataset[index]`, with `num_workers=0`.

    Repair: remove or mend the file that it stops at.
    """
    for sample in case.samples:
        error = sample.raised
        if error is not None:
            message = (str(error).strip().splitlines() or [""])[-1][:300]
            yield Symptom(
                f"The {sample.split} loader raises {type(error).__name__}.",
                f"After {len(sample.first_pass[1])} batches: {message}",
                "dataset = loader.dataset\nfor index in range(len(dataset)):\n    dataset[index]  # the first that "
                "raises is the one to mend; each has to give (tensor, label)",
            )


@check("error", needs=("loader",), unless=("loader-raises",))
def loader_empty(case: Case) -> Iterator[Symptom]:
    """A loader gives no batch at all.

    Symptom: the loop ends at once; loss or accuracy is 0 or a division by zero.

    By hand: `print(len(dataset), len(loader))`.

    Repair: a smaller batch size, or `drop_last=False`.
    """
    for sample in case.samples:
        if not sample.batches and sample.raised is None:
            size = len(sample.dataset) if hasattr(sample.dataset, "__len__") else "an unknown number of"
            yield Symptom(
                f"The {sample.split} loader gives no batch.",
                f"Its dataset has {size} images, the batch size is {getattr(sample.loader, 'batch_size', None)}, "
                f"drop_last is {getattr(sample.loader, 'drop_last', None)}.",
                "loader = DataLoader(dataset, batch_size=batch_size, drop_last=False)",
            )


@check("error", needs=("loader",))
def images_not_finite(case: Case) -> Iterator[Symptom]:
    """Images hold NaN or infinity.

    Symptom: the loss is NaN from some batch on.

    By hand: `for images, _ in loader: assert images.isfinite().all()`.

    Repair: look for a division by a standard deviation of 0; remove the image.
    """
    for sample in case.samples:
        images = [image for batch, _ in sample.batches if batch.is_floating_point() for image in batch]
        bad = [i for i, image in enumerate(images) if not bool(image.isfinite().all())]
        if bad:
            yield Symptom(
                f"{len(bad)} of {len(images)} {sample.split} images hold NaN or infinity.",
                f"The first is image {bad[0]} of those read, with {int((~images[bad[0]].isfinite()).sum())} such "
                "values. One of them turns every weight into NaN.",
                "assert image.isfinite().all(), path  # in the dataset, to learn the file",
            )


@check("note", needs=("loader",))
def gray_images(case: Case) -> Symptom | None:
    """Gray images are repeated into three channels.

    Symptom: none; accuracy is lower than on color photos.

    By hand: `(images[:, 0] - images[:, 2]).abs().max()` is 0, before normalization.

    Repair: none where photos are gray; else remove `Grayscale(3)`.
    """
    for sample in case.samples:
        if not sample.batches or sample.batches[0][0].ndim != 4 or sample.batches[0][0].shape[1] != 3:
            continue
        images = sample.first_images(GRAY).float()
        if _same(images, {0: (1.0, 0.0)}) or _affine(images):
            return Symptom(
                f"The {sample.split} images are gray, repeated into three channels.",
                f"In all {len(images)} images read the three channels agree up to scale and shift. The pretrained "
                "filters for color find nothing; this is fine where the photos are gray.",
                "# keep it where photos are gray; else look for Grayscale(num_output_channels=3) in the transforms",
            )
    return None


@check("warning", needs=("model", "loader"))
def bgr_images(case: Case) -> Symptom | None:
    """Red and blue are exchanged: the images are BGR where RGB is expected.

    Symptom: accuracy is a little too low, above all where color tells the class.

    By hand: show an image: skin and wood look blue.

    Repair: `cv2.cvtColor(image, cv2.COLOR_BGR2RGB)`.
    """
    compared = {sample.split: _colors(case, sample) for sample in case.samples}
    compared = {split: colors for split, colors in compared.items() if colors is not None}
    if not compared:
        raise CannotTell("the datasets hold no colorful image files to compare colors with")
    slopes = {
        split: float((given * stored).sum() / stored.square().sum()) for split, (given, stored) in compared.items()
    }
    exchanged = [split for split, slope in slopes.items() if slope < -0.4]
    if not exchanged:
        return None
    given, stored = compared[exchanged[0]]
    return Symptom(
        f"Red and blue are exchanged in the {' and '.join(exchanged)} images: they are BGR.",
        f"In {len(stored)} colorful files red minus blue is {stored.mean():+.3f} on average; as the network gets them "
        f"it is {given.mean():+.3f} (slope {slopes[exchanged[0]]:+.2f} from image to image; RGB gives +1).",
        "image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)  # or PIL.Image.open(path).convert('RGB')",
    )


@check("note", needs=("model", "loader"), unless=("module-raises",))
def image_size(case: Case) -> Symptom | None:
    """Images have another size than the weights were trained on.

    Symptom: accuracy is lower than others report for this network.

    By hand: `print(images.shape)`, and the size in the preprocessing of the weights.

    Repair: resize and crop as `weights.transforms()` does.
    """
    expected = expected_preprocessing(case)
    for sample in case.samples:
        if not sample.batches:
            continue
        height, width = as_seen(case, sample.first_images(2)).shape[-2:]
        wanted = expected.image_size
        ratio = (height * width) ** 0.5 / wanted
        if 0.9 <= ratio <= 1.1 or (not expected.exact and 0.5 <= ratio <= 2 and wanted != 299):
            continue
        smallest = case.forward_trace.smallest_map
        tiny = smallest is not None and max(smallest) <= 1
        seen = f"; the smallest feature map is {smallest[0]} x {smallest[1]}" if smallest else ""
        return Symptom(
            f"The {sample.split} images are {height} x {width}; the weights learned at {wanted} x {wanted}.",
            f"The side is {ratio:.2f} times what {expected.source} expects{seen}.",
            f"transform = v2.Compose([v2.Resize({expected.resize_size}), v2.CenterCrop({wanted}), ...])",
            severity="warning" if ratio < 0.5 and tiny else "note",
        )
    return None


@check("note", needs=("model", "loader"))
def interpolation(case: Case) -> Symptom | None:
    """Images are resized with another filter than the weights' preprocessing names.

    Symptom: none that shows in one run.

    By hand: `print(weights.transforms())`, and compare with your `Resize`.

    Repair: `v2.Resize(size, interpolation=...)` with the filter that it names.
    """
    expected = expected_preprocessing(case)
    wanted = expected.interpolation
    told = False
    for sample in case.samples:
        for step in transform_of(sample.dataset):
            mode = getattr(getattr(step, "interpolation", None), "value", None)
            if mode is None or "Resize" not in type(step).__name__:
                continue
            told = True
            if mode != wanted and (expected.exact or mode == "nearest"):
                return Symptom(
                    f"{type(step).__name__} resizes the {sample.split} images by {mode}; the weights saw {wanted}.",
                    f"{step} in the {sample.split} transforms; {expected.source} names {wanted}.",
                    f"v2.Resize({expected.resize_size}, "
                    f"interpolation=v2.InterpolationMode.{wanted.upper()}, antialias=True)",
                )
    if not told:
        raise CannotTell("the datasets show no torchvision transforms that resize")
    return None


def _affine(images: torch.Tensor) -> bool:
    """Whether green and blue are each one linear function of red in all images, as after normalizing gray."""
    red = images[:, 0].flatten()
    centered = red - red.mean()
    if float(centered.square().sum()) == 0:
        return False
    fits = {}
    for index in (1, 2):
        other = images[:, index].flatten()
        slope = float((centered * (other - other.mean())).sum() / centered.square().sum())
        fits[index] = (slope, float(other.mean() - slope * red.mean()))
    return _same(images, fits)


def _same(images: torch.Tensor, fits: dict[int, tuple[float, float]]) -> bool:
    if fits == {0: (1.0, 0.0)}:
        fits = {1: (1.0, 0.0), 2: (1.0, 0.0)}
    size = float(images.std())
    return size > 0 and all(
        float((images[:, index] - slope * images[:, 0] - shift).abs().max()) < 0.02 * size
        for index, (slope, shift) in fits.items()
    )


def _colors(case: Case, sample: LoaderSample) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean red minus blue of colorful images, as delivered and as stored in their files."""
    if not sample.files or not sample.batches or sample.batches[0][0].shape[1] != 3:
        return None
    chosen = torch.linspace(0, len(sample.files) - 1, 16).long().unique().tolist()
    delivered, stored = [], []
    measured = channels(as_seen(case, sample.first_images(16)).float())
    for index in chosen:
        truth = _stored_color(sample.files[index])
        if truth is None or abs(truth) < COLORED:
            continue
        try:
            image = as_seen(case, sample.item(index)[None]).float()[0]
        except Exception:  # a broken image is reported by the check that reads batches
            continue
        red, blue = (measured[i].pixel(image[i].mean()) if measured[i].std else image[i].mean() for i in (0, 2))
        delivered.append(float(red - blue))
        stored.append(truth)
    if len(stored) < 3:
        return None
    return torch.tensor(delivered), torch.tensor(stored)


def _stored_color(path: Any) -> float | None:
    try:
        from PIL import Image  # without it, colors are not compared

        with Image.open(path) as image:
            image.draft("RGB", (64, 64))
            red, _, blue = image.convert("RGB").resize((16, 16)).split()
            return (sum(red.getdata()) - sum(blue.getdata())) / 256 / 255
    except (ImportError, OSError, ValueError):
        return None
