"""The site: built without PyTorch and without a network, then visited in a real browser."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from sphinx_external_toc.parsing import parse_toc_yaml

from book.pdf import join

ROOT = Path(__file__).parents[1]
PAGES = (*parse_toc_yaml(ROOT / "book" / "_toc.yml"), "search", "genindex")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
TYPEWRITTEN = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{HORIZONTAL ELLIPSIS}": "..."})
"""The site sets typographic marks in its own pages; outputs of lessons stay as they are."""
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 360, "height": 740}


def run(*words: object, **environment: str) -> subprocess.CompletedProcess:
    command = [str(word) for word in words]
    kept = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=kept)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built where an import of PyTorch and any request over the network would fail."""
    out, broken = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("broken")
    (broken / "torch.py").write_text("raise ImportError('the site is to be built without PyTorch')")
    program = Path(sys.executable).with_name("jupyter-book")
    settings = ("--config", "book/_config.yml", "--toc", "book/_toc.yml", "-W", "--keep-going", "-n")
    cut_off = {"PYTHONPATH": str(broken), "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = run(program, "build", ".", *settings, "--path-output", out, **cut_off)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "_build" / "html"


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    """The site, served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser) -> Iterator:
    """Opens a page and listens: what it logs as an error and what it asks for stands in `page.errors`."""
    contexts = []

    def open_page(url: str) -> Page:
        context = browser.new_context(viewport=WIDE, color_scheme="light")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.errors, page.asked = [], set()
        page.on("request", lambda asked: page.asked.add(urlsplit(asked.url).path))
        home = urlsplit(url)[:2]
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
        page.on("response", lambda answer: page.errors.append(answer.url) if answer.status >= 400 else None)
        page.on("request", lambda asked: page.errors.append(asked.url) if _foreign(asked.url, home) else None)
        answer = page.goto(url)
        assert answer is None or answer.ok, url
        return page

    yield open_page
    for context in contexts:
        context.close()


def _foreign(url: str, home: tuple[str, str]) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url)[:2] != home


class Links(HTMLParser):
    """The anchors of a page, and where its links and resources point."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids, self.targets = set(), set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value and not urlsplit(value).scheme:
                self.targets.add(value)


def test_a_missing_page_is_noticed(site, tmp_path) -> None:
    assert run(sys.executable, "book/check.py", site).returncode == 0
    done = run(sys.executable, "book/check.py", tmp_path)
    assert done.returncode == 1
    assert "index.html, search.html" in done.stderr


def test_every_link_within_the_site_leads_somewhere(site) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html") if "_static" not in page.parts}
    assert len(pages) > len(PAGES)  # and the redirect at the root
    for page, links in pages.items():
        for link in links.targets - {"/"}:  # the way home from a wrong address, which may lie in any folder
            path, anchor = unquote(urlsplit(link).path), unquote(urlsplit(link).fragment)
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page.name}: {link}"
            assert not anchor or target not in pages or anchor in pages[target].ids, f"{page.name}: {link}"


def test_every_image_has_words(site) -> None:
    for page in site.rglob("*.html"):
        if "_static" in page.parts:
            continue
        for part in page.read_text(encoding="utf-8").split("<img ")[1:]:
            alt = part.split(">")[0].split('alt="')[1].split('"')[0]
            assert len(alt) > 20 or "logo" in part, f"{page.name}: {part[:200]}"
            assert not alt.endswith(".png"), f"{page.name}: {part[:200]}"


