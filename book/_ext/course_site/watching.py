"""The chapter on watching a loop: each finding's section is written from the docstring of its check.

The checks are functions under `@check(severity)` in `transfer_doctor/watching/`. Their source is read, not imported.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_site.doctor import DOCTOR, _badge, emphasized

WATCHING = DOCTOR / "watching"


def setup(app: Sphinx) -> None:
    """Offer the directive `loop-findings`."""
    app.add_directive("loop-findings", LoopFindings)


def loop_checks() -> Iterator[tuple[str, str, list[str]]]:
    """Code, severity and the docstring's lines of every check, in the order of the catalogue."""
    catalogue = ast.parse((WATCHING / "catalogue.py").read_text(encoding="utf-8"))
    modules = [alias.name for node in catalogue.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    for file in (WATCHING / f"{name}.py" for name in modules if name != "CHECKS"):
        for function in ast.parse(file.read_text(encoding="utf-8")).body:
            for mark in getattr(function, "decorator_list", ()):
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "check":
                    lines = inspect.cleandoc(ast.get_docstring(function)).splitlines()
                    yield function.name.replace("_", "-"), ast.literal_eval(mark.args[0]), lines


class LoopFindings(SphinxDirective):
    """One section for each finding: what it is, how it looks from outside, how to see it by hand, its repair."""

    def run(self) -> list[nodes.Node]:
        """Write the sections."""
        for file in WATCHING.glob("*.py"):
            self.env.note_dependency(str(file))
        return [self._section(*each) for each in loop_checks()]

    def _section(self, code: str, severity: str, docstring: list[str]) -> nodes.section:
        section = nodes.section(ids=[code], names=[code])
        section += nodes.title(text=code)
        head = f"{{bdg-{_badge(severity)}}}`{severity}` **{docstring[0]}**"
        lines = [head, *(emphasized(line) for line in docstring[1:])]
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, section)
        return section
