"""The site's figures to play with: what they show is what is stored, by keyboard, on a phone, without a request."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from playwright.sync_api import Page
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR, StepLR

from course.strategy_table import Cell, Grid, advise, load_grid
from helpers import load_backbone, parameter_groups, replace_head
from helpers.measure import interval
from tests.test_site import NARROW, browser, serious  # noqa: F401 (a fixture)

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from course_site import claims, figure_data, figures, findings, terms  # noqa: E402 (found by the line above)

STATIC = ROOT / "book" / "_static"
PAGE = """<!doctype html><html lang="en" data-theme="light" data-content_root="./"><title>A page</title>
<link rel="stylesheet" href="{static}/course.css"><link rel="stylesheet" href="{static}/figures/figures.css">
<style>:root {{ --pst-color-text-base: #222; --pst-color-text-muted: #48566b; --pst-color-background: #fff;
--pst-color-link: #0a7d91; --pst-color-primary: #0a7d91; --pst-color-border: #c9d1d9; --pst-color-surface: #f3f4f5 }}
body {{ margin: 8px; font-family: sans-serif }}</style>
<body><main class="bd-article"><h1>A page</h1>{content}</main>{scripts}"""
DATA = {name: figure.data() for name, figure in figures.FIGURES.items()}
STORED = [name for name, data in DATA.items() if data is not None]


@pytest.fixture
def show(browser, tmp_path) -> Iterator:  # noqa: F811 (the fixture)
    """Opens a page of its own from a folder; what it logs and what it asks for elsewhere stands in `page.errors`."""
    contexts = []

    def make(content: str, *scripts: str, **options: object) -> Page:
        static = STATIC.as_uri()
        tags = "".join(f'<script src="{static}/figures/{name}.js"></script>' for name in scripts)
        file = tmp_path / "page.html"
        file.write_text(PAGE.format(static=static, content=content, scripts=tags), encoding="utf-8")
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on(
            "request", lambda asked: page.errors.append(asked.url) if urlsplit(asked.url).scheme != "file" else None
        )
        page.goto(file.as_uri())
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def figure(show):
    """Opens a page that holds one figure."""

    def make(name: str, data: object = None, **options: object) -> Page:
        text = json.dumps(DATA[name] if data is None else data)
        content = figures.FRAME.format(name=name, title="Title.", caption="Caption.", data=text)
        return show(content, "figures", name, **options)

    return make


def pick(page: Page, words: str) -> None:
    """Choose among radio buttons, which look like one bar."""
    page.locator(".play-choice").get_by_text(words, exact=True).click()


def numbers(page: Page) -> list[list[str]]:
    """The rows of a figure's table."""
    page.locator(".play-numbers").evaluate("each => { each.open = true }")
    rows = page.locator(".play-numbers tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def shows(cell: str, values: Sequence[float]) -> bool:
    """Whether a cell of a table is the mean of accuracies over seeds, and half of its interval, in percent."""
    mean, half = map(float, cell.removesuffix(" %").split(" ± "))
    found = interval(values)
    return abs(mean - 100 * found.mean) < 0.06 and abs(half - 100 * found.half_width) < 0.06


def test_figures_stand_after_cells_that_are_there() -> None:
    cells = {
        cell["id"]
        for notebook in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    }
    wanted = {each.after for each in figures.FIGURES.values() if each.after}
    assert len(wanted) >= 5
    assert wanted <= cells


@pytest.mark.parametrize("name", STORED)
def test_figures_are_quiet_accessible_and_fit_a_phone(figure, name) -> None:
    page = figure(name, viewport=NARROW)
    page.locator(".play-canvas svg, .play-confusion").first.wait_for()
    sizes = page.eval_on_selector_all(
        ".play svg text", "all => all.map(each => parseFloat(getComputedStyle(each).fontSize))"
    )
    assert min(sizes, default=10) >= 10
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert not page.errors  # before axe
    assert not serious(page)


@pytest.mark.parametrize("name", STORED)
def test_figures_are_worked_by_keyboard(figure, name) -> None:
    page = figure(name)
    for slider in page.locator(".play-slider:visible input").all():
        if slider.get_attribute("max") == "0":
            continue
        key = "ArrowLeft" if slider.input_value() == slider.get_attribute("max") else "ArrowRight"
        before, said = slider.get_attribute("aria-valuetext"), page.locator(".play-says").inner_text()
        slider.focus()
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") != before
        words = page.locator(".play-place").inner_text()
        assert page.locator(".play-says").inner_text() != said or slider.get_attribute("aria-valuetext") in words
    for choice in page.locator(".play-choice").all():
        if choice.locator("input:enabled").count() > 1:
            choice.locator("input:checked").focus()
            page.keyboard.press("ArrowRight")
    assert not page.errors


def test_without_javascript_a_figure_stays_hidden(figure) -> None:
    page = figure("schedules", java_script_enabled=False)
    assert not page.locator("figure.play").is_visible()


NAMES = (ConstantLR, CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR, StepLR)


@pytest.mark.parametrize(
    ("schedule", "warmup", "decay"),
    [
        ("constant", 0, 1),
        ("constant", 7, 0.6),
        ("StepLR", 12, 0.5),
        ("cosine", 10, 0.6),
        ("one-cycle", 30, 0.3),
        ("one-cycle", 0, 0.9),
    ],
)
def test_schedules_are_those_of_pytorch(figure, schedule, warmup, decay) -> None:
    page = figure("schedules")
    pick(page, schedule)
    page.get_by_label("Warm-up").fill(str(warmup))
    page.get_by_label("Layer decay").fill(str([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3].index(decay)))
    model = replace_head(load_backbone("embedded"), 8)
    scope = {each.__name__: each for each in NAMES} | {
        "torch": torch,
        "parameter_groups": parameter_groups,
        "model": model,
    }
    exec(page.locator(".play-code").inner_text(), scope)
    theirs = []
    for _ in range(100):
        theirs.append([group["lr"] for group in scope["optimizer"].param_groups])
        scope["optimizer"].step()
        scope["scheduler"].step() if len(theirs) < 100 else None
    ours = page.evaluate("document.querySelector('.play-place').rates")
    assert torch.allclose(torch.tensor(ours).double().T, torch.tensor(theirs).double(), rtol=1e-6, atol=1e-12)


def runs(**wanted: object) -> list[dict]:
    return [run for run in json.loads(figure_data.MEASURED.read_text())["runs"] if wanted.items() <= run.items()]


@pytest.mark.skipif("probe" not in STORED, reason="not measured yet")
def test_probes_show_what_is_stored(figure) -> None:
    page = figure("probe")
    pick(page, "drawn slides")
    rows = {row[0]: row[1:] for row in numbers(page)}
    for place, weights in enumerate(("pretrained", "random")):
        stored = [run["stages"] for run in runs(figure="probe", target="slides", weights=weights)]
        for stage, row in rows.items():
            assert shows(row[place], [each[stage] for each in stored])


@pytest.mark.skipif("images" not in STORED, reason="not measured yet")
def test_more_images_show_what_is_stored(figure) -> None:
    page = figure("images")
    stored = [run["accuracy"] for run in runs(figure="images", target="flowers", weights="pretrained")]
    for row, values in zip(numbers(page), zip(*stored, strict=True), strict=True):
        assert shows(row[1], values)
    page.get_by_role("slider").fill("0")
    assert page.locator(".play-says").inner_text().startswith("1 image per class:")


@pytest.mark.skipif("rate" not in STORED, reason="not measured yet")
def test_rates_show_their_own_runs(figure) -> None:
    page = figure("rate")
    page.get_by_role("slider").fill(str(len(DATA["rate"]["rates"]) - 1))
    assert "At 1, training everything" in page.locator(".play-says").inner_text()
    assert shows(numbers(page)[-1][1], [run["test"] for run in runs(figure="rate", part="all", lr=1.0)])


@pytest.mark.skipif("timeline" not in STORED, reason="not measured yet")
def test_timelines_show_what_is_stored(figure) -> None:
    page = figure("timeline")
    pick(page, "LP-FT")
    stored = runs(figure="timeline", target="flowers", strategy="LP-FT")
    new, old = (list(zip(*(run[key] for run in stored), strict=True)) for key in ("test", "source"))
    for epoch, row in enumerate(numbers(page)):
        assert shows(row[1], new[epoch])
        assert shows(row[2], old[epoch])
    page.get_by_role("slider").fill("3")
    assert "Only the head learns in this epoch" in page.locator(".play-says").inner_text()


def test_every_place_of_the_grid_gives_its_advice(figure) -> None:
    grid, page = load_grid(), figure("strategies")
    for target in figure_data.strategies_data()["targets"]:
        sizes = sorted({cell.per_class for cell in grid.cells if cell.target == target["name"]})
        if not sizes:
            continue
        pick(page, figure_data.BACKBONES[target["backbone"]])
        pick(page, f"{target['title']}, {target['domain']}")
        for place, size in enumerate(sizes):
            page.get_by_role("slider").fill(str(place))
            advice = advise(grid.of(target["name"], size))
            said = page.locator(".play-says strong").inner_text()
            assert said == advice.cheapest.strategy
            assert {row[0] for row in numbers(page)} == set(grid.of(target["name"], size))


def test_a_grid_with_gaps_says_what_is_missing() -> None:
    def cell(strategy: str, *test: float) -> Cell:
        return Cell("flowers", 10, strategy, 1e-3, 40, test, (1.0,) * len(test))

    about = {"classes": 10, "chance": 0.1, "backbone": "embedded"}
    cells = (cell("a", 0.5, 0.6, 0.55), cell("b", 0.8, 0.9, 0.85))
    found = figure_data.place_data(Grid(("a", "b", "c"), {"flowers": about}, cells), "flowers", 10)
    assert [(row["name"], row["status"]) for row in found["rows"]] == [("b", "best"), ("a", "worse")]
    assert (found["advice"], found["missing"]) == ("b", ["c"])


def test_findings_are_filtered(show) -> None:
    page = show(f"<div>{''.join(findings.table())}</div>", "figures", "findings")
    every = len(findings.all_findings())
    assert page.locator(".findings-found").inner_text() == f"{every} of {every} findings"
    page.get_by_label("Severity").select_option("error")
    page.get_by_label("Accuracy lost").select_option("5")
    codes = page.locator("table.findings tbody tr:visible code").all_inner_texts()
    checks = {code: severity for code, severity, _, _ in findings.all_findings()}
    costly = [code for code in checks if checks[code] == "error" and (findings.lost(code) or 0) >= 5]
    assert costly
    assert set(costly) <= set(codes)
    page.get_by_label("Words").fill("no such words")
    assert page.locator(".findings-found").inner_text().startswith("0 of")
    assert not page.errors


def test_a_term_says_what_it_means(show) -> None:
    meaning = terms.read_terms(ROOT / "book" / "glossary.md")["backbone"]
    assert meaning.startswith("The pretrained part of a network")
    link = f'<p>The <a href="#" title="{meaning}"><span class="std-term">backbone</span></a> stays.</p>'
    page = show(link, "terms", viewport=NARROW)
    page.keyboard.press("Tab")
    assert page.get_by_role("tooltip").inner_text() == meaning
    assert page.locator("a").get_attribute("aria-describedby") == "term-means"
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.keyboard.press("Escape")
    assert not page.get_by_role("tooltip").is_visible()


CELL = """
claim("Better.", compare(a, b).better_by(0.1), "x")
claim("Close.", compare(a, b).within(M))
claim("Low.", interval(a).below(half))
"""


def test_claims_are_drawn_with_the_margin_of_their_cell() -> None:
    assert claims.read_margins(CELL) == {"Better.": ("better_by", 0.1)}
    evidence = "better: 77.7 % against 49.3 %, +28.4 ± 2.8 points, 5 paired seeds; seeds vary images"
    measured, besides = claims.Claim("Better.", evidence, "", "", "", ("better_by", 0.1)).measured
    assert (
        measured.words == "77.7 % against 49.3 %: 28.4 points more (95 % interval 25.6 to 31.2), from 5 pairs of runs"
    )
    assert measured.zone == (10, float("inf"))
    assert besides == "seeds vary images"
    assert "above 10" in claims.draw(measured, "wide")


def test_claims_of_the_lessons_are_nearly_all_drawn() -> None:
    found = [claim for notebook in (ROOT / "notebooks").glob("*.ipynb") for claim in claims.read_claims(notebook)]
    paired = [claim for claim in found if "paired seeds" in claim.evidence]
    assert paired
    assert all(claim.measured[0] for claim in paired if claim.evidence.startswith(("better:", "worse:", "not dist")))
