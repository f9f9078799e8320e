"""`python -m data.workshop.card`: measure the embedded backbone again and write its model card.

The figures go to `data/card.json`, their tables between the marks in `data/MODEL_CARD.md`. The photographs are not part
of the repository; without them (`--photos FOLDER`) their tables stay as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from data.workshop.card_runs import STAGES, Budget, probes, source_head, trained
from helpers.data.load import load_task
from helpers.data.tasks import Task
from helpers.errors import HelpersError
from helpers.files import atomic_write, sha256, write_json
from helpers.measure import interval
from helpers.models.embedded import WEIGHTS, build

CARD = WEIGHTS.with_name("MODEL_CARD.md")
FIGURES = WEIGHTS.with_name("card.json")
PHOTOS = os.environ.get("TRANSFER_DATA")
SEEDS = (0, 1, 2, 3, 4)
PHOTO_SEEDS = (0, 1, 2)

BUDGETS = {
    "flowers102": Budget(rates=(1e-3, 3e-3), epochs=(40,)),
    "flowers": Budget(rates=(1e-3, 3e-3), epochs=(20, 50)),
    "ants-bees": Budget(rates=(1e-3, 3e-3), epochs=(40,)),
    "slides": Budget(rates=(1e-3, 3e-3), epochs=(25, 75), batch_size=16),
}
"""What every strategy may spend on each task, the longest first."""

FOLDERS = {"flowers102": "flowers102-64px", "ants-bees": "ants-bees"}
STRATEGIES = {
    "random probe": "linear probe, random weights",
    "head only": "linear probe, embedded backbone",
    "from scratch": "everything learns, random weights",
    "fine-tuned": "everything learns, embedded backbone",
}
Report = Callable[[str], object]


def measure(photos: Path | None = None, report: Report = print) -> dict[str, Any]:
    """Measure everything that the card reports.

    Args:
        photos: a folder that holds `flowers102-64px` and `ants-bees`; None leaves photographs out.
        report: called with one line of progress at a time.

    Returns:
        What `data/card.json` holds.
    """
    began = time.monotonic()
    names = [name for name in BUDGETS if photos is not None or name not in FOLDERS]
    sections: dict[str, Any] = {name: {} for name in names}
    with ProcessPoolExecutor(2, get_context("spawn"), _one_thread) as pool:
        jobs = {pool.submit(_job, name, part, photos): (name, part) for name in names for part in JOBS}
        sections["source"] = source_head(WEIGHTS)
        for job in as_completed(jobs):
            name, part = jobs[job]
            sections[name] |= job.result()
            report(f"{name}, {part}: done after {time.monotonic() - began:.0f} s")
    network = build(1)
    return {
        "sha256": sha256(WEIGHTS),
        "bytes": WEIGHTS.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()) - 257,
        "seconds": time.monotonic() - began,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
        **sections,
    }


def with_test(task: Task) -> Task:
    """A task that has test images: where it has none, validation becomes test, a fifth of training validation."""
    if task.test is not None:
        return task
    held = torch.zeros(len(task.train.labels), dtype=torch.bool)
    for label in task.train.labels.unique():
        of_class = (task.train.labels == label).nonzero().flatten()
        held[of_class[::5]] = True
    indices = torch.arange(len(held))
    return Task(task.name, task.classes, task.train.subset(indices[~held]), task.train.subset(indices[held]), task.val)


def _one_thread() -> None:
    torch.set_num_threads(1)


JOBS = ("from scratch", "fine-tuned", "probes")


def _job(name: str, part: str, photos: Path | None) -> dict[str, Any]:
    """One part of a task's section, in a process of its own."""
    if name in FOLDERS:
        seeds = PHOTO_SEEDS
        tasks = [with_test(load_task(name, root=photos / FOLDERS[name]))] * len(seeds)
    else:
        seeds = SEEDS
        tasks = [load_task(name, seed=seed) for seed in seeds]
    if part != "probes":
        return {part: trained(tasks, part == "fine-tuned", seeds, BUDGETS[name]).to_dict()}
    stages = {
        weights: {stage: figure.to_dict() for stage, figure in probes(tasks, weights == "embedded", seeds).items()}
        for weights in ("random", "embedded")
    }
    return {"random probe": stages["random"]["layer4"], "head only": stages["embedded"]["layer4"], "stages": stages}


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What the backbone was to reach, and what it reached: one row per bar, in points (1 point = 1 %)."""
    rows = []

    def bar(text: str, task: str, better: str, worse: str | None, least: float, most: float | None = None) -> None:
        if task not in figures:
            return
        a = figures[task][better]["test"]
        b = figures[task][worse]["test"] if worse else [0.0] * len(a)
        gaps = [100 * (x - y) for x, y in zip(a, b, strict=True)]
        value = sum(gaps) / len(gaps)
        row = {"bar": text, "least": least, "most": most, "measured": value, "half_width": interval(gaps).half_width}
        rows.append({**row, "reached": value >= least and (most is None or value <= most)})

    bar("drawn flowers: head only over random probe", "flowers", "head only", "random probe", 45)
    bar("drawn flowers: fine-tuned over from scratch", "flowers", "fine-tuned", "from scratch", 25)
    best = max(("head only", "fine-tuned"), key=lambda name: figures["flowers"][name]["mean"])
    bar(f"drawn flowers: best strategy ({best})", "flowers", best, None, 80, 95)
    bar("drawn slides: fine-tuned over from scratch", "slides", "fine-tuned", "from scratch", 0)
    bar("Flowers-102 photos: linear probe", "flowers102", "head only", None, 30)
    bar("Flowers-102 photos: fine-tuned", "flowers102", "fine-tuned", None, 55)
    bar("Flowers-102 photos: fine-tuned over from scratch", "flowers102", "fine-tuned", "from scratch", 0)
    return rows


def tables(figures: dict[str, Any]) -> dict[str, str]:
    """The card's tables in Markdown, by the name of their mark."""
    source = figures["source"]
    made = {
        "file": _table(
            ("", ""),
            [
                ("sha256", f"`{figures['sha256']}`"),
                ("size", f"{figures['bytes'] / 1e6:.1f} MB"),
                ("parameters without the head", f"{figures['parameters']:,}"),
                ("source classes", f"{source['plan']['classes']:,}"),
                ("source images drawn", f"{source['plan']['classes'] * source['plan']['rounds']:,}"),
                ("images seen in training", f"{_images_seen(source['result']):,.0f}"),
                ("training time", f"{source['result']['seconds'] / 60:.0f} minutes on two busy cores"),
                ("seed", str(source["plan"]["seed"])),
                ("accuracy on fresh source images", f"{source['accuracy']:.1%}"),
            ],
        ),
        "families": _table(("family", "accuracy"), [(k, f"{v:.0%}") for k, v in source["families"].items()]),
        "bars": _table(
            ("bar", "wanted", "measured", "reached"),
            [
                (
                    row["bar"],
                    f"{row['least']} to {row['most']}" if row["most"] else f"at least {row['least']}",
                    f"{row['measured']:.1f} ± {row['half_width']:.1f}",
                    "yes" if row["reached"] else "no",
                )
                for row in figures["bars"]
            ],
        ),
    }
    for task in ("flowers", "slides", "flowers102", "ants-bees"):
        if task in figures:
            made[task] = _task_tables(figures[task])
    return made


