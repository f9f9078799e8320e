"""The front page: its headline number, how to get the course, and who made it; read from results and CITATION.cff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_site.outcome import CARD

CITATION = Path(__file__).parents[3] / "CITATION.cff"


def setup(app: Sphinx) -> None:
    """Offer the directives `headline`, `get-the-course` and `colophon`."""
    app.add_directive("headline", Headline)
    app.add_directive("get-the-course", GetTheCourse)
    app.add_directive("colophon", Colophon)


class Headline(SphinxDirective):
    """What pretraining was worth, as one large number and a line."""

    def run(self) -> list[nodes.Node]:
        """Read the card."""
        self.env.note_dependency(str(CARD))
        task = json.loads(CARD.read_text(encoding="utf-8"))["flowers"]
        scratch, tuned = (round(100 * task[name]["mean"]) for name in ("from scratch", "fine-tuned"))
        arrow = '<span aria-hidden="true">→</span><span class="visually-hidden"> to</span>'
        html = (
            f'<p class="headline"><strong>{scratch} % {arrow} {tuned} %</strong> of new flowers recognized, from ten '
            "images of each of twenty species: the same network from random weights, and pretrained.</p>"
        )
        return [nodes.raw("", html, format="html")]


class GetTheCourse(SphinxDirective):
    """The commands that fetch and open the course; the address is that of `_config.yml`."""

    def run(self) -> list[nodes.Node]:
        """Write them."""
        return self.parse_text_to_nodes("\n".join(commands(self.config.html_theme_options.get("repository_url"))))


def commands(address: str | None) -> Iterator[str]:
    """Markdown: fetch, open; without an address the reader has the folder already."""
    yield from ("```sh", *([f"git clone {address}"] if address else []))
    yield f"cd {address.rstrip('/').rsplit('/', 1)[-1].removesuffix('.git') if address else 'the-folder-of-the-course'}"
    yield from ("make lab      # installs what is needed into .venv, then opens JupyterLab on the lessons", "```", "")
    if address:
        yield f"Without git, [download the folder]({address.removesuffix('.git')}/archive/refs/heads/main.zip). "
    yield "The README says how to do it without make, on Windows for instance."


class Colophon(SphinxDirective):
    """Authors, version, date and license, as in CITATION.cff."""

    def run(self) -> list[nodes.Node]:
        """Read the file."""
        self.env.note_dependency(str(CITATION))
        cited = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
        return self.parse_text_to_nodes(sentence(cited))


def sentence(cited: dict[str, Any]) -> str:
    """The colophon as Markdown."""
    names = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in cited["authors"]]
    return (
        f"{' and '.join([', '.join(names[:-1])] * (len(names) > 1) + names[-1:])}. Version {cited['version']}, "
        f"{cited['date-released']}. Code, lessons, drawn images and the embedded backbone are under the "
        f"{cited['license']} license; `CITATION.cff` in the folder of the course says how to cite it."
    )
