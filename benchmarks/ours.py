"""The same work by this package's `fit`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace

from torchvision import models

from benchmarks.tutorial import network
from helpers import Phase, Settings, Task, fit, load_backbone, load_task, replace_head
from helpers.data.preprocessing import Preprocessing


def feature_extraction(folder: str, architecture: str, epochs: int, precision: str) -> Callable[[], int]:
    """From the photo files to a trained head, every time from an empty cache."""
    preprocessing = Preprocessing.of(models.get_model_weights(architecture).DEFAULT)

    def work() -> int:
        cache = tempfile.mkdtemp()
        os.environ["HELPERS_CACHE"] = cache
        model = replace_head(network(architecture), 2)
        task = load_task(folder)
        settings = Settings(preprocessing=preprocessing, precision=precision)
        fit(model, task, [Phase("head", 1e-3, epochs)], settings, verbose=False)
        shutil.rmtree(cache)
        return epochs * len(task.train)

    return work


def fine_tuning(folder: str, architecture: str, precision: str) -> Callable[[], int]:
    """One training epoch; the first, untimed one also fills the cache of decoded photos."""
    preprocessing = Preprocessing.of(models.get_model_weights(architecture).DEFAULT).with_size(224)
    model = replace_head(network(architecture), 2)
    return _epochs(model, _mostly_training(load_task(folder)), preprocessing, precision, "standard")


def small_network(precision: str) -> Callable[[], int]:
    """One training epoch of the embedded backbone on drawn flowers."""
    task = _mostly_training(load_task("flowers", train_per_class=100))
    model = replace_head(load_backbone(), len(task.classes))
    return _epochs(model, task, model.preprocessing, precision, "light")


def _epochs(model, task: Task, preprocessing: Preprocessing, precision: str, augment: str) -> Callable[[], int]:
    settings = Settings(preprocessing=preprocessing, precision=precision, augment=augment, keep_best=False)

    def epoch() -> int:
        fit(model, task, [Phase("all", 1e-4, 1)], settings, verbose=False)
        return len(task.train)

    return epoch


def _mostly_training(task: Task) -> Task:
    """Validation takes part in every epoch of `fit`; the others are timed without it, so two images must do."""
    val = task.val
    images = None if val.images is None else val.images[:2]
    files = None if val.files is None else val.files[:2]
    return replace(task, val=replace(val, labels=val.labels[:2], images=images, files=files), test=None)
