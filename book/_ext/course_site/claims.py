"""The page of claims: every sentence that a lesson claimed and checked, read from the lessons' stored outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

MIME = "application/vnd.helpers.claim+json"


@dataclass(frozen=True)
class Claim:
    """A sentence, the evidence it was shown with, and the heading under which it stands."""

    sentence: str
    evidence: str
    heading: str


def setup(app: Sphinx) -> None:
    """Offer the directive `claims`."""
    app.add_directive("claims", Claims)


def read_claims(notebook: Path) -> Iterator[Claim]:
    """The claims among a lesson's stored outputs, in order."""
    heading = ""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            titles = [line.lstrip("# ") for line in source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
        for output in cell.get("outputs", ()):
            found = output.get("data", {}).get(MIME)
            if found:
                yield Claim(found["sentence"], found["evidence"], heading)


class Claims(SphinxDirective):
    """All claims of the lessons in the table of contents, lesson by lesson."""

    def run(self) -> list[nodes.Node]:
        """Write one section for each lesson; a lesson without claims has none."""
        lines = []
        for docname in sorted(name for name in self.env.found_docs if name.startswith("notebooks/")):
            notebook = Path(self.env.doc2path(docname))
            self.env.note_dependency(str(notebook))
            claims = list(read_claims(notebook)) if notebook.suffix == ".ipynb" else []
            if claims:
                lines += ["", f"## {{doc}}`/{docname}`", "", *self.table(docname, claims), ""]
        if not lines:
            lines = ["No lesson has claimed anything yet."]
        return self.parse("\n".join(lines))

    def table(self, docname: str, claims: list[Claim]) -> Iterator[str]:
        """One row for each claim: the sentence, its evidence, and where it was shown."""
        yield ":::{list-table}\n:header-rows: 1\n:widths: 50 35 15\n:class: claims\n"
        yield "* - Claim\n  - Evidence\n  - Shown under"
        for claim in claims:
            anchor = nodes.make_id(claim.heading)
            path = self.env.doc2path(docname, base=False)
            yield f"* - {claim.sentence}\n  - {claim.evidence}\n  - [{claim.heading}](/{path}#{anchor})"
        yield ":::"

    def parse(self, text: str) -> list[nodes.Node]:
        """Read MyST text as part of this page."""
        home = nodes.Element()
        self.state.nested_parse(
            StringList(text.splitlines(), self.env.docname), self.content_offset, home, match_titles=True
        )
        return home.children
