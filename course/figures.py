"""Figures with alt text and captions, in the course's style."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import PIL.Image
from IPython.display import display
from matplotlib.figure import Figure

from helpers.errors import HelpersError

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with every kind of color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, PAPER = "#22303C", "#FFFFFF"
MAX_BYTES = 150_000

_STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "image.interpolation": "nearest",
}


@contextmanager
def style() -> Iterator[None]:
    """The course's style, for figures made within."""
    with mpl.rc_context(_STYLE):
        yield


@dataclass(frozen=True)
class Image:
    """A finished figure that shows itself in a notebook, with alt text."""

    png: bytes
    alt: str

    def __repr__(self) -> str:
        return f"[image: {self.alt}]"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alt}}


@dataclass(frozen=True)
class Caption:
    """The line below a figure."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<p class="caption"><em>{escape(self.text)}</em></p>'


def show(figure: Figure, alt: str, caption: str = "") -> None:
    """Display a figure with its caption, and close it.

    Args:
        figure: what to show.
        alt: what it shows, for readers who cannot see it.
        caption: how to read it.

    Raises:
        HelpersError: without alt text, or for a figure of more than 150 kB.
    """
    png = _png(figure)
    plt.close(figure)
    if not alt.strip():
        raise HelpersError("a figure needs alt text; say in a sentence what it shows")
    if len(png) > MAX_BYTES:
        raise HelpersError(f"this figure has {len(png)} bytes, over {MAX_BYTES}; make it smaller or simpler")
    display(Image(png, alt))
    if caption:
        display(Caption(caption))


def _png(figure: Figure) -> bytes:
    """As it is, or with 256 colors where it would be large."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    if buffer.tell() <= MAX_BYTES:
        return buffer.getvalue()
    smaller = io.BytesIO()
    PIL.Image.open(buffer).convert("RGB").quantize(256).save(smaller, format="png", optimize=True)
    return smaller.getvalue()
