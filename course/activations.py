"""What a network sees: first filters, activations of each stage, nearest neighbors, linear probes."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers.errors import HelpersError
from helpers.models.modes import eval_mode
from helpers.models.stages import stages


def first_filters(model: nn.Module) -> Tensor:
    """The filters of the first convolution, each stretched to the range 0 to 1: (filters, 3, height, width).

    Raises:
        HelpersError: if the first convolution does not take RGB images.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        raise HelpersError("this model does not begin with a convolution over three colors")
    weight = first.weight.detach().cpu()
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    return (weight - low) / (high - low).clamp_min(1e-12)


@torch.no_grad()
def stage_outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The output of each stage but the head, before global pooling, by the stage's name; computed in eval mode.

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
    try:
        with eval_mode(model):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return caught


def stage_features(model: nn.Module, images: Tensor, batch_size: int = 128) -> dict[str, Tensor]:
    """One feature vector (N, channels) per image and stage: the stage's output averaged over all positions."""
    parts: dict[str, list[Tensor]] = {}
    for batch in images.split(batch_size):
        for name, output in stage_outputs(model, batch).items():
            parts.setdefault(name, []).append(output.flatten(2).mean(2) if output.ndim > 2 else output)
    return {name: torch.cat(found) for name, found in parts.items()}


def loader_features(model: nn.Module, loader: DataLoader) -> tuple[dict[str, Tensor], Tensor]:
    """`stage_features` of all the images of a loader, by stage (N, channels), and their labels (N,)."""
    parts = [(stage_features(model, images), labels) for images, labels in loader]
    features = {name: torch.cat([found[name] for found, _ in parts]) for name in parts[0][0]}
    return features, torch.cat([labels for _, labels in parts])


def strongest_channels(output: Tensor, count: int) -> Tensor:
    """The channels of an activation (C, H, W) that vary most over the image, each scaled to 0 to 1: (count, H, W)."""
    maps = output[output.flatten(1).std(1).topk(count).indices]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-6)


def neighbors(queries: Tensor, features: Tensor, count: int) -> Tensor:
    """Nearest neighbors by cosine similarity: indices (Q, count) of features (N, D) for queries (Q, D)."""
    unit = nn.functional.normalize
    return (unit(queries, dim=1) @ unit(features, dim=1).T).topk(count).indices


def probe(train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, strength: float = 1.0) -> float:
    """Test accuracy (0 to 1) of a linear probe: logistic regression on standardized features.

    Source: Alain and Bengio, *Understanding intermediate layers using linear classifier probes* (2016).

    Args:
        train: features (N, D).
        labels: (N,) int64.
        test: features (M, D).
        test_labels: (M,) int64.
        strength: inverse of the regularization (scikit-learn's `C`).
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return float(model.fit(train.numpy(), labels.numpy()).score(test.numpy(), test_labels.numpy()))


def most_confident_mistakes(scores: Tensor, labels: Tensor, count: int) -> list[int]:
    """Indices of the misclassified images, highest confidence first.

    Args:
        scores: (N, classes), before the softmax.
        labels: (N,).
        count: at most so many.
    """
    confidence, predicted = scores.softmax(1).max(1)
    wrong = (predicted != labels).nonzero().flatten()
    return wrong[confidence[wrong].argsort(descending=True)][:count].tolist()
