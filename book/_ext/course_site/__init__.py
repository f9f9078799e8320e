"""The site's own parts: small Sphinx extensions, one in each module, that need neither torch nor a network."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from course_site import (
    alt_texts,
    cheat_sheet,
    claims,
    clean,
    doctor,
    figures,
    findings,
    formulas,
    front,
    head,
    hints,
    icons,
    images,
    instructors,
    launch,
    mistakes,
    outcome,
    reference,
    results,
    solutions,
    strategies,
    teach,
    terms,
    watching,
)

PARTS = (
    alt_texts,
    cheat_sheet,
    claims,
    clean,
    doctor,
    figures,
    findings,
    formulas,
    front,
    head,
    hints,
    icons,
    images,
    instructors,
    launch,
    mistakes,
    outcome,
    reference,
    results,
    solutions,
    strategies,
    teach,
    terms,
    watching,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx: sets up every part."""
    for part in PARTS:
        part.setup(app)
    app.add_css_file("course.css")
    app.add_js_file("course.js")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
