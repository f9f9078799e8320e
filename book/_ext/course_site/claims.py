"""The page of claims: every sentence that a lesson claimed and checked, read from the lessons' stored outputs.

What was measured is said in words and drawn as an interval; the margin that a claim speaks of is read from its cell.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CLAIMS = "book/claims"
MIME = "application/vnd.helpers.claim+json"
PAIRED = re.compile(
    r"(better|worse|not distinguishable): ([\d.]+) % against ([\d.]+) %, "
    r"([+-][\d.]+) ± ([\d.]+) points, (\d+) paired seeds"
)
ALONE = re.compile(r"([\d.]+) ± ([\d.]+) %, (\d+) seeds")


@dataclass(frozen=True)
class Measured:
    """What a claim rests on, in percent or percentage points.

    Attributes:
        words: in plain language.
        mean: of the difference, or of the one method.
        half: half of its 95 % interval.
        zone: within which the whole interval has to lie, as far as it is known.
        paired: whether it is a difference.
    """

    words: str
    mean: float
    half: float
    zone: tuple[float, float] | None
    paired: bool


@dataclass(frozen=True)
class Claim:
    """A sentence, its evidence as the lesson shows it, and where it stands.

    Attributes:
        sentence: what is claimed.
        evidence: the figures behind it, and what varied.
        lesson: its title.
        cell: the identifier of the cell that checked it.
        heading: above the cell.
        margin: the question that was asked, `("better_by", 0.1)` for instance; None where it is not a plain number.
    """

    sentence: str
    evidence: str
    lesson: str
    cell: str
    heading: str
    margin: tuple[str, float] | None

    @property
    def measured(self) -> tuple[Measured | None, str]:
        """The interval in the evidence, and what the evidence says besides."""
        if found := PAIRED.match(self.evidence):
            ours, theirs, mean, half = map(float, found.groups()[1:5])
            words = f"{ours:g} % against {theirs:g} %: {_points(mean, half)}, from {found[6]} pairs of runs"
            measured = Measured(words, mean, half, _zone(self.margin), paired=True)
        elif found := ALONE.match(self.evidence):
            mean, half = float(found[1]), float(found[2])
            words = f"{mean:g} % (95 % interval {mean - half:.1f} to {mean + half:.1f}), from {found[3]} runs"
            measured = Measured(words, mean, half, _zone(self.margin), paired=False)
        else:
            return None, self.evidence
        return measured, self.evidence.replace(found[0], "", 1).strip("; ")


def _points(mean: float, half: float) -> str:
    more = "more" if mean > 0 else "less"
    if abs(mean) > half:
        near, far = sorted((abs(mean) - half, abs(mean) + half))
        return f"{abs(mean):g} points {more} (95 % interval {near:.1f} to {far:.1f})"
    return f"anything from {half - mean:.1f} points less to {half + mean:.1f} more is possible"


def _zone(margin: tuple[str, float] | None) -> tuple[float, float] | None:
    if margin is None:
        return None
    bound, far = 100 * margin[1], float("inf")
    zones = {"better_by": (bound, far), "worse_by": (-far, -bound), "within": (-bound, bound)}
    return (zones | {"above": (bound, far), "below": (-far, bound)})[margin[0]]


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
        found = [each["data"][MIME] for each in cell.get("outputs", ()) if MIME in each.get("data", {})]
        margins = read_margins(source) if found else {}
        for claim in found:
            sentence = claim["sentence"]
            yield Claim(sentence, claim["evidence"], lesson, cell["id"], heading, margins.get(sentence))


def read_margins(source: str) -> dict[str, tuple[str, float]]:
    """By the sentence of each `claim(...)` in a cell, the question and its margin where both are written out."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "claim" and len(node.args) > 1):
            continue
        sentence, verdict = node.args[:2]
        if isinstance(sentence, ast.Constant) and isinstance(verdict, ast.Call):
            question, margin = _question(verdict)
            if margin is not None:
                found[sentence.value] = (question, margin)
    return found


