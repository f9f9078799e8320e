"""Messages to the reader: a sentence below a cell, and progress while a cell computes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from IPython.display import clear_output, display

Item = TypeVar("Item")


@dataclass(frozen=True)
class Message:
    """A few words in bold and the text that follows them; backticks mean code."""

    head: str
    text: str

    def __repr__(self) -> str:
        """The line for a terminal."""
        return f"{self.head} {self.text}"

    def _repr_html_(self) -> str:
        return f"<p><strong>{as_html(self.head)}</strong> {as_html(self.text)}</p>"


def say(head: str, text: str) -> None:
    """Show a message below the cell, or print it where there are no cells."""
    display(Message(head, text))


def as_html(text: str) -> str:
    """The text for a page: escaped, with backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def progress(items: Iterable[Item], title: str) -> Iterator[Item]:
    """Go through items and show how far the cell is, in JupyterLab and VS Code; nothing stays in the stored output.

    It clears what the cell has shown before, so it comes first in a cell.
    """
    items = list(items)
    shown = not {"JPY_SESSION_NAME", "VSCODE_PID"}.isdisjoint(os.environ)
    for number, item in enumerate(items, 1):
        if shown:
            clear_output(wait=True)
            say(f"{title}:", f"{number} of {len(items)}")
        yield item
    if shown:
        clear_output()


def over_seeds(run: Callable[[int], float], seeds: Iterable[int]) -> list[float]:
    """`run(seed)` for every seed, with progress where a notebook is open."""
    return [run(seed) for seed in progress(seeds, "Seeds")]
