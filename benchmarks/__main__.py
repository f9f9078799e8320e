"""`make bench`: every row of the table, printed as it is measured and written to results.json."""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import footprint
from benchmarks.company import SPINNING
from benchmarks.contest import contest
from benchmarks.photos import photos

RESULTS = Path(__file__).parent / "results.json"
EPOCHS = 25
MEASURED_EPOCHS = 1
"""Of the tutorial's feature extraction; each of its epochs does the same work, so the rest is multiplied."""


@dataclass(frozen=True)
class Row:
    """One piece of work and who does it; the first of `ours` is what the others are compared with."""

    title: str
    contenders: dict[str, tuple[str, dict[str, Any]]]
    ours: tuple[str, ...]
    repeats: int = 3


def rows(folder: str) -> dict[str, Row]:
    """By a short name."""
    extraction = {
        "tutorial": (
            "tutorial.feature_extraction",
            {"folder": folder, "architecture": "resnet18", "epochs": MEASURED_EPOCHS},
        )
    }
    precisions = _precisions()
    for precision in precisions:
        given = {"folder": folder, "architecture": "resnet18", "epochs": EPOCHS, "precision": precision}
        extraction[f"ours {precision}"] = ("ours.feature_extraction", given)
        bare = {"architecture": "resnet18", "epochs": EPOCHS, "precision": precision}
        extraction[f"floor {precision}"] = ("floor.forward", bare)
    ours = tuple(f"ours {precision}" for precision in precisions)
    title = f"feature extraction, ResNet-18, {EPOCHS} epochs"
    title += f" (of the tutorial's, {MEASURED_EPOCHS} measured, times {EPOCHS})"
    found = {"extraction": Row(title, extraction, ours)}
    for architecture in ("resnet18", "mobilenet_v2"):
        given = {"folder": folder, "architecture": architecture}
        peers = {name: (f"peers.{name}", given) for name in ("accelerate", "lightning", "fastai")}
        contenders = {"tutorial": ("tutorial.fine_tuning", given)} | peers
        for precision in precisions:
            contenders[f"ours {precision}"] = ("ours.fine_tuning", given | {"precision": precision})
            bare = {"architecture": architecture, "precision": precision}
            contenders[f"floor {precision}"] = ("floor.training", bare)
        found[architecture] = Row(f"fine-tuning, {architecture}, 224 px", contenders, ours)
    memory = {"per item": ("memory.per_item", {})}
    for precision in precisions:
        memory[f"ours {precision}"] = ("ours.small_network", {"precision": precision})
        memory[f"floor {precision}"] = ("floor.small_network", {"precision": precision, "count": 2000})
    found["memory"] = Row("embedded backbone, 64 px, in memory", memory, ours)
    company = {"alone": ("company.alone", {}), "alone, spinning": ("company.alone", {"spins": SPINNING})}
    company["two at once"] = ("company.together", {})
    found["company"] = Row("embedded backbone fine-tuned, alone and in company", company, ("alone",), repeats=5)
    every = "import helpers; [getattr(helpers, name) for name in helpers.__all__]"
    imports = {
        "torch": "import torch",
        "torchvision": "import torchvision",
        "helpers": "import helpers",
        "all of it": every,
    }
    starts = {name: ("starting.importing", {"statement": statement}) for name, statement in imports.items()}
    found["import"] = Row("import, seconds in a fresh interpreter", starts, ("helpers", "all of it"), repeats=5)
    return found


def main() -> None:
    """Measure the rows that are asked for, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"some of: {', '.join(rows(''))}, footprint, doctor, loops"
    )
    wanted = parser.parse_args().rows
    about: dict[str, Any] = {"rows": {}}
    if wanted and RESULTS.exists():  # the rows that are not measured now stay as they were
        about["rows"] = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]

    def keep(name: str, row: dict[str, Any] | None) -> None:
        about["rows"][name] = row and {"machine": _machine(), **row}
        RESULTS.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        about["photos"] = photos(Path(folder))
        for name, row in rows(folder).items():
            if not wanted or name in wanted:
                keep(name, measure(row))
    if not wanted or "footprint" in wanted:
        keep("footprint", footprint.measure())
    if not wanted or "doctor" in wanted:
        from benchmarks import doctor_peers

        keep("doctor", {"title": doctor_peers.TITLE, "found": doctor_peers.measure()})
    if not wanted or "loops" in wanted:
        from benchmarks import loop_peers

        keep("loops", {"title": loop_peers.TITLE, "found": loop_peers.measure()})


def measure(row: Row) -> dict[str, Any]:
    """Run one row's contest and print it."""
    results = contest(row.contenders, row.repeats)
    for name, result in results.items():
        if name == "tutorial" and row.title.startswith("feature"):
            result["seconds"] *= EPOCHS / MEASURED_EPOCHS
            result["images"] *= EPOCHS // MEASURED_EPOCHS
        result["a_second"] = result["images"] / result["seconds"]
    print(f"\n{row.title}")
    best = max((results[name] for name in row.ours), key=lambda result: result["a_second"])
    for name, result in results.items():
        ratio = best["a_second"] / result["a_second"]
        print(
            f"  {name:12} {result['seconds']:9.2f} s {result['a_second']:10.1f} a second   ours is {ratio:6.2f} times"
        )
    return {"title": row.title, "repeats": row.repeats, "results": results}


def _precisions() -> tuple[str, ...]:
    """Those worth timing here: a processor without bfloat16 emulates it, which nobody would use."""
    import torch

    return ("bf16", "fp32") if torch.cpu._is_avx512_bf16_supported() else ("fp32",)


def _machine() -> dict[str, Any]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "threads": torch.get_num_threads(),
        "cpu": capability,
        "torch": torch.__version__,
        "system": platform.platform(),
    }


if __name__ == "__main__":
    main()
