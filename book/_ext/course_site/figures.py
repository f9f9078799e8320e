"""Figures to play with: their frame, and the stored results that a page holds for them as JSON.

What draws them stands in `_static/figures/`, one script for each. Without JavaScript a figure stays hidden; the picture
or the table beside it says the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from course.strategy_table import GRID
from course_site.figure_data import (
    MEASURED,
    MODELS,
    confusion_data,
    images_data,
    models_data,
    probe_data,
    rate_data,
    schedules_data,
    strategies_data,
    timeline_data,
)

FRAME = """<figure class="play" id="play-{name}" data-figure="{name}" hidden>
<figcaption><strong>{title}</strong> {caption}</figcaption>
<div class="play-place"></div>
<script type="application/json">{data}</script>
</figure>"""


@dataclass(frozen=True)
class Figure:
    """A figure to play with.

    Attributes:
        title: what the reader does with it, in a few words.
        caption: what was measured.
        data: makes what the script gets; None where it is not measured yet.
        after: the identifier of the lesson's cell after which it stands; empty where a page asks for it.
        source: the file of results.
    """

    title: str
    caption: str
    data: Callable[[], Any]
    after: str = ""
    source: Path = MEASURED


def setup(app: Sphinx) -> None:
    """Offer the directive `figure-to-play`, and put the lessons' figures after their cells."""
    app.add_directive("figure-to-play", FigureToPlay)
    app.add_transform(InLessons)
    app.connect("html-page-context", add_scripts)
    app.add_css_file("figures/figures.css")


class FigureToPlay(SphinxDirective):
    """One of `FIGURES`; nothing where it is not measured."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write its frame."""
        return frame(self.env, self.arguments[0])


class InLessons(SphinxTransform):
    """Give the code cells of a lesson their identifiers as anchors, and add the figures that belong after them."""

    default_priority = 700

    def apply(self, **kwargs: object) -> None:
        """Go through the page's code cells."""
        notebook = Path(self.env.doc2path(self.env.docname))
        if notebook.suffix != ".ipynb":
            return
        names = [cell["id"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            anchor = names[cell["cell_index"]]
            cell["ids"].append(anchor)
            for name in (name for name, figure in FIGURES.items() if figure.after == anchor):
                cell.parent[cell.parent.index(cell) + 1 : cell.parent.index(cell) + 1] = frame(self.env, name)


def frame(env: Any, name: str) -> list[nodes.Node]:
    """The place where a figure's script builds it, with its data; nothing where it is not measured."""
    figure = FIGURES[name]
    env.note_dependency(str(figure.source))
    data = figure.data()
    if data is None:
        return []
    env.metadata[env.docname].setdefault("figures", []).append(name)
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    parts = {"name": name, "title": escape(figure.title), "caption": escape(figure.caption), "data": text}
    return [nodes.raw("", FRAME.format(**parts), format="html")]


def add_scripts(app: Sphinx, pagename: str, *_: Any) -> None:
    """A page gets the scripts of its own figures, and no others."""
    names = app.env.metadata.get(pagename, {}).get("figures", [])
    for name in dict.fromkeys(["figures", *names] if names else []):
        app.add_js_file(f"figures/{name}.js", loading_method="defer")
    if pagename == "search":
        app.add_js_file("figures/search.js", loading_method="defer")


FIGURES = {
    "probe": Figure(
        "Probe any stage.",
        "A linear probe on ten training images per class; mean of three draws and its 95 % interval. The dots are test "
        "images on the two axes of the features that go best with the classes (partial least squares).",
        probe_data,
        "concept-28",
    ),
    "images": Figure(
        "Add images.",
        "A linear probe on the last stage; mean of three draws of training images and its 95 % interval. Small dots "
        "are single draws.",
        images_data,
        "extract-40",
    ),
    "rate": Figure(
        "Turn the rate.",
        "Five species, ten images each, eight epochs of SGD at a constant rate, three seeds; the embedded backbone. "
        "Where everything is trained, the head learns at 0.01. Thin lines are single runs.",
        rate_data,
        "tune-32",
    ),
    "schedules": Figure(
        "Make a schedule.",
        "The rate of every stage in each of 100 steps, computed as PyTorch computes it.",
        schedules_data,
        "rates-19",
    ),
    "timeline": Figure(
        "Unfreeze, epoch by epoch.",
        "Above, which stages learn and how fast; below, accuracy on new test images and on the old task with the old "
        "head put back. Mean of three seeds and its 95 % interval; 80 training images, rates not tuned.",
        timeline_data,
        "unfreeze-28",
    ),
    "models": Figure(
        "Compare networks.",
        "A linear probe on frozen features of the last stage; mean of five seeds and its 95 % interval. Gray networks "
        "have random weights.",
        models_data,
        "choose-35",
        MODELS,
    ),
    "confusion": Figure(
        "Look at the mistakes.",
        "20 drawn species, ten training images each; a linear head on the frozen embedded backbone at 64 px, 20 test "
        "images of each. Rows are the species, columns what the network says. The percentage is how sure it was.",
        confusion_data,
        "project-35",
    ),
    "strategies": Figure(
        "Choose your place.",
        "Dots are means of five seeds, bars their 95 % intervals. Green is the advice; blue cannot be distinguished "
        "from the best; gray is worse.",
        strategies_data,
        source=GRID,
    ),
}