def _question(call: ast.Call) -> tuple[str, float | None]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name not in ("better_by", "worse_by", "within", "above", "below"):
        return name, None
    if not call.args:
        return name, 0.0
    try:
        return name, float(ast.literal_eval(call.args[0]))
    except ValueError:
        return name, None


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
    """A heading that links to the lesson, and its claims with their intervals."""
    title = nodes.title("", "", _link(docname, claims[0].lesson))
    section = nodes.section("", title, ids=[nodes.make_id(f"claims-{docname}")])
    for claim in claims:
        measured, besides = claim.measured
        box = nodes.container(classes=["claim"])
        box += nodes.paragraph("", "", nodes.strong("", claim.sentence))
        if measured:
            box += nodes.raw("", "\n".join(draw(measured, screen) for screen in WIDTHS), format="html")
        words = [each for each in (measured and measured.words, besides) if each]
        where = nodes.reference("", f"under {claim.heading}", refuri=f"../{docname}.html#{claim.cell}", internal=True)
        box += nodes.paragraph("", "; ".join(words) + " \u2014 ", where, classes=["evidence"])
        section += box
    return section


def _link(docname: str, shown: str) -> addnodes.pending_xref:
    """A link to a lesson."""
    link = addnodes.pending_xref("", reftype="myst", refdomain="doc", reftarget=docname, refdoc=CLAIMS)
    link["reftargetid"], link["refexplicit"] = None, True
    link += nodes.inline("", shown)
    return link


WIDTHS = {"wide": 540, "narrow": 300}
SIDE = 24


def draw(measured: Measured, screen: str) -> str:
    """An interval as SVG: the zone in which the claim holds, zero, the whisker, the mean."""
    low, high = (-100.0, 100.0) if measured.paired else (0.0, 100.0)
    if measured.paired:
        edges = [measured.mean - measured.half, measured.mean + measured.half, 0.0]
        edges += [bound for bound in measured.zone or () if abs(bound) <= 100]
        reach = min(100.0, 10.0 * math.ceil(0.11 * max(map(abs, edges))))
        low, high = -reach, reach
    width = WIDTHS[screen]

    def x(value: float) -> float:
        return round(SIDE + (width - 2 * SIDE) * (min(max(value, low), high) - low) / (high - low), 1)

    parts = []
    if measured.zone:
        start, end = map(x, measured.zone)
        parts.append(f'<rect class="zone" x="{start}" width="{round(end - start, 1)}" y="22" height="22" rx="3"/>')
    parts.append(f'<line class="axis" x1="{x(low)}" x2="{x(high)}" y1="33" y2="33"/>')
    if measured.paired:
        parts.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="18" y2="48"/>')
        ends = f"\u2212{reach:.0f}", "no difference", f"+{reach:.0f} points"
        value = f"{measured.mean:+.1f}".replace("-", "\u2212")
    else:
        ends, value = ("0 %", "", "100 %"), f"{measured.mean:.1f} %"
    anchors = ((SIDE, "start", ends[0]), (width / 2, "middle", ends[1]), (width - SIDE, "end", ends[2]))
    parts += [f'<text x="{at}" y="62" style="text-anchor: {anchor}">{words}</text>' for at, anchor, words in anchors]
    from_, to = x(measured.mean - measured.half), x(measured.mean + measured.half)
    parts.append(f'<line class="whisker" x1="{from_}" x2="{to}" y1="33" y2="33"/>')
    parts.append(f'<circle cx="{x(measured.mean)}" cy="33" r="6"/>')
    parts.append(f'<text class="value" x="{min(max(x(measured.mean), 40), width - 40)}" y="15">{value}</text>')
    alt = escape(f"{measured.words}{_told(measured.zone)}.")
    head = f'<svg class="interval {screen}" viewBox="0 0 {width} 68" role="img" aria-label="{alt}">'
    return f"{head}{''.join(parts)}</svg>"


def _told(zone: tuple[float, float] | None) -> str:
    if zone is None:
        return ""
    low, high = zone
    inner = (
        f"above {low:g}"
        if high == float("inf")
        else f"below {high:g}"
        if low == -float("inf")
        else f"between {low:g} and {high:g}"
    )
    return f"; the claim holds where the whole interval lies {inner}"
