"""`claim`: a sentence of a lesson that was checked when the lesson ran."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from helpers.measure import Comparison, Interval

MIME = "application/vnd.helpers.claim+json"


class ClaimError(AssertionError):
    """A claim that does not hold."""


@dataclass(frozen=True)
class Claim:
    """A sentence and what was measured; shows itself in a notebook, where the site collects it.

    Attributes:
        sentence: what is claimed.
        evidence: the figures behind it.
    """

    sentence: str
    evidence: str

    def __str__(self) -> str:
        """The sentence and its evidence in a line."""
        return f"Claim holds: {self.sentence} ({self.evidence})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        sentence, evidence = escape(self.sentence), escape(self.evidence)
        box = "border-left: 4px solid #2a9d8f; padding: 0.3em 0.8em; margin: 0.5em 0"
        html = f'<div class="claim" style="{box}"><strong>{sentence}</strong><br><small>{evidence}</small></div>'
        return {
            "text/plain": str(self),
            "text/html": html,
            MIME: {"sentence": self.sentence, "evidence": self.evidence},
        }


def claim(sentence: str, holds: bool, evidence: str | Interval | Comparison) -> None:
    """Show a sentence with its evidence if it holds; stop the lesson if it does not.

    Args:
        sentence: what is claimed, as one plain sentence.
        holds: whether it does, computed from what was measured.
        evidence: the figures: a text, an `Interval` or a `Comparison`.

    Raises:
        ClaimError: if it does not hold; names the evidence.
    """
    if not holds:
        raise ClaimError(f"this does not hold here: {sentence} Measured: {evidence}")
    from IPython.display import display

    display(Claim(sentence, str(evidence)))
