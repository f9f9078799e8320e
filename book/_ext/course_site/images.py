"""Stored figures as WebP, a third to a half of their size, fetched when the reader comes near them."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

COLORS = 4096  # of a drawing; an image with more of them is made of photos or of drawn scenes
TAG = re.compile(r'<img (?=[^>]*src="[^"]*_images/)')


def setup(app: Sphinx) -> None:
    """Go through the images once the pages are written."""
    app.connect("build-finished", shrink, priority=700)


def shrink(app: Sphinx, exception: Exception | None) -> None:
    """Convert each PNG among the pages' images, and name the new file in its place."""
    folder = Path(app.outdir) / "_images"
    if exception is not None or app.builder.format != "html" or not folder.is_dir():
        return
    names = {}
    for file in sorted(folder.glob("*.png")):
        smaller = file.with_suffix(".webp")
        convert(file, smaller)
        if smaller.stat().st_size < file.stat().st_size:
            names[file.name] = smaller.name
            file.unlink()
        else:
            smaller.unlink()
    for page in Path(app.outdir).rglob("*.html"):
        text = TAG.sub('<img loading="lazy" decoding="async" ', page.read_text(encoding="utf-8"))
        text = re.sub(r"(?<=_images/)[\w.-]+\.png", lambda found: names.get(found[0], found[0]), text)
        page.write_text(text, encoding="utf-8")


def convert(source: Path, target: Path) -> None:
    """Without loss where an image is a drawing of few colors, at high quality where it is not."""
    with Image.open(source) as image:
        image = image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB")
        drawing = image.getcolors(COLORS) is not None
        image.save(target, lossless=drawing, quality=100 if drawing else 88, method=4)