def _task_tables(found: dict[str, Any]) -> str:
    rows = [
        (name, what, _percent(found[name]), found[name]["chosen"], str(found[name]["candidates"]))
        for name, what in STRATEGIES.items()
    ]
    stages = [
        (weights, *(_percent(figure) for figure in by_stage.values())) for weights, by_stage in found["stages"].items()
    ]
    return (
        _table(("strategy", "what it is", "test accuracy, %", "chosen", "of"), rows)
        + "\n\nLinear probes of each stage, test accuracy in %:\n\n"
        + _table(("weights", *STAGES.values()), stages)
    )


def _percent(figure: dict[str, Any]) -> str:
    return f"{100 * figure['mean']:.1f} ± {100 * figure['half_width']:.1f}"


def _images_seen(result: dict[str, float]) -> float:
    return result["images"] if "images" in result else result["pictures"]  # its name in the shipped weights


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(figures: dict[str, Any], card: Path = CARD) -> None:
    """Put the tables between their marks (`<!-- name -->` .. `<!-- end -->`) in the card.

    Raises:
        HelpersError: if the card lacks a mark.
    """
    text = card.read_text(encoding="utf-8")
    for name, table in tables(figures).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise HelpersError(f"{card} has no place for its table {name!r}; put back <!-- {name} --> <!-- end -->.")
        text = pattern.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    atomic_write(card, lambda file: file.write(text.encode()))


def main() -> None:
    """Measure, then write `data/card.json` and the tables of `data/MODEL_CARD.md`."""
    parser = argparse.ArgumentParser(description="Measure the embedded backbone and write its model card.")
    parser.add_argument("--photos", type=Path, default=PHOTOS and Path(PHOTOS))
    photos = parser.parse_args().photos
    figures = measure(photos, lambda line: print(line, flush=True))
    if photos is None and FIGURES.exists():
        before = json.loads(FIGURES.read_text(encoding="utf-8"))
        if before["sha256"] == figures["sha256"]:
            figures |= {name: before[name] for name in ("flowers102", "ants-bees") if name in before}
    figures["bars"] = bars(figures)
    write_json(FIGURES, figures)
    write(figures)
    print(tables(figures)["bars"])


if __name__ == "__main__":
    main()
