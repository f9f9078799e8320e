"""Claims: sentences of a lesson that are checked by measurement whenever the lesson runs."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from IPython.display import display

from course import worlds
from course.messages import say
from helpers.measure import Verdict

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
        """The sentence and its evidence on one line."""
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


def claim(sentence: str, verdict: Verdict | bool, evidence: str = "") -> None:
    """Show a sentence with its evidence if it holds; stop the lesson if it does not.

    Lessons make their claims about the embedded world. In the real one a claim that does not hold is reported, and
    the lesson goes on.

    Args:
        sentence: what is claimed, as one plain sentence.
        verdict: whether it holds, for instance `compare(ours, theirs).better_by(0.2)`.
        evidence: what the figures of the verdict do not say, such as what varied from seed to seed; for a bool, the
            figures themselves.

    Raises:
        ClaimError: if it does not hold; gives the evidence.
    """
    measured = f"{verdict.evidence}; {evidence}".strip("; ") if isinstance(verdict, Verdict) else evidence
    if verdict:
        display(Claim(sentence, measured))
    elif worlds.current().real:
        say("Does not hold on these photos:", f"{sentence} ({measured})")
    else:
        raise ClaimError(f"this does not hold here: {sentence} Measured: {measured}")
