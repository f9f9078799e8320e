"""Features computed once: what reaches a head whose backbone is frozen never changes, so it is kept.

While only the head learns, the network before it sees the same images in every epoch and gives the same answers.
Computing them once and training the head on the stored features gives the same result as the plain loop, many times
faster.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.utils.data import DataLoader, Dataset

from helpers.data.loaders import Loaders
from helpers.errors import HelpersError
from helpers.files import cache_dir
from helpers.models.stages import head
from helpers.training.loop import PhaseInputs, Settings
from helpers.training.runs.precision import choose_precision, tune_allocator
from helpers.training.runs.processes import Accelerator

IN_MEMORY_BYTES = 2**29


@dataclass(frozen=True)
class Features:
    """What the backbone says about some images.

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

    A copy of the model in eval mode does the work; in bfloat16 its weights are bfloat16 and BatchNorm is folded into
    the convolutions.

    Args:
        model: any model that `helpers.models.stages.head` understands.
        batches: of (images (B, 3, H, W), labels (B,)), in the order to keep.
        names: of all the images in these batches, for messages.
        precision: `"fp32"` (exactly what the head would receive), `"bf16"`, or `"auto"`; see `choose_precision`.
        gather: where several processes share the batches: brings their parts together.

    Raises:
        HelpersError: if the model does more with the head's output than hand it on, so that stored features would not
            give the model's own answers; or if an image's features are not finite.
    """
    tune_allocator()
    device = next(model.parameters()).device
    caught: list[Tensor] = []
    inputs, labels, filled = None, torch.empty(len(names), dtype=torch.int64), 0
    for images, batch_labels in batches:
        if inputs is None:
            runner, last = _for_inference(model, choose_precision(precision, min(images.shape[2:]), device))
            entry = runner.get_submodule(_entry_path(model))
            entry.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
        images = images.to(device, next(last.parameters()).dtype, memory_format=torch.channels_last)
        outputs = runner(images)
        received = caught.pop()
        if inputs is None:
            _check_head_is_last(last, received, outputs)
            inputs = _storage((len(names), *received.shape[1:]))
        if gather is not None:
            received, batch_labels = gather((received, batch_labels.to(device)))
        span = slice(filled, filled + len(received))
        _check_finite(received, names[span])
        inputs[span], labels[span] = received.float().cpu(), batch_labels.cpu()
        filled = span.stop
    if inputs is None or filled != len(names):
        raise HelpersError(f"{len(names)} images were named, but the batches hold {filled}")
    return Features(inputs, labels)


def _for_inference(model: nn.Module, precision: str) -> tuple[nn.Module, nn.Module]:
    """A copy of the model in eval mode, in the fastest form that keeps its outputs, and a copy of its head."""
    runner = copy.deepcopy(model).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    last = copy.deepcopy(head(model)).eval().requires_grad_(False)
    if precision == "bf16":
        return _fused(runner, _entry_path(model)).to(torch.bfloat16), last.to(torch.bfloat16)
    return runner, last


def _fused(model: nn.Module, entry: str) -> nn.Module:
    """BatchNorm folded into the convolutions before it, where the model can be traced down to the head's entry."""
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        with contextlib.suppress(TraceError, TypeError, ValueError, NotImplementedError):
            traced = fuse(model)
            if any(node.target == entry for node in traced.graph.nodes):
                return traced
    return model


def _entry_path(model: nn.Module) -> str:
    """The path of the head's first layer: a traced model calls layers, not the Sequential around them."""
    last = head(model)
    path = next(name for name, module in model.named_modules() if module is last)
    while isinstance(last, nn.Sequential):
        child, last = next(iter(last.named_children()))
        path = f"{path}.{child}"
    return path


def _check_head_is_last(last: nn.Module, received: Tensor, outputs: Tensor) -> None:
    again = last(received).flatten(1)
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
