"""What the theme asks for and pages opened from a folder cannot have is taken out of them."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# A browser refuses to preload fonts across files. They are loaded when they are used, all the same.
PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>\n?')
# Thebe runs code on a server elsewhere; no page of this site uses it.
THEBE = re.compile(r"\s*<script>const THEBE_JS_URL.*?</script>|\s*<script[^>]*sphinx-thebe\.js[^>]*></script>")


def setup(app: Sphinx) -> None:
    """Set what the theme lacks before the pages are written, and clean them afterwards."""
    app.connect("config-inited", start_in_the_readers_mode)
    app.connect("build-finished", clean)


def start_in_the_readers_mode(app: Sphinx, config: Config) -> None:
    """Light or dark as the reader's system has it; without this the theme logs an error on the first visit."""
    config.html_context.setdefault("default_mode", "auto")


def clean(app: Sphinx, exception: Exception | None) -> None:
    """Go through the pages that were written."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(THEBE.sub("", PRELOAD.sub("", text)), encoding="utf-8")
