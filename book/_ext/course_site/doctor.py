"""The doctor's chapter: what the register of checks and the mistakes say about each finding.

The checks are functions under `@check(severity, needs=..., unless=...)` in `transfer_doctor/`. Their source is read,
not imported, so that the site is built without PyTorch.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[3]
DOCTOR = ROOT / "transfer_doctor"
COSTS = ROOT / "data" / "mistakes.json"
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """What the register knows of a check."""

    code: str
    title: str
    severity: str
    needs: tuple[str, ...]


def setup(app: Sphinx) -> None:
    """Offer the directive `finding`, and demand that the chapter explains every finding."""
    app.add_directive("finding", Finding)
    app.connect("env-check-consistency", _every_check_is_explained)


def read_checks() -> dict[str, Check]:
    """All checks, in the order of the catalogue."""
    catalogue = ast.parse((DOCTOR / "catalogue.py").read_text(encoding="utf-8"))
    modules = [alias.name for node in catalogue.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    files = [DOCTOR / f"{name}.py" for name in modules]
    return {check.code: check for file in files if file.exists() for check in _checks_in(file)}


def _checks_in(file: Path) -> Iterator[Check]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "check":
                needs = next(keyword.value for keyword in mark.keywords if keyword.arg == "needs")
                needs = constants[needs.id] if isinstance(needs, ast.Name) else needs
                title = (ast.get_docstring(function) or "").splitlines()[0]
                code = function.name.replace("_", "-")
                yield Check(code, title, ast.literal_eval(mark.args[0]), tuple(ast.literal_eval(needs)))


def read_costs() -> dict[str, list[dict[str, Any]]]:
    """What the mistakes measured, by finding; nothing where it has not been measured."""
    costs: dict[str, list[dict[str, Any]]] = {}
    if COSTS.exists():
        for row in json.loads(COSTS.read_text(encoding="utf-8"))["mistakes"]:
            costs.setdefault(row["code"], []).append(row)
    return costs


class Finding(SphinxDirective):
    """What the register says about one finding, then the chapter's own words about it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write severity, title, what has to be shown, and the measured cost, above the content."""
        code = self.arguments[0]
        check = read_checks().get(code)
        if check is None:
            LOGGER.warning("the doctor has no check %r", code, location=self.get_location())
            return []
        for file in (*DOCTOR.glob("*.py"), COSTS):
            self.env.note_dependency(str(file))
        explained = self.env.metadata[self.env.docname].setdefault("findings", [])
        explained.append(code)
        box = nodes.container(classes=["finding", f"finding-{check.severity}"])
        needs = ", ".join(f"`{name}`" for name in check.needs)
        head = f"{{bdg-{_badge(check.severity)}}}`{check.severity}` **{check.title}** [needs {needs}]{{.needs}}"
        lines = [head, "", *self.content, "", *(_cost(row) for row in read_costs().get(code, ()))]
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]


def _badge(severity: str) -> str:
    return {"error": "danger", "warning": "warning", "note": "info"}[severity]


def _cost(row: dict[str, Any]) -> str:
    measured, lost = f"- Measured, {row['mistake'].replace('_', ' ')}:", 100 * row["lost"]
    low, high = (100 * end for end in row["interval"])
    if not row["distinguishable"]:
        return f"{measured} no loss that can be told from chance ({low:+.1f} to {high:+.1f} points).\n"
    low, high = sorted((abs(low), abs(high)))
    change = "fell" if lost > 0 else "rose"
    return f"{measured} accuracy {change} by {abs(lost):.1f} points (95 % interval {low:.1f} to {high:.1f}).\n"


def _every_check_is_explained(app: Sphinx, env: Any) -> None:
    explained = env.metadata.get("book/doctor", {}).get("findings", [])
    for code in read_checks().keys() - set(explained):
        LOGGER.warning("book/doctor.md does not explain the finding %r", code)
