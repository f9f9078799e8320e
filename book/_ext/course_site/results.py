"""Results on photos: what was measured here and what the tests demand, beside published figures, drawn and listed.

Ours are read from `data/card.json`, `data/grid.json` and the tests; what others published stands in the page itself.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course.strategy_table import GRID, advise, load_grid

ROOT = Path(__file__).parents[3]
CARD, TESTS = ROOT / "data" / "card.json", ROOT / "tests" / "test_cli.py"
NETWORKS = {
    "efficientnet_lite0": "EfficientNet-Lite0",
    "mobilenet_v2": "MobileNetV2",
    "squeezenet1_1": "SqueezeNet 1.1",
    "embedded": "embedded backbone",
}
CARD_ROWS = {
    "random probe": "linear probe, random weights",
    "from scratch": "from scratch",
    "head only": "feature extraction",
    "fine-tuned": "fine-tuning",
}
LEFT, RIGHT, TOP, STEP, FOOT = 14, 60, 8, 46, 26


@dataclass(frozen=True)
class Result:
    """A line of the table.

    Attributes:
        what: the method and the network.
        value: accuracy in percent.
        half: half of its 95 % interval over seeds, None where there is none.
        shown: as the table has it.
        how: under what conditions, and where it was measured.
        who: `ours`, `tested` (a lower bound that a test demands) or `published`.
    """

    what: str
    value: float
    half: float | None
    shown: str
    how: str
    who: str


def setup(app: Sphinx) -> None:
    """Offer the directive `photo-results`."""
    app.add_directive("photo-results", PhotoResults)


class PhotoResults(SphinxDirective):
    """A set's results as a picture and as a table; each line of the content is a published one.

    A line has four parts between bars: what, its accuracy in percent, who published it, and what differs.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the files of results and draw."""
        for file in (CARD, GRID, TESTS):
            self.env.note_dependency(str(file))
        name = self.arguments[0]
        results = sorted(
            [*of_card(name), *of_tests(name), *of_grid(name), *self._published()], key=lambda row: row.value
        )
        picture = nodes.raw("", "\n".join(draw(results, chance(name), screen) for screen in WIDTHS), format="html")
        lines = ["| what | test accuracy in % | how it was measured |", "| --- | ---: | --- |"]
        lines += [f"| {row.what} | {row.shown} | {row.how} |" for row in reversed(results)]
        return [picture, *self.parse_text_to_nodes("\n".join(lines))]

    def _published(self) -> Iterator[Result]:
        for line in filter(None, map(str.strip, self.content)):
            what, value, who, differs = (part.strip() for part in line.split("|"))
            yield Result(what, float(value), None, value, f"published by {who}; {differs}", "published")


def chance(name: str) -> float:
    """Of a set, in percent."""
    return {"ants-bees": 50.0, "flowers102": 100 / 102}[name]


def of_card(name: str) -> Iterator[Result]:
    """What the model card measured with the embedded backbone."""
    card = json.loads(CARD.read_text(encoding="utf-8"))[name]
    for key, words in CARD_ROWS.items():
        row, what = card[key], f"{words}, embedded backbone"
        mean, half = 100 * row["mean"], 100 * row["half_width"]
        shown = f"{mean:.1f} ± {half:.1f}" if half else f"{mean:.1f}"
        how = f"64 px, {len(row['test'])} seeds; [model card](/data/MODEL_CARD.md)"
        yield Result(what, mean, half or None, shown, how, "ours")


def of_tests(name: str) -> Iterator[Result]:
    """What the tests demand whenever they run beside the photos: lower bounds, read from the tests' own tables."""
    tables = _parameters(TESTS)
    if name == "ants-bees":
        for backbone, _, least in tables["test_real_ants_and_bees"]:
            yield _bound(f"feature extraction, {NETWORKS[backbone]}", least, "224 px; `transfer fit`")
    else:
        for strategy, least in tables["test_real_flowers"]:
            words = "feature extraction" if strategy == "feature-extraction" else strategy
            how = "64 px enlarged to 128, official splits; `transfer fit`"
            yield _bound(f"{words}, {NETWORKS['efficientnet_lite0']}", least, how)


def _bound(what: str, least: float, how: str) -> Result:
    return Result(what, 100 * least, None, f"at least {100 * least:g}", f"{how}; a test fails below it", "tested")


def _parameters(file: Path) -> dict[str, Any]:
    """By the name of each test the values that it is run with."""
    found = {}
    for function in ast.parse(file.read_text(encoding="utf-8")).body:
        for mark in getattr(function, "decorator_list", ()):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize":
                try:
                    found[function.name] = ast.literal_eval(mark.args[1])
                except ValueError:
                    continue
    return found


def of_grid(name: str) -> Iterator[Result]:
    """The advice and the best strategy of the largest number of images that the grid has measured whole."""
    grid = load_grid()
    places = grid.places(name)
    if not places:
        return
    target, size = max(places, key=lambda place: place[1])
    found = advise(grid.of(target, size))
    for cell in {found.best.strategy: found.best, found.cheapest.strategy: found.cheapest}.values():
        mean, half = 100 * cell.accuracy.mean, 100 * cell.accuracy.half_width
        about = grid.targets[name]
        how = f"{about['image_size']} px, {about['classes']} classes, {size} images of each; [grid](strategies.md)"
        what = f"{cell.strategy}, {NETWORKS[about['backbone']]}"
        yield Result(what, mean, half, f"{mean:.1f} ± {half:.1f}", how, "ours")


WIDTHS = {"wide": 720, "narrow": 340}
KINDS = {"ours": "measured here", "tested": "at least, held by a test", "published": "published"}


def draw(results: list[Result], by_chance: float, screen: str) -> str:
    """One line for each result, the best on top: its name, its place on the scale, its interval."""
    width, bottom = WIDTHS[screen], TOP + STEP * len(results)

    def x(value: float) -> float:
        return round(LEFT + (width - LEFT - RIGHT) * value / 100, 1)

    parts = []
    for percent in range(0, 101, 25):
        parts.append(f'<line class="grid" x1="{x(percent)}" x2="{x(percent)}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x(percent)}" y="{bottom + 17}">{percent} %</text>')
    parts.append(f'<line class="chance" x1="{x(by_chance)}" x2="{x(by_chance)}" y1="{TOP}" y2="{bottom}"/>')
    for i, row in enumerate(reversed(results)):
        y = TOP + STEP * i + 34
        parts.append(f'<g class="{row.who}"><text class="who" x="{LEFT}" y="{y - 15}">{escape(row.what)}</text>')
        half, at = row.half or 0, x(row.value)
        parts.append(f'<line class="track" x1="{x(0)}" x2="{at}" y1="{y}" y2="{y}"/>')
        if half:
            low, high = x(row.value - half), x(row.value + half)
            parts.append(f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
        tested = row.who == "tested"
        parts.append(f'<path d="M{at} {y - 7}l9 7 -9 7z"/>' if tested else f'<circle cx="{at}" cy="{y}" r="6"/>')
        shown = f"{chr(0x2265)} {row.value:.1f}" if tested else f"{row.value:.1f}"
        parts.append(f'<text class="value" x="{x(row.value + half) + 13}" y="{y + 5}">{shown}</text></g>')
    told = escape("; ".join(f"{row.what}: {row.shown} %, {KINDS[row.who]}" for row in reversed(results)))
    head = f'<svg class="photo-results {screen}" viewBox="0 0 {width} {bottom + FOOT}" role="img" aria-label="{told}">'
    return f"{head}{''.join(parts)}</svg>"
