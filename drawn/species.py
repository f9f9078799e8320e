"""The table of invented flower species: what each looks like, and how much that varies.

No species here exists. They come in six invented genera of four; within a genus they share their build and differ in
outline, notch, layers, pattern or disc. Colors are shared between genera, and most species come in several.
"""

from __future__ import annotations

from dataclasses import dataclass

from drawn.shapes import Disc, Petal

# Lightness, chroma and hue (OKLCH) of petals.
COLORS: dict[str, tuple[float, float, float]] = {
    "white": (0.95, 0.015, 100),
    "cream": (0.93, 0.06, 95),
    "yellow": (0.87, 0.17, 92),
    "orange": (0.74, 0.18, 55),
    "red": (0.57, 0.21, 27),
    "pink": (0.76, 0.13, 355),
    "magenta": (0.60, 0.22, 350),
    "violet": (0.56, 0.19, 305),
    "blue": (0.58, 0.16, 270),
    "sky": (0.74, 0.10, 255),
    "maroon": (0.34, 0.12, 15),
    "black": (0.20, 0.04, 320),
    "green": (0.74, 0.13, 125),
    "brown": (0.38, 0.08, 50),
}


# Leaves, shared by several species.
OVAL = Petal(0.2, 0.8, 0.9, 0.95, gradient=(0.0, 1.2), veins=-0.22, pinnate=True, cup=-0.3, fold=0.5)
BLADE = Petal(0.06, 0.5, 0.5, 1.0, gradient=(0.0, 1.2), veins=0.1, cup=-0.3, fold=0.6)
LOBED = Petal(0.26, 0.6, 1.0, 0.9, frill=0.22, gradient=(0.0, 1.2), veins=-0.25, pinnate=True, cup=-0.2, fold=0.4)
HEART = Petal(0.34, 0.35, 0.7, 0.85, gradient=(0.0, 1.2), veins=-0.22, pinnate=True, cup=-0.3, fold=0.4)


@dataclass(frozen=True)
class Species:
    """How one species is drawn.

    Attributes:
        name: the invented name.
        count: petals in a layer.
        petal: shape and pattern of a petal.
        colors: petal colors in which it comes, as names in `COLORS`; the first is twice as common.
        tip: color towards the tip: a name, or "" for a lighter or darker shade of the petal's own.
        mark: color of the pattern.
        disc: the middle of the flower.
        disc_colors: its base, inner and anther colors.
        disc_size: radius of the disc in petal lengths.
        layers: rings of petals, the inner ones shorter and steeper.
        rise: elevation of the petals over the plane of the flower, in degrees.
        leaf: one of the leaf shapes.
    """

    name: str
    count: int
    petal: Petal
    colors: tuple[str, ...]
    disc: Disc
    disc_colors: tuple[str, str, str]
    disc_size: float = 0.2
    tip: str = ""
    mark: str = "maroon"
    layers: int = 1
    rise: float = 12.0
    leaf: Petal = OVAL


_FINE = Disc("stamens", 9)
_BRUSH = Disc("stamens", 26)
_LONG = Disc("stamens", 6)
_SUN = Disc("florets", 110)
_BUTTON = Disc("florets", 48)

