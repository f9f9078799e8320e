"""The front page's picture: what pretraining was worth, drawn from the figures of the model card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CARD = Path(__file__).parents[3] / "data" / "card.json"
ROWS = ("from scratch", "head only", "fine-tuned")
LEFT, RIGHT, TOP, STEP = 120, 20, 14, 46  # the frame around the scale, and the distance of two rows, in units
WIDTH = 640


def setup(app: Sphinx) -> None:
    """Offer the directive `outcome`."""
    app.add_directive("outcome", Outcome)


class Outcome(SphinxDirective):
    """One row for each strategy: a dot for each seed, a bar to the mean, its figure beside it."""

    def run(self) -> list[nodes.Node]:
        """Read the card and draw."""
        self.env.note_dependency(str(CARD))
        task = json.loads(CARD.read_text(encoding="utf-8"))["flowers"]
        return [nodes.raw("", "\n".join(draw(task)), format="html")]


def draw(task: dict[str, dict]) -> Iterator[str]:
    """The picture as SVG; its colours come from the page, so it suits light and dark."""
    height = TOP + STEP * len(ROWS) + 34
    told = "; ".join(f"{name} {100 * task[name]['mean']:.0f} %" for name in ROWS)
    yield f'<svg class="outcome" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_alt(told, task)}">'
    for percent in range(0, 101, 25):
        x = _x(percent / 100)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - 34}"/>'
        yield f'<text class="tick" x="{x}" y="{height - 16}">{percent}{" %" if percent == 100 else ""}</text>'
    for row, name in enumerate(ROWS):
        y = TOP + STEP * row + STEP // 2
        mean = task[name]["mean"]
        yield f'<g class="row row-{row}"><text class="name" x="{LEFT - 12}" y="{y + 5}">{escape(name)}</text>'
        yield f'<rect x="{LEFT}" y="{y - 12}" width="{_x(mean) - LEFT:.1f}" height="24" rx="3"/>'
        for value in task[name]["test"]:
            yield f'<circle cx="{_x(value)}" cy="{y}" r="5"/>'
        yield f'<text class="value" x="{_x(max(task[name]["test"])) + 12:.1f}" y="{y + 5}">{100 * mean:.0f} %</text></g>'
    yield "</svg>"


def _x(share: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _alt(told: str, task: dict[str, dict]) -> str:
    runs = len(task[ROWS[0]]["test"])
    return escape(f"Flowers named correctly, mean of {runs} runs: {told}. One dot for each run.")
