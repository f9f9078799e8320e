"""Predict the classes of photos with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.data.photos.decoding import read_photo
from helpers.data.transforms import center_crop, normalize
from helpers.errors import HelpersError
from helpers.models.modes import eval_mode
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
    """Predict what is on photos, which are prepared with the model's own preprocessing.

    Args:
        model: from `load_model`, or the path of a model file or run folder.
        photos: files of any kind that `helpers.data.photos.decoding.read_photo` reads.
        top: how many classes per photo, from the likeliest down.
        batch_size: photos at a time.

    Raises:
        HelpersError: if there is no photo, one is a folder, or one cannot be read (before its batch is predicted).
    """
    if not photos:
        raise HelpersError("there are no photos to look at; name at least one file")
    if top < 1:
        raise HelpersError(f"top={top} asks for no class; give 1 or more")
    for photo in photos:
        if Path(photo).is_dir():
            raise HelpersError(f"{photo} is a folder; name the photos in it, such as {Path(photo) / '*.jpg'}")
    saved = model if isinstance(model, SavedModel) else load_model(model)
    batches = [photos[start : start + batch_size] for start in range(0, len(photos), batch_size)]
    with eval_mode(saved.model):
        likeliest = torch.cat([_probabilities(saved, batch) for batch in batches]).topk(min(top, len(saved.classes)))
    return [
        Prediction(Path(photo), tuple(saved.classes[i] for i in indices), tuple(probabilities))
        for photo, probabilities, indices in zip(photos, *(part.tolist() for part in likeliest), strict=True)
    ]


def _probabilities(saved: SavedModel, photos: Sequence[str | Path]) -> torch.Tensor:
    preprocessing = saved.preprocessing
    images = [read_photo(photo, preprocessing.resize_size, preprocessing.interpolation) for photo in photos]
    images = normalize(center_crop(images, preprocessing.image_size), preprocessing)
    device = next(saved.model.parameters()).device
    return saved.model(images.to(device)).flatten(1).float().softmax(dim=1).cpu()
