"""How much memory a transfer needs as the number of photos grows: a process of its own for each number.

What counts is the process's own memory (anonymous pages, Linux only). The decoded photos and the features lie in
memory-mapped files, which the system keeps in memory only while there is room.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PHOTOS = (250, 1000, 4000)


def measure() -> dict[str, Any] | None:
    """Print and return the peak for each number of photos, in MB; None where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return None
    print("\nfeature extraction, SqueezeNet: own memory at its peak")
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for count in PHOTOS:
        with context.Pool(1) as pool:
            peaks[count] = pool.apply(_transfer, (count,))
        print(f"  {count:6} photos {peaks[count]:8.0f} MB")
    return {"title": "own memory at its peak, MB", "results": peaks}


def _transfer(count: int) -> float:
    import os

    from helpers import Phase, Settings, fit, load_backbone, load_task, replace_head
    from helpers.data.preprocessing import IMAGENET

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HELPERS_CACHE"] = f"{folder}/cache"
        _photos(Path(folder) / "photos", count)
        task = load_task(Path(folder) / "photos")
        model = replace_head(load_backbone("squeezenet1_1", weights=None), len(task.classes))
        done, peak = threading.Event(), [0.0]
        watcher = threading.Thread(target=_watch, args=(done, peak))
        watcher.start()
        fit(model, task, [Phase("head", 1e-3, 2)], Settings(preprocessing=IMAGENET), verbose=False)
        done.set()
        watcher.join()
    return peak[0]


def _photos(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for split, share in (("train", 0.8), ("val", 0.2)):
        for name in ("one", "two"):
            home = folder / split / name
            home.mkdir(parents=True)
            for number in range(round(count * share / 2)):
                coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((320, 240)).save(home / f"{number}.jpg")


def _watch(done: threading.Event, peak: list[float]) -> None:
    while not done.wait(0.05):
        lines = Path("/proc/self/status").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
        peak[0] = max(peak[0], own / 1000)
