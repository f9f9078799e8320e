"""Print the whole site into one PDF with contents: `python -m book.pdf SITE FILE`. It needs a Chromium."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from html import escape
from pathlib import Path

from playwright.sync_api import sync_playwright
from sphinx_external_toc.parsing import parse_toc_yaml

from helpers.errors import HelpersError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARTICLE = re.compile(r'<article class="bd-article"[^>]*>(.*)</article>', re.DOTALL)
SCRIPTS = re.compile(r"<script\b.*?</script>|<noscript>.*?</noscript>", re.DOTALL)
TITLE = re.compile(r"<h1>(.*?)<a class=\"headerlink\"", re.DOTALL)
LINK = re.compile(r'\b(href|src|id|for|aria-labelledby)="([^"]*)"')
STYLE = """
@page { size: A4; margin: 17mm 15mm 18mm; }
html, body { font-size: 10pt; background: #fff; }
body > section { break-before: page; }
.bd-article img { max-width: 100%; height: auto; }
nav.whole ol { line-height: 1.9; }
details > summary { list-style: none; }
"""


def join(site: Path) -> str:
    """All pages of the table of contents as one, in their order; links between them lead to places in it."""
    names = [str(name) for name in parse_toc_yaml(Path(__file__).parent / "_toc.yml")]
    texts = {name: (site / f"{name}.html").read_text(encoding="utf-8") for name in names}
    articles = {name: SCRIPTS.sub("", ARTICLE.search(text)[1]) for name, text in texts.items()}
    titles = {name: re.sub("<.*?>", "", TITLE.search(article)[1]) for name, article in articles.items()}
    contents = "".join(f'<li><a href="#{_place(name)}">{titles[name]}</a></li>' for name in names[1:])
    parts = [f'<section id="{_place(name)}">{_moved(articles[name], name, site, names)}</section>' for name in names]
    parts.insert(1, f'<section><nav class="whole"><h1>Contents</h1><ol>{contents}</ol></nav></section>')
    sheets = re.findall(r'<link[^>]*href="([^"]*\.css[^"]*)"', texts[names[0]])
    links = "".join(
        f'<link rel="stylesheet" href="{(site / names[0]).parent / sheet.split("?")[0]}">' for sheet in sheets
    )
    body = "".join(parts).replace("<details", "<details open").replace('loading="lazy"', "")
    head = f'<meta charset="utf-8"><title>{escape(titles[names[0]])}</title>{links}<style>{STYLE}</style>'
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head>{head}</head>'
        f'<body class="bd-article bd-content">{body}</body></html>'
    )


def _place(name: str, anchor: str = "") -> str:
    return name.replace("/", "-") + (f"--{anchor}" if anchor else "")


def _moved(article: str, name: str, site: Path, names: list[str]) -> str:
    """An article with its anchors named apart from those of other pages, and its links and images found again."""
    here = (site / name).parent

    def moved(found: re.Match[str]) -> str:
        kind, value = found.groups()
        if kind in ("id", "for", "aria-labelledby"):
            return f'{kind}="{_place(name, value)}"'
        if re.match(r"[a-z]+:", value):
            return found[0]
        path, _, anchor = value.partition("#")
        target = (here / path).resolve() if path else site / f"{name}.html"
        page = str(target.relative_to(site.resolve()).with_suffix("")) if target.is_relative_to(site.resolve()) else ""
        if kind == "href" and (page in names or not path):
            return f'href="#{_place(page if path else name, anchor)}"'
        return f'{kind}="{target.as_uri()}"'

    return LINK.sub(moved, article)


def main(site: Path, target: Path) -> None:
    """Write the file.

    Raises:
        HelpersError: if there is no browser.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise HelpersError("there is no Chromium or Chrome on this machine; install one, then print again")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "book.html"
        page.write_text(join(site.resolve()), encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--allow-file-access-from-files"]
        )
        tab = browser.new_page()
        tab.set_default_timeout(0)  # hundreds of pages take a slow machine minutes
        tab.goto(page.as_uri())
        number = (
            '<div style="width:100%;text-align:center;font-size:7pt;color:#666"><span class="pageNumber"></span></div>'
        )
        tab.pdf(
            path=target,
            prefer_css_page_size=True,
            print_background=True,
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=number,
        )
        browser.close()
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except HelpersError as error:
        sys.exit(f"error: {error}")