# fmt: off
TABLE: tuple[Species, ...] = (
    # Velda: five broad petals.
    Species("plain velda", 5, Petal(0.46, 0.7, 2.2, 0.45, veins=0.1), ("violet", "pink", "white"),
            _FINE, ("cream", "green", "yellow"), leaf=HEART),
    Species("heart velda", 5, Petal(0.48, 0.8, 2.6, 0.42, notch=0.34, veins=0.1), ("pink", "violet", "yellow"),
            _FINE, ("cream", "green", "yellow"), leaf=HEART),
    Species("lantern velda", 5, Petal(0.46, 0.7, 2.2, 0.45, mark="lines", veins=0.1), ("violet", "pink", "sky"),
            _FINE, ("cream", "green", "violet"), leaf=HEART),
    Species("fringed velda", 5, Petal(0.42, 0.9, 3.0, 0.42, teeth=7, tooth=0.16, veins=0.1),
            ("magenta", "white", "pink"), _FINE, ("cream", "white", "violet"), leaf=BLADE),
    # Orrel: many narrow petals around a disc of florets.
    Species("common orrel", 13, Petal(0.15, 0.5, 2.6, 0.5, veins=0.12, cup=0.1), ("white", "yellow", "pink"),
            _SUN, ("yellow", "orange", "yellow"), disc_size=0.42, rise=4, leaf=LOBED),
    Species("dense orrel", 21, Petal(0.085, 0.5, 2.0, 0.6, veins=0.12, cup=0.1), ("white", "violet", "yellow"),
            _SUN, ("yellow", "green", "yellow"), disc_size=0.3, layers=2, rise=4, leaf=LOBED),
    Species("cleft orrel", 11, Petal(0.19, 0.6, 3.2, 0.4, notch=0.26, veins=0.12, cup=0.1),
            ("yellow", "white", "orange"), _SUN, ("yellow", "orange", "yellow"), disc_size=0.28, rise=4, leaf=OVAL),
    Species("ember orrel", 13, Petal(0.16, 0.5, 2.6, 0.5, mark="blotch", veins=0.12, cup=0.1),
            ("yellow", "orange", "pink"), _SUN, ("brown", "black", "orange"), disc_size=0.36, rise=4, leaf=OVAL),
    # Tasmel: six pointed petals.
    Species("plain tasmel", 6, Petal(0.24, 0.6, 1.0, 0.85, mark="stripe", cup=-0.2), ("orange", "white", "pink"),
            _LONG, ("green", "green", "brown"), disc_size=0.42, mark="yellow", rise=22, leaf=BLADE),
    Species("spotted tasmel", 6, Petal(0.24, 0.6, 1.0, 0.85, mark="spots", cup=-0.2), ("orange", "pink", "yellow"),
            _LONG, ("green", "green", "brown"), disc_size=0.42, rise=22, leaf=BLADE),
    Species("slender tasmel", 6, Petal(0.13, 0.6, 0.9, 0.9, mark="stripe", cup=-0.2), ("pink", "orange", "white"),
            _LONG, ("green", "green", "brown"), disc_size=0.42, mark="magenta", rise=22, leaf=BLADE),
    Species("trumpet tasmel", 6, Petal(0.27, 0.6, 1.2, 0.75, cup=-0.2), ("yellow", "white", "cream"),
            Disc("tube", 12), ("orange", "yellow", "yellow"), disc_size=0.4, rise=8, leaf=BLADE),
    # Corvel: four wide petals, or six, like a bowl.
    Species("inked corvel", 4, Petal(0.62, 0.6, 2.4, 0.42, mark="blotch", veins=0.2), ("red", "orange", "violet"),
            _BRUSH, ("black", "green", "black"), disc_size=0.3, mark="black", rise=28, leaf=LOBED),
    Species("clear corvel", 4, Petal(0.62, 0.6, 2.4, 0.42, veins=0.2), ("orange", "yellow", "red"),
            _BRUSH, ("yellow", "green", "yellow"), disc_size=0.3, rise=28, leaf=LOBED),
    Species("cupped corvel", 4, Petal(0.52, 0.8, 2.6, 0.42, notch=0.3, mark="blotch", veins=0.1),
            ("pink", "white", "yellow"), _FINE, ("yellow", "green", "yellow"), disc_size=0.28, mark="green", rise=20,
            leaf=OVAL),
    Species("ragged corvel", 6, Petal(0.5, 0.6, 2.6, 0.42, frill=0.16, rim=0.09, gradient=(1.0, 1.1), veins=0.2),
            ("red", "magenta", "orange"), _BRUSH, ("yellow", "green", "yellow"), disc_size=0.26, tip="white", layers=2,
            rise=28, leaf=LOBED),
    # Sellin: eight petals.
    Species("broad sellin", 8, Petal(0.30, 0.6, 3.0, 0.42, teeth=3, tooth=0.09, cup=0.2),
            ("pink", "magenta", "white"), _BUTTON, ("yellow", "orange", "orange"), rise=8, leaf=LOBED),
    Species("starry sellin", 8, Petal(0.20, 0.6, 1.0, 0.85, mark="stripe", cup=0.2), ("violet", "blue", "pink"),
            _BRUSH, ("cream", "cream", "cream"), disc_size=0.26, mark="pink", rise=8, leaf=OVAL),
    Species("round sellin", 8, Petal(0.26, 0.8, 2.0, 0.5, cup=0.2), ("white", "sky", "violet"),
            _BRUSH, ("yellow", "green", "yellow"), disc_size=0.38, rise=12, leaf=OVAL),
    Species("ringed sellin", 8, Petal(0.27, 0.8, 2.0, 0.5, mark="blotch", cup=0.2), ("blue", "red", "magenta"),
            _SUN, ("black", "violet", "black"), disc_size=0.24, mark="white", rise=14, leaf=LOBED),
    # Brindel: stars and double flowers.
    Species("star brindel", 5, Petal(0.24, 0.7, 0.9, 0.9, cup=0.2), ("blue", "sky", "white"),
            Disc("florets", 20), ("white", "black", "black"), rise=6, leaf=OVAL),
    Species("nested brindel", 5, Petal(0.34, 0.7, 1.2, 0.7, cup=0.5), ("sky", "violet", "white"),
            _FINE, ("yellow", "yellow", "white"), layers=3, rise=20, leaf=OVAL),
    Species("double brindel", 8, Petal(0.4, 0.6, 2.4, 0.42, cup=0.5), ("pink", "orange", "yellow"),
            _BUTTON, ("green", "green", "yellow"), disc_size=0.14, layers=4, rise=14, leaf=LOBED),
    Species("quilled brindel", 13, Petal(0.17, 0.6, 1.3, 0.7, fold=0.8, cup=0.3), ("magenta", "red", "white"),
            _BUTTON, ("yellow", "orange", "yellow"), disc_size=0.12, layers=4, rise=12, leaf=OVAL),
)
# fmt: on
