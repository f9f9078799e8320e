"""What a trained model says about photos it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.data.photos.decoding import read_photo
from helpers.data.transforms import center_crop, normalize
from helpers.errors import HelpersError
from helpers.models.saved_models import SavedModel, load_model


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one photo.

    Attributes:
        photo: the file.
        classes: names, the likeliest first.
        probabilities: of these classes, 0 to 1 (softmax of the scores, not calibrated).
    """

    photo: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@torch.no_grad()
def predict(
    model: SavedModel | str | Path, photos: Sequence[str | Path], *, top: int = 1, batch_size: int = 16
) -> list[Prediction]:
    """Name what is on photos, prepared just as the model's preprocessing asks.

    Args:
        model: what `load_model` gave, or the path of a model file or run folder.
        photos: files of any kind that `helpers.data.photos.decoding.read_photo` reads.
        top: how many classes a photo, from the likeliest down; at most all.
        batch_size: photos at a time.

    Raises:
        HelpersError: if there is no photo, one is a folder, or one cannot be read (before anything is predicted for its
            batch).
    """
    if not photos:
        raise HelpersError("there are no photos to look at; name at least one file")
    if top < 1:
        raise HelpersError(f"top={top} asks for no class; give 1 or more")
    for photo in photos:
        if Path(photo).is_dir():
            raise HelpersError(f"{photo} is a folder; name the photos in it, such as {Path(photo) / '*.jpg'}")
    saved = model if isinstance(model, SavedModel) else load_model(model)
    count = min(top, len(saved.classes))
    found = []
    for start in range(0, len(photos), batch_size):
        batch = [Path(photo) for photo in photos[start : start + batch_size]]
        probabilities, indices = _probabilities(saved, batch).topk(count)
        for photo, values, places in zip(batch, probabilities.tolist(), indices.tolist(), strict=True):
            found.append(Prediction(photo, tuple(saved.classes[i] for i in places), tuple(values)))
    return found


def _probabilities(saved: SavedModel, photos: Sequence[Path]) -> torch.Tensor:
    preprocessing = saved.preprocessing
    images = [read_photo(photo, preprocessing.resize_size, preprocessing.interpolation) for photo in photos]
    images = normalize(center_crop(images, preprocessing.image_size), preprocessing)
    device = next(saved.model.parameters()).device
    return saved.model(images.to(device)).flatten(1).float().softmax(dim=1).cpu()
