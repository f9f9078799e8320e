"""Sentences of the course to the reader: wrapped like text where a page can, plain lines elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Said:
    """A few words in bold and what follows them, both as text in which backticks mean code."""

    head: str
    rest: str

    def __repr__(self) -> str:
        """The line for a terminal."""
        return f"{self.head} {self.rest}"

    def _repr_html_(self) -> str:
        return f"<p><strong>{as_html(self.head)}</strong> {as_html(self.rest)}</p>"


def say(head: str, rest: str) -> None:
    """Show the sentence below the cell, or print it where there are no cells."""
    from IPython.display import display

    display(Said(head, rest))


def as_html(text: str) -> str:
    """The text for a page: escaped, with backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
