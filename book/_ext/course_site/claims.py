"""The page of claims: every sentence that a lesson claimed and checked, read from the lessons' stored outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CLAIMS = "book/claims"
MIME = "application/vnd.helpers.claim+json"


@dataclass(frozen=True)
class Claim:
    """A sentence, the evidence it was shown with, and the lesson and heading under which it stands."""

    sentence: str
    evidence: str
    lesson: str
    heading: str


def setup(app: Sphinx) -> None:
    """Offer the directive `claims`."""
    app.add_directive("claims", Claims)


def read_claims(notebook: Path) -> Iterator[Claim]:
    """The claims among a lesson's stored outputs, in order."""
    lesson = heading = ""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            titles = [line.lstrip("# ") for line in source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
            lesson = lesson or heading
        for output in cell.get("outputs", ()):
            found = output.get("data", {}).get(MIME)
            if found:
                yield Claim(found["sentence"], found["evidence"], lesson, heading)


class Claims(SphinxDirective):
    """All claims of the lessons in the table of contents, lesson by lesson."""

    def run(self) -> list[nodes.Node]:
        """One section for each lesson; a lesson without claims has none."""
        sections = []
        for docname in sorted(name for name in self.env.found_docs if name.startswith("notebooks/")):
            notebook = Path(self.env.doc2path(docname))
            self.env.note_dependency(str(notebook))
            claims = list(read_claims(notebook)) if notebook.suffix == ".ipynb" else []
            if claims:
                sections.append(_section(docname, claims))
        return sections or [nodes.paragraph("", "No lesson has claimed anything yet.")]


def _section(docname: str, claims: list[Claim]) -> nodes.section:
    """A heading that links to the lesson, and its claims as the lesson shows them."""
    section = nodes.section(
        "", nodes.title("", "", _link(docname, "", claims[0].lesson)), ids=[nodes.make_id(f"claims-{docname}")]
    )
    for claim in claims:
        box = nodes.container(classes=["claim"])
        box += nodes.paragraph("", "", nodes.strong("", claim.sentence))
        where = _link(docname, default_slugify(claim.heading), claim.heading)
        box += nodes.paragraph("", f"{claim.evidence} \u2014 under ", where, classes=["evidence"])
        section += box
    return section


def _link(docname: str, anchor: str, shown: str) -> addnodes.pending_xref:
    """A link to a lesson, or to a heading in it."""
    link = addnodes.pending_xref("", reftype="myst", refdomain="doc", reftarget=docname, refdoc=CLAIMS)
    link["reftargetid"], link["refexplicit"] = anchor or None, True
    link += nodes.inline("", shown)
    return link
