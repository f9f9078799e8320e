"""What the figures to play with show: stored results, with means and intervals, as a page holds them for its script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from course.strategy_table import Grid, advise, load_grid
from course.strategy_textbook import DOMAINS, TEXTBOOK, TextbookRule, textbook
from helpers.measure import compare, interval

MEASURED = Path(__file__).parents[3] / "data" / "figures.json"
MODELS = MEASURED.with_name("models.json")
TITLES = {
    "flowers": "drawn flowers",
    "slides": "drawn slides",
    "ants-bees": "ants and bees",
    "flowers102": "Flowers-102",
}
BACKBONES = {"embedded": "embedded, drawn images", "efficientnet_lite0": "EfficientNet-Lite0, photos"}


@cache
def _read(changed: int) -> dict[str, Any]:
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def measured(figure: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a figure's results were measured, and its runs; no runs where there are none."""
    if not MEASURED.exists():
        return {}, []
    about = _read(MEASURED.stat().st_mtime_ns)
    return about, [run for run in about["runs"] if run["figure"] == figure]


def band(values: Sequence[float]) -> tuple[float, float]:
    """Mean of some seeds and half of its 95 % interval, as the figures show them."""
    found = interval(values)
    return round(found.mean, 4), round(found.half_width, 4)


def _bands(runs: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """For runs that each hold a row of values: the band of each place of the row."""
    return [band(values) for values in zip(*(run[key] for run in runs), strict=True)]


def _of_target(runs: Sequence[dict[str, Any]], target: str, weights: str) -> list[dict[str, Any]]:
    return [run for run in runs if (run["target"], run["weights"]) == (target, weights)]


def probe_data() -> dict[str, Any] | None:
    """Accuracy of a probe by target and stage, and test images on two axes."""
    about, runs = measured("probe")
    targets = []
    for name, target in about.get("targets", {}).items():
        pretrained, random = (_of_target(runs, name, weights) for weights in ("pretrained", "random"))
        if min(len(pretrained), len(random)) < 3:
            continue
        rows = [[{"values": list(run["stages"].values())} for run in some] for some in (pretrained, random)]
        first = pretrained[0]
        targets.append(
            {
                "title": TITLES[name],
                "chance": 1 / target["classes"],
                "classes": first["classes"],
                "labels": first["labels"],
            }
            | {"pretrained": _bands(rows[0], "values"), "random": _bands(rows[1], "values")}
            | {"points": list(first["points"].values())}
        )
    return {"stages": about["stages"][:-1], "targets": targets} if targets else None


def images_data() -> dict[str, Any] | None:
    """Accuracy of a probe by target and number of training images."""
    about, runs = measured("images")
    targets = []
    for name, target in about.get("targets", {}).items():
        pretrained, random = (_of_target(runs, name, weights) for weights in ("pretrained", "random"))
        if min(len(pretrained), len(random)) >= 3:
            draws = list(zip(*(run["accuracy"] for run in pretrained), strict=True))
            bands = {"pretrained": _bands(pretrained, "accuracy"), "random": _bands(random, "accuracy")}
            targets.append({"title": TITLES[name], "chance": 1 / target["classes"], "draws": draws} | bands)
    return {"sizes": runs[0]["sizes"], "targets": targets} if targets else None


def rate_data() -> dict[str, Any] | None:
    """The training curves of every run by what is trained and by rate, and where they end."""
    _, runs = measured("rate")
    rates = sorted({run["lr"] for run in runs})
    parts = {}
    for part in ("all", "head"):
        found = [[run for run in runs if (run["part"], run["lr"]) == (part, rate)] for rate in rates]
        if rates and min(map(len, found)) >= 3:
            curves = [[{key: run[key] for key in ("loss", "train", "val")} for run in some] for some in found]
            ends = {key: [band([run[key] for run in some]) for some in found] for key in ("test", "source")}
            parts[part] = {"runs": curves} | ends
    _, followed = measured("timeline")
    if not parts or not followed:
        return None
    untouched = followed[0]["source"][0]  # before the first epoch
    return {"rates": rates, "parts": parts, "untouched": untouched, "chance": 1 / 5}


def timeline_data() -> dict[str, Any] | None:
    """By strategy the rate of each stage in each epoch; accuracy on the new and the old task after each."""
    about, runs = measured("timeline")
    targets = []
    for name in ("flowers", "slides"):
        found = {
            strategy: [run for run in runs if (run["target"], run["strategy"]) == (name, strategy)]
            for strategy in about.get("timelines", {})
        }
        if found and min(map(len, found.values())) >= 3:
            curves = {
                strategy: {key: _bands(some, key) for key in ("test", "source")} for strategy, some in found.items()
            }
            classes = {"flowers": 8}.get(name, about["targets"][name]["classes"])
            targets.append({"title": TITLES[name], "chance": 1 / classes, "runs": curves})
    if not targets:
        return None
    stages = about["stages"]
    rates = {name: _rates_by_epoch(phases, stages) for name, phases in about["timelines"].items()}
    return {"stages": stages, "epochs": len(next(iter(rates.values()))), "strategies": rates, "targets": targets}


def _rates_by_epoch(phases: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> list[list[float | None]]:
    """The highest rate of each stage in each epoch; None where it is frozen."""
    rows = []
    for phase in phases:
        trainable = phase["trainable"]
        open_ = (
            stages[-trainable:]
            if isinstance(trainable, int)
            else {"all": stages, "head": stages[-1:]}.get(str(trainable), trainable)
        )
        steps = {name: len(stages) - 1 - i for i, name in enumerate(stages)}
        rates = [phase["lr"] * phase["layer_decay"] ** steps[name] if name in open_ else None for name in stages]
        rates[-1] = phase["head_lr"] or phase["lr"]
        rows += [rates] * phase["epochs"]
    return rows


def strategies_data() -> dict[str, Any] | None:
    """Every measured place of the grid: its strategies, those that are equal to the best, and the advice."""
    grid = load_grid()
    places: dict[str, dict[int, Any]] = {}
    for target, size in sorted({(cell.target, cell.per_class) for cell in grid.cells}):
        places.setdefault(target, {})[size] = place_data(grid, target, size)
    return (
        {
            "strategies": grid.strategies,
            "backbones": BACKBONES,
            "targets": [
                {"name": name, "title": TITLES[name], "domain": DOMAINS[name], "backbone": target["backbone"]}
                | {"chance": target["chance"], "classes": target["classes"]}
                for name, target in grid.targets.items()
            ],
            "untouched": {
                cell.target: round(mean(cell.source), 4)
                for cell in grid.cells
                if cell.strategy == "feature extraction" and cell.source
            },
            "places": places,
            "textbook": [
                {"sentence": line.sentence, "verdict": line.verdict, "evidence": line.evidence}
                | {"places": {f"{target} {size}": verdict for (target, size), verdict in line.places.items()}}
                | {
                    "applies": {
                        name: [size for size in sizes if _applies(grid, rule, name, size)]
                        for name, sizes in places.items()
                    }
                }
                for rule, line in zip(TEXTBOOK, textbook(grid), strict=True)
            ],
        }
        if grid.cells
        else None
    )


def place_data(grid: Grid, target: str, size: int) -> dict[str, Any]:
    """One place of the grid, its strategies by accuracy."""
    measured_here = grid.of(target, size)
    advice = advise(measured_here)
    rows = []
    for name, cell in measured_here.items():
        behind = compare(cell.test, advice.best.test).difference
        status = "best" if cell is advice.best else "equal" if cell in advice.equal else "worse"
        rows.append(
            {"name": name, "test": band(cell.test), "behind": (round(behind.mean, 4), round(behind.half_width, 4))}
            | {"status": status, "seconds": round(mean(cell.seconds), 2), "lr": cell.lr, "steps": cell.steps}
            | {"source": band(cell.source) if cell.source else None}
        )
    return {
        "rows": sorted(rows, key=lambda row: -row["test"][0]),
        "best": advice.best.strategy,
        "advice": advice.cheapest.strategy,
        "missing": [name for name in grid.strategies if name not in measured_here],
    }


def _applies(grid: Grid, rule: TextbookRule, target: str, size: int) -> bool:
    least, most = rule.images
    return least <= grid.images(target, size) < most and rule.domain in (None, DOMAINS[target])


def schedules_data() -> dict[str, Any]:
    """The stages of the embedded backbone; everything else is computed in the page."""
    return {"stages": ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]}


def confusion_data() -> dict[str, Any] | None:
    """Truth and answer of every test flower, and where some of them stand on the contact sheet."""
    _, runs = measured("confusion")
    if not runs:
        return None
    return {key: value for key, value in runs[0].items() if key not in ("figure", "target", "seed")} | {
        "sheet": "../_static/figures/flowers.webp"
    }


AXES = {
    "accuracy": "test accuracy",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "processor seconds",
    "log_me": "LogME",
}


def models_data() -> dict[str, Any] | None:
    """By target every measured network and image size: accuracy of a probe on its last stage, size, work and time."""
    if not MODELS.exists():
        return None
    stored = json.loads(MODELS.read_text(encoding="utf-8"))
    targets = []
    for name, target in stored["targets"].items():
        models = [_model(cell, stored["sources"]) for cell in stored["cells"] if cell["target"] == name]
        if len(models) > 2:
            targets.append({"title": TITLES[name], "chance": target["chance"], "models": models})
    return {"axes": AXES, "targets": targets} if targets else None


def _model(cell: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    last = list(cell["stages"].values())[-1]
    fields = {key: cell[key] for key in ("source", "drawn", "input", "parameters", "multiply_adds")}
    return fields | {
        "pretrained": sources[cell["source"]]["weights"] is not None,
        "seconds": cell["seconds"]["features"],
        "accuracy": band(last["accuracy"]),
        "log_me": round(mean(last["log_me"]), 4),
    }
