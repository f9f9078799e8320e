"""What search engines, chats and servers read: descriptions, cards, titles, a page for wrong addresses, a sitemap."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from course.teaching.lessons import all_lessons

LONGEST = 160  # characters of a description
CARD = "_static/card.jpg"
MISSING = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>No such page · {title}</title><meta name="robots" content="noindex">
<style>:root {{ color-scheme: light dark; }} body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem;
margin: 18vh auto; padding: 0 1.5rem; }} h1 {{ line-height: 1.2; }}</style></head>
<body><h1>There is no such page</h1><p>Perhaps it has moved. Everything is reached from the
<a href="{home}">front page of the course</a>.</p></body></html>
"""


def setup(app: Sphinx) -> None:
    """Complete the settings, then each page's head, then the site."""
    app.connect("config-inited", find_address, priority=2)
    app.connect("html-page-context", complete)
    app.connect("build-finished", write_files)


def find_address(app: Sphinx, config: Config) -> None:
    """Where the site will be: GitHub Pages of the repository, unless `_config.yml` says otherwise."""
    address = urlsplit(config.html_theme_options.get("repository_url") or "")
    if not config.html_baseurl and address.netloc == "github.com":
        owner, name = address.path.strip("/").removesuffix(".git").split("/")[:2]
        config.html_baseurl = f"https://{owner}.github.io/{name}/"


def complete(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Describe the page; the front page is called by the title of the whole alone."""
    title, whole = re.sub("<.*?>", "", context.get("title") or ""), app.config.html_title
    if title == whole:
        context["docstitle"] = ""
    about = describe(doctree) if doctree is not None else ""
    tags = {"og:title": title or whole, "og:type": "article" if title != whole else "website", "og:site_name": whole}
    tags |= {"og:description": about} if about else {}
    if base := app.config.html_baseurl:
        tags |= {"og:url": context.get("pageurl") or base, "og:image": base + CARD, "og:image:alt": "Drawn flowers"}
    lines = [f'<meta property="{name}" content="{escape(text)}" />' for name, text in tags.items()]
    lines += [f'<meta name="description" content="{escape(about)}" />'] if about else []
    lines += ['<meta name="twitter:card" content="summary_large_image" />']
    minutes = {lesson.path.stem: sum(lesson.time) // 2 for lesson in all_lessons()}
    lines += [f"<script>const COURSE_MINUTES = {json.dumps(minutes)};</script>"]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def describe(doctree: nodes.document) -> str:
    """The first paragraph of a page that is a sentence, as far as there is room."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            return text if len(text) <= LONGEST else text[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
    return ""


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """A page for wrong addresses, the mark that keeps GitHub from leaving out `_static`, and a sitemap."""
    if exception is not None or app.builder.format != "html":
        return
    site, base = Path(app.outdir), app.config.html_baseurl
    (site / ".nojekyll").touch()
    (site / "404.html").write_text(MISSING.format(title=app.config.html_title, home=base or "/"), encoding="utf-8")
    if base:
        pages = "".join(f"<url><loc>{base}{name}.html</loc></url>" for name in sorted(app.env.found_docs))
        about = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        (site / "sitemap.xml").write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {about}>{pages}</urlset>\n')
