"""The pages on which a network runs in the browser: their frame, and the figures of the trained flower classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HOME = Path(__file__).parents[2] / "_static" / "teach"
FLOWERS = HOME / "flowers.safetensors"
NEEDED = tuple(HOME / "made" / name for name in ("networks.json", "ort.wasm.bundle.min.mjs"))

FRAME = """
<link rel="stylesheet" href="../_static/teach/teach.css">
<div class="lab" id="{name}"><p>{waiting}</p></div>
<noscript><p>This part of the page needs JavaScript. The rest can be read without.</p></noscript>
<script>
if (location.protocol === "file:")
    document.getElementById("{name}").firstChild.textContent =
        "A browser runs no network on a page that was opened from a folder. Serve the site and open it again: " +
        "python -m http.server --directory book/_build/html, then http://localhost:8000.";
else {start}
</script>
"""
START = 'import("../_static/teach/{name}.js");'
MISSING = (
    "In this copy of the site the networks and the engine that runs them are missing. With a network connection, "
    "<code>make teach</code> adds them; build the site again after it."
)


def setup(app: Sphinx) -> None:
    """Offer the directives `browser-page` and `flower-figures`."""
    app.add_directive("browser-page", BrowserPage)
    app.add_directive("flower-figures", FlowerFigures)


class BrowserPage(SphinxDirective):
    """The place where `_static/teach/NAME.js` builds its page; it says so where the engine is missing."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the frame."""
        self.env.note_reread()  # whether the engine is there is seen anew in every build
        name, there = self.arguments[0], all(file.is_file() for file in NEEDED)
        start = START.format(name=name) if there else "{}"
        text = FRAME.format(name=name, start=start, waiting="Loading …" if there else MISSING)
        return [nodes.raw("", text, format="html")]


class FlowerFigures(SphinxDirective):
    """What was measured of the stored flower classifier: accuracy, and what it refuses."""

    def run(self) -> list[nodes.Node]:
        """Write a paragraph and a table."""
        self.env.note_dependency(str(FLOWERS))
        return self.parse_text_to_nodes("\n".join(figures(description(FLOWERS))))


def figures(about: dict[str, Any]) -> Iterator[str]:
    """The classifier's figures as Markdown."""
    classes, images = len(about["classes"]), about["images"]
    yield (
        "So the page compares the image's features with the mean features of each species. If even the largest cosine "
        f"similarity is below a threshold, it refuses; {about['kept']:.0%} of the validation flowers are above it. On "
        f"{classes * images['test']:,} test flowers, {about['accuracy']:.1%} of the answers are right, and "
        f"{about['refused']:.1%} of the flowers are refused. The head learned from {images['train']} images of each of "
        f"the {classes} species. No image of the kinds below had a part in choosing the threshold. So many pass as a "
        "flower that it knows:"
    )
    yield from ("", "| images of something else | pass |", "| --- | --- |")
    yield from (f"| {kind} | {passed} of {count} |" for kind, (passed, count) in about["passed"].items())


def description(file: Path) -> dict[str, Any]:
    """What a model file says of itself, in the header of the safetensors format."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return json.loads(json.loads(stream.read(length))["__metadata__"]["description"])
