"""Predict the classes of photos with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from helpers.data.photos.decoding import prepared_photo
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


def predict(
    model: SavedModel | str | Path,
    photos: Sequence[str | Path],
    *,
    top: int = 1,
    batch_size: int = 16,
    tta: bool = False,
) -> list[Prediction]:
    """Predict what is on photos, which are prepared with the model's own preprocessing.

    Args:
        model: from `load_model`, or the path of a model file or run folder.
        photos: files of any kind that `helpers.data.photos.decoding.prepared_photo` reads.
        top: how many classes per photo, from the likeliest down.
        batch_size: photos at a time.
        tta: test-time augmentation, see `probabilities`.

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
    likeliest = probabilities(saved, photos, batch_size=batch_size, tta=tta).topk(min(top, len(saved.classes)))
    return [
        Prediction(Path(photo), tuple(saved.classes[i] for i in indices), tuple(chances))
        for photo, chances, indices in zip(photos, *(part.tolist() for part in likeliest), strict=True)
    ]


@torch.no_grad()
def probabilities(
    saved: SavedModel, photos: Sequence[str | Path], *, batch_size: int = 16, tta: bool = False
) -> Tensor:
    """Predict the probability of every class for N photos, (N, C) float32; with a progress bar where it takes long.

    Test-time augmentation (`tta`) gives the mean over each photo and its mirror image.
    """
    starts = range(0, len(photos), batch_size)
    found, preprocessing, device = [], saved.preprocessing, next(saved.model.parameters()).device
    with eval_mode(saved.model):
        for start in tqdm(starts, desc="predicting", unit="batch", disable=None, leave=False, delay=1):
            images = [prepared_photo(photo, preprocessing) for photo in photos[start : start + batch_size]]
            images = normalize(center_crop(images, preprocessing.image_size), preprocessing).to(device)
            views = [images, images.flip(3)] if tta else [images]
            chances = [saved.model(view).flatten(1).float().softmax(dim=1) for view in views]
            found.append(torch.stack(chances).mean(dim=0).cpu())
    return torch.cat(found)
