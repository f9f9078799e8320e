"""The doctor's chapter: what the register of checks and the mistakes say about each finding.

The checks are functions under `@check(severity, needs=..., unless=...)` in `transfer_doctor/`: their docstrings tell
symptom, test by hand and repair. Their source is read, not imported, so that the site is built without PyTorch.
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
RATES = ROOT / "data" / "rates.json"
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """What the register knows of a check."""

    code: str
    title: str
    severity: str
    needs: tuple[str, ...]
    details: tuple[str, ...]


def setup(app: Sphinx) -> None:
    """Offer the directives `finding`, `symptoms` and `rates`, and demand that the chapter explains every finding."""
    app.add_directive("finding", Finding)
    app.add_directive("symptoms", Symptoms)
    app.add_directive("rates", Rates)
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
                title, *details = (ast.get_docstring(function) or "").splitlines()
                code, needed = function.name.replace("_", "-"), tuple(ast.literal_eval(needs))
                yield Check(code, title, ast.literal_eval(mark.args[0]), needed, tuple(details))


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
        details = ["", *map(emphasized, check.details), ""]
        lines = [head, "", *self.content, *details, *(_cost(row) for row in read_costs().get(code, ()))]
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, box)
        return [box]


class Symptoms(SphinxDirective):
    """The index by symptom: what is seen, and links to the findings that explain it."""

    def run(self) -> list[nodes.Node]:
        """Write one paragraph for each symptom."""
        self.env.note_dependency(str(DOCTOR / "symptoms.py"))
        own = read_checks()
        index = nodes.definition_list()
        for symptom, codes in read_symptoms().items():
            links = nodes.paragraph()
            for code in codes:
                page = "doctor" if code in own else "watching"
                links += [nodes.Text(", ")] if len(links) else []
                links += nodes.reference("", "", nodes.literal(text=code), refuri=f"{page}.html#{code}")
            index += nodes.definition_list_item("", nodes.term(text=symptom), nodes.definition("", links))
        return [index]


def read_symptoms() -> dict[str, tuple[str, ...]]:
    """The table of symptoms: what is seen -> codes of findings."""
    tree = ast.parse((DOCTOR / "symptoms.py").read_text(encoding="utf-8"))
    return next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.AnnAssign))


class Rates(SphinxDirective):
    """What the check of the learning rate says on photos, beside the accuracy after training."""

    def run(self) -> list[nodes.Node]:
        """Write the table; nothing where nothing has been measured."""
        self.env.note_dependency(str(RATES))
        if not RATES.exists():
            return []
        table = nodes.container()
        lines = _rates(json.loads(RATES.read_text(encoding="utf-8")))
        self.state.nested_parse(StringList(lines, self.env.docname), self.content_offset, table)
        return [table]


def _rates(measured: dict[str, Any]) -> list[str]:
    lines = ["| network | optimizer | rate | accuracy | the doctor says |", "| --- | --- | ---: | ---: | --- |"]
    for row in measured["rates"]:
        accuracy = sum(row["accuracies"]) / len(row["accuracies"])
        rate, says = (f"{row['rate']:g}", row["severity"] or "fine") if row["rate"] else ("head alone", "")
        optimizer = {"sgd": "SGD, momentum 0.9", "adam": "Adam"}[row["optimizer"]]
        lines.append(f"| {row['network']} | {optimizer} | {rate} | {accuracy:.0%} | {says} |")
    return lines


def emphasized(line: str) -> str:
    """A line of a docstring, with its first word in italics where it is one of the three headings."""
    word, colon, rest = line.partition(":")
    return f"*{word}*:{rest}" if colon and word in ("Symptom", "By hand", "Repair") else line


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
