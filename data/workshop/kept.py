"""What measuring commands that take long have in common: each finished run is kept at once, a stopped one goes on."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torchvision

from helpers.files import atomic_write


def read_rows(kept: Path, results: Path, name: str) -> Iterator[dict[str, Any]]:
    """All rows so far: those called `name` in the file of results, then the lines since."""
    if results.exists():
        yield from json.loads(results.read_text(encoding="utf-8"))[name]
    yield from read_lines(kept)


def read_lines(kept: Path) -> Iterator[dict[str, Any]]:
    """The rows that `append_row` kept; half a line, left by a run that was stopped while it wrote, is passed over."""
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        with suppress(ValueError):
            yield json.loads(line)


def append_row(kept: Path, row: Mapping[str, Any]) -> None:
    """Keep a finished run as a line of JSON, in a line of its own whatever stands before it."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as file:
        print(f"\n{json.dumps(row)}", file=file)


def write_rows(results: Path, about: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of results: what it is `about`, then its rows, a line each, so that changes are easy to see."""
    fields = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    text = "{\n" + ",\n".join([*fields, f' "{name}": [\n{lines}\n ]']) + "\n}\n"
    atomic_write(results, lambda file: file.write(text.encode()))


def machine() -> str:
    """What results and seconds depend on, in a phrase."""
    return (
        f"{platform.machine()}, {torch.get_num_threads()} thread, fp32, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, Python {platform.python_version()}"
    )


def run_to_the_end(measure: Callable[..., None], *arguments: Any) -> None:
    """Measure on one thread and print each line of the report at once; Ctrl-C stops it, and says how it goes on."""
    torch.set_num_threads(1)
    try:
        measure(*arguments, report=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", flush=True)
        raise SystemExit(130) from None
