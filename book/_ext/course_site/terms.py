"""The first time that a page uses a term of the glossary, the term is a link to it that shows what it means."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "book/glossary"
MARKS = re.compile(r"[`*]([^`*]+)[`*]")
SILENT = (nodes.reference, nodes.title, nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.caption)
SILENT += (addnodes.pending_xref, nodes.rubric, nodes.term, addnodes.desc_signature, nodes.Admonition)


def setup(app: Sphinx) -> None:
    """Add the transforms, and the script that shows a definition on hover and focus."""
    app.add_transform(FirstTerms)
    app.add_post_transform(Definitions)
    app.add_js_file("figures/terms.js", loading_method="defer")


def read_terms(glossary: Path) -> dict[str, str]:
    """The terms that the glossary explains, and what it says: the indented lines after the term."""
    lines = glossary.read_text(encoding="utf-8").split("```{glossary}\n")[1].split("\n```")[0].splitlines()
    terms: dict[str, str] = {}
    for line in filter(None, lines):
        if line[0].isspace():
            term, words = next(reversed(terms)), MARKS.sub(r"\1", line.strip())
            terms[term] = f"{terms[term]} {words}".strip()
        else:
            terms[line] = ""
    return terms


class FirstTerms(SphinxTransform):
    """Turn the first use of each term, outside of headings, links and code, into a link."""

    default_priority = 600

    def apply(self, **kwargs: object) -> None:
        """Look for the longest terms first, so that `linear probe` is not taken for `probe`."""
        docname = self.env.docname
        if docname == GLOSSARY or docname.startswith("book/reference"):
            return
        source = Path(self.env.doc2path(GLOSSARY))
        self.env.note_dependency(str(source))
        for term in sorted(read_terms(source), key=len, reverse=True):
            self.link(term)

    def link(self, term: str) -> None:
        """Link the first use of one term; an inflected form counts as a use where only an ending was added."""
        pattern = re.compile(rf"\b{re.escape(term)}(?:s|es)?\b", re.IGNORECASE)
        for text in self.document.findall(nodes.Text):
            parent = text.parent
            if not isinstance(parent, nodes.paragraph | nodes.emphasis) or _is_silent(text):
                continue
            found = pattern.search(text)
            if found:
                parts = [nodes.Text(text[: found.start()]), _reference(term, found[0]), nodes.Text(text[found.end() :])]
                parent.replace(text, [part for part in parts if part.astext()])
                return


def _is_silent(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, SILENT):
            return True
    return False


def _reference(term: str, shown: str) -> addnodes.pending_xref:
    link = addnodes.pending_xref("", refdomain="std", reftype="term", reftarget=term, refexplicit=True, refwarn=True)
    link += nodes.inline(shown, shown, classes=["xref", "std", "std-term"], term=term)
    return link


class Definitions(SphinxPostTransform):
    """Give each link to a term its definition as a title, which browsers show by themselves."""

    default_priority = 20  # after the links have found where they lead

    def run(self, **kwargs: object) -> None:
        """Go through the page's links."""
        terms = read_terms(Path(self.env.doc2path(GLOSSARY)))
        for link in self.document.findall(nodes.reference):
            term = (
                link.children[0].get("term") if link.children and isinstance(link.children[0], nodes.Element) else None
            )
            if term:
                link["reftitle"] = terms[term]
