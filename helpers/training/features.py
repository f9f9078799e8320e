"""Extract features once: what reaches the head of a frozen backbone never changes, so it is kept.

While only the head is trainable, the backbone sees the same images in every epoch and gives the same features.
Computing them once and training the head on the stored features gives the same result as the plain loop, many times
faster.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from helpers.data.loaders import Loaders
from helpers.errors import HelpersError
from helpers.files import cache_dir
from helpers.models.modes import eval_mode
from helpers.models.stages import head
from helpers.training.loop import PhaseInputs, Settings
from helpers.training.runs.precision import autocast
from helpers.training.runs.processes import Accelerator

IN_MEMORY_BYTES = 2**29
IMAGES_AT_ONCE = 16
"""More are hardly faster: EfficientNet-Lite0 at 224 px takes 0.75 GB for 32 of them, 0.3 GB for 16."""


@dataclass(frozen=True)
class Features:
    """The backbone's features of some images.

    Attributes:
        inputs: what the head receives, (N, ...) float32; a memory-mapped file where it is large.
        labels: (N,) int64.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class FeatureBatches(Dataset):
    """Stored features as a dataset that is asked for a whole batch at once; epochs take turns among the views.

    It goes by the same numbers as `helpers.data.loaders.Batches` (epoch * N + index), so that it can stand in for it
    behind the same sampler.

    Args:
        views: one `Features` per view of the same N images.
    """

    def __init__(self, views: Sequence[Features]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views[0])

    def __getitems__(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        view = self.views[numbers[0] // len(self) % len(self.views)]
        indices = torch.as_tensor(numbers) % len(self)
        return view.inputs[indices], view.labels[indices]


def feature_inputs(model: nn.Module, loaders: Loaders, settings: Settings, accelerator: Accelerator) -> PhaseInputs:
    """Features for a phase that trains only the head, in the order in which the plain loop would meet the images.

    The backbone runs once over the validation images and `settings.views` times over the training images; the first
    view is the image as it is, each further one is augmented as in another epoch.
    """
    train, share = loaders.train, accelerator.prepare_data_loader

    def run(loader: DataLoader) -> Features:
        names = loader.dataset.images.names
        return extract(model, share(loader), names, precision=settings.precision, gather=accelerator.gather_for_metrics)

    views = settings.views if train.dataset.augmentation is not None else 1
    stored = [run(loaders.plain)] + [run(_view(train, number)) for number in range(1, views)]
    batches = DataLoader(FeatureBatches(stored), batch_sampler=train.batch_sampler, collate_fn=train.collate_fn)
    val = DataLoader(FeatureBatches([run(loaders.val)]), batch_size=train.batch_size, collate_fn=train.collate_fn)
    return PhaseInputs(nn.Sequential(head(model), nn.Flatten(1)), batches, val, images=False)


def _view(train: DataLoader, number: int) -> DataLoader:
    """Every training image once, in order, augmented as in epoch `number`."""
    count = len(train.dataset)
    return DataLoader(
        train.dataset,
        batch_size=train.batch_size,
        sampler=range(number * count, (number + 1) * count),
        collate_fn=train.collate_fn,
        num_workers=train.num_workers,
    )


@torch.no_grad()
def extract(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    names: Sequence[str],
    *,
    precision: str = "fp32",
    gather: Callable[[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]] | None = None,
) -> Features:
    """Run the backbone once over some batches and keep what reaches the head.

    Args:
        model: any model that `helpers.models.stages.head` understands.
        batches: of (images (B, 3, H, W), labels (B,)), in the order to keep.
        names: of all the images in these batches, for messages.
        precision: `"auto"`, `"fp32"` or `"bf16"`; see `helpers.training.runs.precision.choose_precision`.
        gather: where several processes share the batches: brings their parts together.

    Raises:
        HelpersError: if the model does more with the head's output than hand it on, so that stored features would not
            give the model's own answers; or if an image's features are not finite.
    """
    device, last = next(model.parameters()).device, head(model)
    received: list[Tensor] = []
    inputs, labels, filled = None, torch.empty(len(names), dtype=torch.int64), 0
    hook = last.register_forward_pre_hook(lambda _, arguments: received.append(arguments[0]))
    with eval_mode(model):
        for images, batch_labels in batches:
            images = images.to(device, memory_format=torch.channels_last)
            received.clear()
            with autocast(precision, images):
                outputs = torch.cat([model(few) for few in images.split(IMAGES_AT_ONCE)])
            features = own = torch.cat(received)
            if gather is not None:
                features, batch_labels = gather((features, batch_labels.to(device)))
            if inputs is None:
                inputs = _storage((len(names), *features.shape[1:]))
            span = slice(filled, filled + len(features))
            _check_finite(features, names[span])
            inputs[span], labels[span] = features.float().cpu(), batch_labels.cpu()
            filled = span.stop
        hook.remove()
        if filled != len(names):
            raise HelpersError(f"{len(names)} images were named, but the batches hold {filled}")
        _check_head_is_last(last, own, outputs)
    return Features(inputs, labels)


def _check_head_is_last(last: nn.Module, features: Tensor, outputs: Tensor) -> None:
    again, outputs = last(features.float()).flatten(1), outputs.flatten(1).float()
    if again.shape != outputs.shape or not torch.allclose(again, outputs, rtol=1e-2, atol=1e-3):
        raise HelpersError("this model changes its head's output, so its head cannot be trained on stored features")


def _check_finite(received: Tensor, names: Sequence[str]) -> None:
    finite = received.flatten(1).isfinite().all(dim=1)
    if not finite.all():
        bad = names[int((~finite).nonzero()[0])]
        raise HelpersError(f"the features of {bad} are not finite; look at that image and at the weights")


def _storage(shape: tuple[int, ...]) -> Tensor:
    """Room for float32 features: memory, or a temporary file that is mapped into memory when they are many."""
    size = math.prod(shape)
    if 4 * size <= IN_MEMORY_BYTES or not hasattr(os, "posix_fallocate"):
        return torch.empty(shape)
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="features-", suffix=".tmp") as file:
            os.posix_fallocate(file.fileno(), 0, 4 * size)
            return torch.from_file(file.name, shared=True, size=size).view(shape)
    except OSError as error:
        raise HelpersError(
            f"{folder} has no room for {4 * size / 1e6:.0f} MB of features ({error.strerror or error}); free some "
            "space, or set HELPERS_CACHE to another folder."
        ) from error
