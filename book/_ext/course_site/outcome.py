"""The front page's image: what pretraining was worth, drawn from the figures of the model card."""

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
LEFT, RIGHT, TOP, STEP, FOOT = 118, 66, 6, 36, 24  # the frame around the scale and the distance of rows, in units
WIDTHS = {"wide": 800, "narrow": 400}
"""A phone gets an image of its own, with words of the same size; the style shows one of the two."""


def setup(app: Sphinx) -> None:
    """Offer the directive `outcome`."""
    app.add_directive("outcome", Outcome)


class Outcome(SphinxDirective):
    """One row for each strategy: a bar up to the mean, a dot for each seed, the mean as a figure."""

    def run(self) -> list[nodes.Node]:
        """Read the card and draw."""
        self.env.note_dependency(str(CARD))
        task = json.loads(CARD.read_text(encoding="utf-8"))["flowers"]
        images = ["\n".join(draw(task, screen)) for screen in WIDTHS]
        return [nodes.raw("", "\n".join(images), format="html")]


def draw(task: dict[str, dict], screen: str) -> Iterator[str]:
    """The image as SVG for one kind of screen; its colors come from the page's style, so it suits light and dark."""
    width = WIDTHS[screen]
    bottom = TOP + STEP * len(ROWS)
    told = "; ".join(f"{name} {100 * task[name]['mean']:.0f} %" for name in ROWS)
    alt = f"Flowers classified correctly, mean of {len(task[ROWS[0]]['test'])} runs: {told}. One dot for each run."
    yield f'<svg class="outcome {screen}" viewBox="0 0 {width} {bottom + FOOT}" role="img" aria-label="{escape(alt)}">'
    for percent in range(0, 101, 25):
        x = _x(percent / 100, width)
        yield f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 18}">{percent} %</text>'
    for row, name in enumerate(ROWS):
        yield from _row(name, task[name], TOP + STEP * row + STEP // 2, width)
    yield "</svg>"


def _row(name: str, outcome: dict, y: int, width: int) -> Iterator[str]:
    mean, values = outcome["mean"], outcome["test"]
    yield f'<g class="{name.replace(" ", "-")}"><text class="name" x="{LEFT - 12}" y="{y + 5}">{escape(name)}</text>'
    yield f'<rect x="{LEFT}" y="{y - 13}" width="{_x(mean, width) - LEFT:.1f}" height="26" rx="3"/>'
    yield from (f'<circle cx="{_x(value, width)}" cy="{y}" r="4.5"/>' for value in values)
    yield f'<text class="value" x="{_x(max(values), width) + 14:.1f}" y="{y + 6}">{100 * mean:.0f} %</text></g>'


def _x(fraction: float, width: int) -> float:
    return round(LEFT + (width - LEFT - RIGHT) * fraction, 1)
