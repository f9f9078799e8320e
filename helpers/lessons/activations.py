"""What a network sees: its first filters, its activations, the neighbors of an image, a probe at every stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.models.stages import stages


def first_filters(model: nn.Module) -> Tensor:
    """The filters of the first convolution, each stretched to the range 0 to 1: (filters, 3, height, width).

    Raises:
        HelpersError: if the first convolution does not look at three colors.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        raise HelpersError("this model does not begin with a convolution over three colors")
    weight = first.weight.detach().cpu()
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    return (weight - low) / (high - low).clamp_min(1e-12)


@torch.no_grad()
def stage_outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each stage but the head computes, by its name, before any pooling to one value a channel; in eval mode.

    Args:
        model: any model that `helpers.stages` understands.
        images: (B, 3, H, W), normalized.
    """
    caught: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        if name not in caught or output.shape[2:].numel() > 1:
            caught[name] = output

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=stage.name: keep(name, output))
        for stage in stages(model)[:-1]
        for module in stage.modules
    ]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return caught


def stage_features(model: nn.Module, images: Tensor, batch_size: int = 128) -> dict[str, Tensor]:
    """One vector (N, channels) an image for each stage: its output, averaged over the places of the image."""
    parts: dict[str, list[Tensor]] = {}
    for batch in images.split(batch_size):
        for name, output in stage_outputs(model, batch).items():
            parts.setdefault(name, []).append(output.flatten(2).mean(2) if output.ndim > 2 else output)
    return {name: torch.cat(found) for name, found in parts.items()}


def neighbors(queries: Tensor, features: Tensor, count: int) -> Tensor:
    """Indices (Q, count) of the features (N, D) nearest to each query (Q, D), by the cosine, nearest first."""
    unit = nn.functional.normalize
    return (unit(queries, dim=1) @ unit(features, dim=1).T).topk(count).indices


def probe(train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, strength: float = 1.0) -> float:
    """Share of the test features that a logistic regression on the training features names correctly.

    A linear probe (Alain and Bengio, *Understanding intermediate layers using linear classifier probes*, 2016), with
    standardized features.

    Args:
        train: (N, D).
        labels: (N,) int64.
        test: (M, D).
        test_labels: (M,) int64.
        strength: inverse of the regularization (scikit-learn's `C`).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return float(model.fit(train.numpy(), labels.numpy()).score(test.numpy(), test_labels.numpy()))


def most_confident_mistakes(scores: Tensor, labels: Tensor, count: int) -> Sequence[int]:
    """Places of the wrongly named images, the surest first; scores (N, classes) before the softmax, labels (N,)."""
    sure, named = scores.softmax(1).max(1)
    wrong = (named != labels).nonzero().flatten()
    return wrong[sure[wrong].argsort(descending=True)][:count].tolist()
