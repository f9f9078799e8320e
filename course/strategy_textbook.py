"""The textbook's table of strategies, put to the test line by line against what `data/grid.json` measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course.strategy_table import EQUAL, Cell, Grid, Table, advise
from helpers.measure import compare

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be said"


@dataclass(frozen=True)
class TextbookRule:
    """A line of the textbook: where it applies, what it recommends, and what it advises against.

    Attributes:
        sentence: as textbooks have it.
        images: from so many training images in all to below so many.
        domain: of the targets it speaks of, or None for all.
        for_: strategies it recommends; against all others if `against` is empty.
        against: strategies it speaks against.
    """

    sentence: str
    for_: tuple[str, ...]
    against: tuple[str, ...] = ()
    images: tuple[float, float] = (0, float("inf"))
    domain: str | None = None


DOMAINS = {"flowers": "near", "slides": "far", "ants-bees": "near", "flowers102": "near"}
"""How far each target is from what its backbone learned from."""

_EVERYTHING = ("fine-tuning", "LP-FT", "discriminative", "gradual unfreezing")
_SHALLOW_KEPT = ("feature extraction", "discriminative", "gradual unfreezing")
_SHALLOW_TRAINED = ("fine-tuning", "LP-FT", "surgical")

TEXTBOOK = (
    TextbookRule("Under 1,000 images: train only the last layer.", ("feature extraction",), images=(0, 1000)),
    TextbookRule("1,000 to 10,000 images: unfreeze gradually.", ("gradual unfreezing",), images=(1000, 10_000)),
    TextbookRule("More than 10,000 images: train everything.", _EVERYTHING, images=(10_000, float("inf"))),
    TextbookRule("Similar domain: keep the shallow layers.", _SHALLOW_KEPT, _SHALLOW_TRAINED, domain="near"),
    TextbookRule("Different domain: train the shallow layers too.", _SHALLOW_TRAINED, _SHALLOW_KEPT, domain="far"),
)


@dataclass(frozen=True)
class Line:
    """A line of the textbook and what became of it.

    Attributes:
        sentence: the line.
        verdict: `"holds"` (better somewhere, worse nowhere), `"does not hold"` (worse somewhere), `"not
            distinguishable"` (neither anywhere) or `"cannot be said"` (not measured).
        evidence: at how many places it is how.
        places: (target, images per class) -> the verdict there.
    """

    sentence: str
    verdict: str
    evidence: str
    places: Mapping[tuple[str, int], str]


def textbook(grid: Grid, rules: Sequence[TextbookRule] = TEXTBOOK) -> list[Line]:
    """Test the lines of the textbook's table against a grid, at every place where all strategies are measured.

    At each place the best of the strategies that a line recommends is compared with the best of those that it advises
    against, by paired seeds.
    """
    return [_line(grid, rule) for rule in rules]


def _line(grid: Grid, rule: TextbookRule) -> Line:
    least, most = rule.images
    places = {
        (target, size): _verdict(grid.of(target, size), rule)
        for target, size in grid.places()
        if least <= grid.images(target, size) < most and rule.domain in (None, DOMAINS.get(target))
    }
    counts = Counter(places.values())
    verdict = next((each for each in (FAILS, HOLDS, EQUAL) if counts[each]), UNKNOWN)
    if not places:
        return Line(rule.sentence, verdict, "no place of the grid to which it applies is measured", places)
    better, worse, equal = counts[HOLDS], counts[FAILS], counts[EQUAL]
    evidence = f"better at {better}, worse at {worse}, not distinguishable at {equal} of {len(places)} places"
    return Line(rule.sentence, verdict, evidence, places)


def _verdict(measured: Mapping[str, Cell], rule: TextbookRule) -> str:
    ours = {name: cell for name, cell in measured.items() if name in rule.for_}
    against = rule.against or tuple(name for name in measured if name not in rule.for_)
    theirs = {name: cell for name, cell in measured.items() if name in against}
    found = compare(advise(ours).best.test, advise(theirs).best.test).verdict
    return {"better": HOLDS, "worse": FAILS}.get(found, EQUAL)


def textbook_table(grid: Grid) -> Table:
    """Each line of the textbook with its verdict."""
    rows = [(f"“{line.sentence}”", line.verdict, line.evidence) for line in textbook(grid)]
    return Table(("the textbook says", "measured", "at"), tuple(rows))
