"""Icons: the theme brings 2,000 of them, 3.6 MB of scripts and fonts; the pages keep the dozen that they show."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

SCRIPT = re.compile(r'\s*<script src="[^"]*fontawesome[^"]*"></script>')
SHEET = re.compile(r'<link href="([^"]*)_static/vendor/fontawesome/[^"]*\.css[^"]*" rel="stylesheet" />')
NAMES = re.compile(r"\bfa-[a-z0-9-]+")
FONTS = {"Font Awesome 6 Free": "fa-solid-900.ttf", "Font Awesome 6 Brands": "fa-brands-400.ttf"}
BASE = """\
/*! Font Awesome Free 6.5.2, https://fontawesome.com; icons CC BY 4.0, fonts SIL OFL 1.1, code MIT */
:root {
    --fa-font-solid: normal 900 1em/1 "Font Awesome 6 Free";
    --fa-font-brands: normal 400 1em/1 "Font Awesome 6 Brands";
}
.fa, .fas, .fa-solid, .far, .fa-regular, .fab, .fa-brands {
    display: inline-block; font: var(--fa-font-solid); text-rendering: auto; -webkit-font-smoothing: antialiased;
}
.fab, .fa-brands { font: var(--fa-font-brands); }
.fa-lg { font-size: 1.25em; line-height: 0.05em; vertical-align: -0.075em; }
"""


def setup(app: Sphinx) -> None:
    """Go through the pages once they are written."""
    app.connect("build-finished", replace_icons, priority=600)


def replace_icons(app: Sphinx, exception: Exception | None) -> None:
    """Write a style sheet with the icons that the pages name, and leave out all others."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    vendor = next((site / "_static" / "vendor" / "fontawesome").glob("*"))
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    styles = "".join(file.read_text(encoding="utf-8") for file in site.glob("_static/styles/*.css"))
    (site / "_static" / "icons.css").write_text(sheet(vendor, set(NAMES.findall("".join(pages.values()))), styles))
    for page, text in pages.items():
        mended = SHEET.sub(r'<link href="\1_static/icons.css" rel="stylesheet" />', SCRIPT.sub("", text))
        page.write_text(mended, encoding="utf-8")
    shutil.rmtree(vendor.parent)


def sheet(vendor: Path, names: set[str], styles: str) -> str:
    """The style sheet for some icons.

    Args:
        vendor: Font Awesome as the theme brings it.
        names: of the icons, `"fa-sun"`.
        styles: other style sheets, whose variables name icons by number.
    """
    text = (vendor / "css" / "all.min.css").read_text(encoding="utf-8")
    codes = {name: re.search(rf"\.{name}:before[^{{]*{{content:\"\\([0-9a-f]+)\"", text) for name in sorted(names)}
    rules = [f'.{name}::before {{ content: "\\{found[1]}"; }}' for name, found in codes.items() if found]
    wanted = {int(found[1], 16) for found in codes.values() if found}
    wanted |= {int(code, 16) for code in re.findall(r"--pst-icon-[\w-]+:\"\\([0-9a-f]+)\"", styles)}
    fonts = [_font(family, vendor / "webfonts" / file, wanted) for family, file in FONTS.items()]
    return BASE + "\n".join([*rules, *fonts]) + "\n"


def _font(family: str, file: Path, codes: set[int]) -> str:
    """A font with these characters alone, inside of its rule; nothing where it has none of them."""
    font = TTFont(file)
    if not codes & set(font.getBestCmap()):
        return ""
    chooser = subset.Subsetter(subset.Options(layout_features=[], hinting=False, name_IDs=[], notdef_outline=False))
    chooser.populate(unicodes=codes)
    chooser.subset(font)
    font.flavor, written = "woff", io.BytesIO()
    font.save(written)
    data = base64.b64encode(written.getvalue()).decode()
    weight = 900 if "solid" in file.name else 400
    return (
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; '
        f'src: url("data:font/woff;base64,{data}") format("woff"); }}'
    )
