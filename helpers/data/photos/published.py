"""Published photo sets: fetched when they are not there, read in the layout in which they are published."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helpers.data.photos.checks import check_photos
from helpers.data.photos.folders import load_folder
from helpers.data.tasks import Split, Task
from helpers.downloads import download, extract
from helpers.errors import HelpersError
from helpers.files import cache_dir, expanded

ANTS_BEES_URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
ANTS_BEES_SHA256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209"
"""As PyTorch's tutorials check it."""

ANTS_BEES_PHOTOS = (244, 153)


def published(name: str) -> Path | None:
    """Find a published data set on this machine: in the folder `$TRANSFER_DATA`, else in the cache folder.

    Args:
        name: of its folder, for instance `"ants-bees"` or `"flowers102-64px"`.

    Returns:
        The set's folder, or None where there is none; nothing is downloaded.
    """
    places = [expanded(os.environ["TRANSFER_DATA"])] if os.environ.get("TRANSFER_DATA") else []
    return next((place / name for place in [*places, cache_dir() / "data"] if (place / name).is_dir()), None)


def ants_bees(root: str | Path | None = None) -> Task:
    """Ants and bees: 244 photos to train with, 153 to validate with, from PyTorch's transfer-learning tutorial.

    Args:
        root: the folder of the photos, or the one that `hymenoptera_data` lies in or is downloaded to; by default
            `published("ants-bees")`, else the cache folder.

    Raises:
        HelpersError: if the photos are neither there nor can be downloaded, or some are missing.
    """
    root = expanded(root) if root is not None else published("ants-bees") or cache_dir() / "data"
    for folder in (root / "hymenoptera_data", root / "ants-bees", root):
        if (folder / "train").is_dir():
            break
    else:
        archive = download(ANTS_BEES_URL, root / "hymenoptera_data.zip", sha256=ANTS_BEES_SHA256)
        folder = extract(archive, root / "hymenoptera_data", "hymenoptera_data")
        archive.unlink()
    task = load_folder(folder)
    held = len(task.train), len(task.val)
    if held != ANTS_BEES_PHOTOS:
        raise HelpersError(
            f"{folder} holds {held} readable photos in train and val, not {ANTS_BEES_PHOTOS} as published; remove it "
            "and run this again, or give it by its path, as a folder."
        )
    return replace(task, name="ants-bees")


def flowers102(root: str | Path | None = None) -> Task:
    """Oxford Flowers-102 (Nilsback and Zisserman 2008) with its official splits: 1020 train, 1020 val, 6149 test.

    Labels count from 0 and classes are named in the order of `torchvision.datasets.Flowers102`, whose layout is used.

    Args:
        root: the folder that `flowers-102` lies in or is downloaded to; by default `published("flowers102")` or
            `published("flowers102-64px")`, else the cache folder.

    Raises:
        HelpersError: if the photos are neither there nor can be downloaded, or one is missing or unreadable.
    """
    from scipy.io import loadmat
    from torchvision.datasets import Flowers102  # slow to import, and only for this set

    if root is None:
        root = published("flowers102") or published("flowers102-64px") or cache_dir() / "data"
    folder = expanded(root) / "flowers-102"
    for key in ("label", "setid"):
        name, md5 = Flowers102._file_dict[key]
        download(Flowers102._download_url_prefix + name, folder / name, md5=md5)
    if not (folder / "jpg").is_dir():
        name, md5 = Flowers102._file_dict["image"]
        archive = download(Flowers102._download_url_prefix + name, folder / name, md5=md5)
        extract(archive, folder / "jpg", "jpg")
        archive.unlink()
    labels = loadmat(folder / "imagelabels.mat", squeeze_me=True)["labels"].astype(np.int64) - 1
    numbers = loadmat(folder / "setid.mat", squeeze_me=True)
    splits = {}
    for part, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
        chosen = numbers[key].astype(np.int64)
        files = tuple(folder / "jpg" / f"image_{number:05d}.jpg" for number in chosen)
        splits[part] = Split(torch.from_numpy(labels[chosen - 1]), files=files)
    files = [file for split in splits.values() for file in split.files]
    checked = zip(files, check_photos(files, folder), strict=True)
    broken = [f"{file} ({found.problem})" for file, found in checked if found.problem]
    if broken:
        raise HelpersError(
            f"{len(broken)} photos of Flowers-102 are missing or damaged: {', '.join(broken[:10])}; remove "
            f"{folder / 'jpg'}, and run this again."
        )
    return Task("flowers102", tuple(Flowers102.classes), splits["train"], splits["val"], splits["test"])