def serious(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds that keeps readers out: the rule and a few of the places."""
    page.add_style_tag(content="* { transition: none !important }")  # colors on their way are no colors yet
    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]][:3])
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def contrast(element: Locator) -> float:
    """Of an element's text and its own ground, from 1 to 21, as WCAG 2 computes it."""
    colors = element.evaluate("each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]")
    low, high = sorted(map(luminance, colors))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Of an opaque color as a browser writes it, `rgb(12, 34, 56)`."""
    assert color.startswith("rgb("), f"{color} is not opaque"
    parts = [int(part) / 255 for part in color[4:-1].split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def weight(site: Path, asked: set[str]) -> int:
    """Bytes that a server sends for a page before the reader scrolls: text is compressed, as GitHub Pages does it."""
    files = [site / unquote(path).lstrip("/") for path in asked]
    texts = (".html", ".css", ".js", ".mjs", ".svg", ".json")
    return sum(len(gzip.compress(file.read_bytes()) if file.suffix in texts else file.read_bytes()) for file in files)


def accessible_and_fits_a_phone(page: Page) -> None:
    """In light and in dark, then at the width of a phone."""
    assert not serious(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert not serious(page)
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_quiet_light_accessible_and_fit_a_phone(visit, site, address, name) -> None:
    page = visit(f"{address}/{name}.html")
    assert not page.errors  # before axe
    assert weight(site, page.asked) < 700_000
    if name not in ("search", "genindex"):
        assert len(page.locator('meta[name="description"]').get_attribute("content")) > 40
    accessible_and_fits_a_phone(page)


@pytest.mark.parametrize("name", ["index", *PAGES])
def test_pages_open_from_a_folder(visit, site, name) -> None:
    page = visit(f"{(site / name).as_uri()}.html")
    page.locator("h1:visible").wait_for()
    assert not page.errors


def test_search_finds(visit, site, address) -> None:
    for start in (address, site.as_uri()):
        page = visit(f"{start}/search.html?q=BatchNorm")
        page.wait_for_selector("#search-results li a")
        assert page.locator("#search-results li").count() >= 2
        assert not page.errors


def test_the_reader_turns_to_dark(visit, address) -> None:
    page = visit(f"{address}/book/index.html")
    seen = {page.evaluate("document.documentElement.dataset.theme")}
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


def lessons_with(site: Path, words: str) -> list[str]:
    """The lessons whose pages hold these words."""
    return [page.stem for page in (site / "notebooks").glob("*.html") if words in page.read_text(encoding="utf-8")]


def test_a_solution_unfolds(visit, site, address) -> None:
    for lesson in lessons_with(site, "Show a solution"):
        page = visit(f"{address}/notebooks/{lesson}.html")
        folded = page.locator("details.hide", has_text="Show a solution").first
        assert not folded.locator("pre").first.is_visible()
        folded.locator("summary").click()
        assert folded.locator("pre").first.is_visible()
        assert not page.errors


def test_hints_unfold_one_by_one(visit, address) -> None:
    page = visit(f"{address}/notebooks/02_feature_extraction.html")
    hints = page.locator(".hints").first.locator("details:not(.wrong)")
    assert hints.count() == 2
    hints.first.locator("summary").click()
    assert hints.first.locator("p").is_visible()
    assert not hints.last.locator("p").is_visible()
    assert "not attempted yet" not in page.locator("#exercises").inner_text().split("Exercise 1.")[1]


def test_a_quiz_answers(visit, site, address) -> None:
    for lesson in lessons_with(site, "show_questions"):
        page = visit(f"{address}/notebooks/{lesson}.html")
        question = page.locator(".Quiz").last  # the first asks for a guess, and takes any
        buttons = question.locator(".MCButton").all()
        page.add_style_tag(content="* { transition: none !important }")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
            right = 0
            for button in buttons:
                button.click()
                assert len(question.locator(".Feedback[aria-live]").inner_text()) > 10
                assert contrast(button) > 4.5
                right += "correctButton" in button.get_attribute("class").split()
            assert 1 <= right < len(buttons)
        assert not page.errors  # before axe, which asks for style sheets in the wrong place
        assert not serious(page)


def test_claims_lead_to_their_lessons(visit, site, address) -> None:
    page = visit(f"{address}/book/claims.html")
    claims = page.locator(".claim")
    for number in range(claims.count()):
        sentence = claims.nth(number).locator("strong").inner_text()
        target = claims.nth(number).locator(".evidence a").last.get_attribute("href")
        lesson = (site / "book" / urlsplit(target).path).resolve()
        shown = unescape(lesson.read_text(encoding="utf-8"))
        assert sentence.translate(TYPEWRITTEN) in shown.translate(TYPEWRITTEN), sentence


def test_the_front_page_has_its_title_once_and_says_where_everything_is(visit, address) -> None:
    page = visit(f"{address}/book/index.html")
    assert page.title() == page.locator("article h1").inner_text().strip("# ")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = page.locator("article").inner_text()
    assert f"{cited['authors'][0]['name']}. Version {cited['version']}" in text
    assert re.search(r"\d\d % →\s*(to\s*)?\d\d %", text)


def test_the_keyboard_sees_where_it_is(visit, address) -> None:
    page = visit(f"{address}/notebooks/03_fine_tuning.html")
    buttons = page.locator(".header-article-items button:visible, .header-article-items label:visible")
    assert buttons.count() >= 3
    for button in buttons.all():
        page.keyboard.press("Tab")  # so that the focus counts as one by keyboard
        button.focus()
        if button.evaluate("each => each === document.activeElement"):
            assert button.evaluate("each => getComputedStyle(each).outline").startswith("rgb")
            assert button.evaluate("each => parseFloat(getComputedStyle(each).outlineWidth)") >= 2


def test_a_lesson_is_marked_as_done_in_this_browser(visit, address) -> None:
    page = visit(f"{address}/notebooks/01_concept.html")
    page.get_by_role("button", name="Mark as done").click()
    page.goto(f"{address}/book/index.html")
    assert page.locator(".lessons a.done").all_inner_texts() == ["1 · The concept"]
    assert "min" in page.locator(".bd-sidebar-primary a.done").get_attribute("data-minutes")
    page.goto(f"{address}/notebooks/01_concept.html")
    page.get_by_role("button", name="Done").click()
    assert page.evaluate("localStorage.getItem('course-done')") == "[]"
    assert not page.errors


def test_a_mistake_unfolds_where_a_link_leads_to_it(visit, address) -> None:
    page = visit(f"{address}/book/cheat_sheet.html")
    page.locator(".costs tbody a").first.click()
    page.locator("details.mistake[open]").wait_for()
    text = page.locator("details.mistake[open]").inner_text()
    assert all(word in text for word in ("Symptom", "See it", "points lost", "Repair", "Read on"))
    assert page.locator("details.mistake").count() > 30


def test_the_cheat_sheet_is_one_printed_page(visit, address) -> None:
    page = visit(f"{address}/book/cheat_sheet.html")
    printed = page.pdf(format="A4", landscape=True, margin=dict.fromkeys(("top", "bottom", "left", "right"), "8mm"))
    assert len(re.findall(rb"/Type /Page\b", printed)) == 1


def test_print_cuts_no_code(visit, address) -> None:
    page = visit(f"{address}/notebooks/03_fine_tuning.html")
    page.set_viewport_size({"width": 640, "height": 900})  # about the width of paper
    page.emulate_media(media="print")
    cut = page.locator(".bd-article pre").evaluate_all(
        "all => all.filter(pre => pre.scrollWidth > pre.clientWidth + 1)"
    )
    assert len(cut) == 0


def test_typical_wrong_answers_unfold(visit, address) -> None:
    page = visit(f"{address}/notebooks/03_fine_tuning.html")
    wrong = page.locator("details.wrong").first
    assert not wrong.locator("dd").first.is_visible()
    wrong.locator("summary").click()
    assert "that is what was meant" in wrong.inner_text()


def test_slides_turn_and_answer_by_keyboard(visit, site, address) -> None:
    lessons = sorted(page.stem for page in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(page.stem for page in (site / "slides").glob("*.html")) == lessons
    page = visit(f"{address}/slides/03_fine_tuning.html")
    assert not page.errors
    assert not serious(page)
    slides = page.locator("section").count()
    place = page.evaluate("[...document.querySelectorAll('section')].findIndex(each => each.matches('.ask'))")
    for _ in range(place):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    assert page.locator("section").nth(place).locator(".why").first.is_visible()
    page.keyboard.press("End")
    page.wait_for_function(f"current === {slides - 1}")


def test_the_whole_site_is_one_file_for_print(site) -> None:
    text = join(site)
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    links = {unescape(link) for link in re.findall(r'href="#([^"]+)"', text)}
    assert len(links & ids) > 0.98 * len(links)
    for name in parse_toc_yaml(ROOT / "book" / "_toc.yml"):
        assert f'<section id="{str(name).replace("/", "-")}">' in text
    for image in re.findall(r'<img [^>]*src="(file:[^"]+)"', text):
        assert Path(unquote(urlsplit(image).path)).is_file(), image


def test_an_address_brings_canonical_links_and_a_sitemap(tmp_path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "index.rst").write_text("A title\n=======\n\nA paragraph that is long enough to describe the page.\n")
    (source / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
        "extensions, html_theme = ['course_site.head', 'course_site.launch'], 'sphinx_book_theme'\n"
        "html_theme_options = {'repository_url': 'https://github.com/someone/course'}\n"
    )
    done = run(sys.executable, "-m", "sphinx", "-q", "-b", "html", source, out)
    assert done.returncode == 0, done.stderr
    page = (out / "index.html").read_text(encoding="utf-8")
    assert '<link rel="canonical" href="https://someone.github.io/course/index.html"' in page
    assert '<meta property="og:image" content="https://someone.github.io/course/_static/card.jpg"' in page
    assert "https://someone.github.io/course/index.html" in (out / "sitemap.xml").read_text(encoding="utf-8")
    assert 'href="https://someone.github.io/course/"' in (out / "404.html").read_text(encoding="utf-8")
    assert (out / ".nojekyll").exists()
