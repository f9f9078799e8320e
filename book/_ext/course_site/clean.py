"""What pages opened from a folder cannot have is taken out of them, and what readers' tools stumble over is mended."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# A browser refuses to preload fonts across files. They are loaded when they are used, all the same.
PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>\n?')
# Thebe runs code on a server elsewhere; no page of this site uses it.
THEBE = re.compile(r"\s*<script>const THEBE_JS_URL.*?</script>|\s*<script[^>]*sphinx-thebe\.js[^>]*></script>")
# A signature's parameters are marked as a list of explanations without terms: a plain list of lines is meant.
PARAMETERS = re.compile(r"<dl>\n((?:<dd>.*?</dd>\n)+)</dl>", re.DOTALL)
# The bibliography says that it is a list, and its entries say that they are none.
BIBLIOGRAPHY = ('<div role="list" class="citation-list">', '<div class="citation-list">')
# Search shows a few lines of each page that it found. From a folder a browser does not hand them out.
NO_SUMMARY = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'


def setup(app: Sphinx) -> None:
    """Set what the theme lacks before the pages are written, and clean them afterwards."""
    app.connect("config-inited", start_in_the_readers_mode)
    app.connect("build-finished", clean)
    app.add_js_file(None, body=NO_SUMMARY)


def start_in_the_readers_mode(app: Sphinx, config: Config) -> None:
    """Light or dark as the reader's system has it; without this the theme logs an error on the first visit."""
    config.html_context.setdefault("default_mode", "auto")


def clean(app: Sphinx, exception: Exception | None) -> None:
    """Go through the pages that were written."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = THEBE.sub("", PRELOAD.sub("", page.read_text(encoding="utf-8")))
        text = PARAMETERS.sub(_as_lines, text).replace(*BIBLIOGRAPHY)
        page.write_text(text, encoding="utf-8")


def _as_lines(found: re.Match[str]) -> str:
    lines = found[1].replace("<dd>", '<span class="parameter">').replace("</dd>", "</span>")
    return f'<span class="parameters">\n{lines}</span>'
