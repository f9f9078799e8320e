"""The cheat sheet: strategies, rates, schedules, sizes and costs on one page, read from code and measurements."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course.strategy_table import GRID, Grid, advise, load_grid
from course_site.doctor import COSTS
from course_site.mistakes import read_mistakes, title
from helpers.training.strategies import SCHEDULES, STRATEGIES, Phase

HELPERS = Path(__file__).parents[3] / "helpers"
LOOP, EMBEDDED = HELPERS / "training" / "loop.py", HELPERS / "models" / "embedded.py"
LESSONS = {
    "feature-extraction": "02_feature_extraction",
    "fine-tuning": "03_fine_tuning",
    "discriminative": "04_discriminative_rates",
    "gradual-unfreezing": "05_gradual_unfreezing",
    "lp-ft": "05_gradual_unfreezing",
    "from-scratch": "01_concept",
}
NAMES = {name: name.replace("-", " ") for name in ("feature-extraction", "gradual-unfreezing", "from-scratch")}
NAMES["lp-ft"] = "LP-FT"
CLASSES = {"constant": "ConstantLR", "step": "StepLR", "cosine": "CosineAnnealingLR", "one-cycle": "OneCycleLR"}
WORST = 6  # mistakes on the sheet


def setup(app: Sphinx) -> None:
    """Offer the directive `cheat-sheet`."""
    app.add_directive("cheat-sheet", CheatSheet)


class CheatSheet(SphinxDirective):
    """The whole sheet as boxes in a grid; it fits on a printed page."""

    def run(self) -> list[nodes.Node]:
        """Write the boxes."""
        for file in (GRID, COSTS, LOOP, EMBEDDED, HELPERS / "training" / "strategies.py"):
            self.env.note_dependency(str(file))
        boxes = (_which(load_grid()), _layers(), _rates(), _schedules(), _sizes(), _steps(), _costs())
        return [nodes.raw("", f'<div class="cheat">{"".join(boxes)}</div>', format="html")]


def _box(name: str, heading: str, body: str, link: str) -> str:
    return f'<div class="box {name}"><h2><a href="{link}">{heading}</a></h2>{body}</div>'


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>' for first, *rest in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _which(grid: Grid) -> str:
    """The advice for each target and number of images that is measured."""
    sizes = sorted({size for _, size in grid.places()})
    targets = [target for target in grid.targets if grid.places(target)]
    if not sizes:
        body = "<p>Nothing is measured yet: try feature extraction first, then fine-tuning, and compare.</p>"
        return _box("which", "Which strategy?", body, "strategies.html")
    rows = [(f"{size}", *(_advised(grid, target, size) for target in targets)) for size in sizes]
    about = "; ".join(f"{target}: {escape(grid.targets[target]['about'])}" for target in targets)
    words = (
        f"<p>The cheapest strategy that could not be told from the best, and its test accuracy. {about[0].upper()}"
        f"{about[1:]}.</p>"
    )
    return _box(
        "which", "Which strategy?", _table(("images per class", *targets), rows) + words, "strategies.html#the-advice"
    )


def _advised(grid: Grid, target: str, size: int) -> str:
    if (target, size) not in grid.places(target):
        return "–"
    cell = advise(grid.of(target, size)).cheapest
    return f"{escape(cell.strategy)} <small>{100 * mean(cell.test):.0f}&nbsp;%</small>"


def _layers() -> str:
    """What each strategy trains, phase by phase."""
    rows = []
    for name, make in STRATEGIES.items():
        link = f'<a href="../notebooks/{LESSONS[name]}.html">{NAMES.get(name, name)}</a>'
        rows.append((link, "; then ".join(map(_trained, make()))))
    return _box("layers", "What to train", _table(("strategy", "trains"), rows), "reference.html#helpers.Phase")


def _trained(phase: Phase) -> str:
    part = f"last {phase.trainable}" if isinstance(phase.trainable, int) else phase.trainable
    return f"{part} <small>{phase.epochs}&nbsp;epochs</small>"


def _rates() -> str:
    """The rates with which `fit` begins."""
    rows = []
    for name, make in STRATEGIES.items():
        *_, last = phases = make()
        head = phases[0].lr if phases[0].trainable == "head" else last.head_lr or last.lr
        body = "–" if last.trainable == "head" else f"{last.lr:g}"
        factor = f" × {last.layer_decay:g} per stage" if last.layer_decay < 1 else ""
        rows.append((NAMES.get(name, name), f"{head:g}", body + factor))
    settings = _defaults(LOOP, "Settings")
    words = (
        f"<p>{settings['optimizer'].replace('adamw', 'AdamW')}, weight decay {settings['weight_decay']:g} (norms and "
        f"biases: none), batches of {settings['batch_size']}, label smoothing {settings['label_smoothing']:g}, "
        f'{settings["augment"]} augmentation. Not sure? <a href="reference.html#helpers.find_lr">find_lr</a>.</p>'
    )
    return _box("rates", "Rates to start with", _table(("", "new head", "pretrained"), rows) + words, "strategies.html")


def _schedules() -> str:
    """What the docstring of `Phase` says of each schedule, and PyTorch's name for it."""
    told = dict(re.findall(r'`"([\w-]+)"`(?: \(([^;)]+))?', re.sub(r"\s+", " ", Phase.__doc__.split("schedule:")[1])))
    rows = [(name, told.get(name) or "one rate throughout", f"<code>{CLASSES[name]}</code>") for name in SCHEDULES]
    words = "<p>Make all parameter groups first, then the scheduler; step it once per batch.</p>"
    return _box(
        "schedules",
        "Schedules",
        _table(("", "the rate", "PyTorch"), rows) + words,
        "../notebooks/04_discriminative_rates.html#rates-over-time",
    )


def _sizes() -> str:
    """How the networks that come with the course want their images."""
    embedded = _call(EMBEDDED, "PREPROCESSING")
    rows = [("embedded", f"{embedded['image_size']} px", f"mean {embedded['mean'][0]}, std {embedded['std'][0]}")]
    rows += list(_packaged())
    words = (
        "<p>Every weights file has its own: <code>model.preprocessing</code>, <code>weights.transforms()</code> or "
        "<code>timm.data.resolve_data_config</code>. Training and use must agree.</p>"
    )
    return _box("sizes", "Image sizes", _table(("network", "size", "normalized by"), rows) + words, "reference.html")


def _packaged() -> Iterator[tuple[str, ...]]:
    """EfficientNet-Lite, as timm's own configuration has it; read without PyTorch."""
    place = Path(find_spec("timm").origin).parent / "models" / "efficientnet.py"
    text = place.read_text(encoding="utf-8")
    for number in range(3):
        entry = re.search(rf"'tf_efficientnet_lite{number}\.in1k': _cfg\((.*?)\n    \),", text, re.DOTALL)[1]
        size = re.search(r"input_size=\(3, (\d+)", entry)
        means = re.search(r"mean=\(([\d.]+)", entry)
        if means:
            yield f"efficientnet_lite{number}", f"{size[1] if size else 224} px", f"mean {means[1]}, std {means[1]}"


def _steps() -> str:
    """The order of work, each step with the place that teaches it."""
    steps = (
        ("Look at the images; split them; no copies across splits", "doctor.html#split-overlap"),
        ("Train a head on stored features", "../notebooks/02_feature_extraction.html"),
        ("Ask the doctor, before you train longer", "doctor.html"),
        ("Fine-tune: low rate, fast head, a few candidates", "../notebooks/03_fine_tuning.html"),
        ("Choose on validation images, with several seeds", "../notebooks/03_fine_tuning.html"),
        ("Test once", "claims.html"),
    )
    items = "".join(f'<li><a href="{link}">{text}</a></li>' for text, link in steps)
    return _box("steps", "In this order", f"<ol>{items}</ol>", "index.html")


def _costs() -> str:
    """The mistakes that cost most."""
    worst = [mistake for mistake in read_mistakes() if mistake.group == "lower"][:WORST]
    rows = [
        (f'<a href="mistakes.html#mistake-{each.check.code}">{title(each)}</a>', f"\u2212{each.lost:.0f}")
        for each in worst
    ]
    return _box("costs", "What costs most", _table(("mistake", "points"), rows), "mistakes.html")


def _defaults(file: Path, name: str) -> dict[str, Any]:
    """The defaults of a dataclass in a module that is not imported."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.target.id: ast.literal_eval(node.value) for node in body if isinstance(node, ast.AnnAssign)}


def _call(file: Path, name: str) -> dict[str, Any]:
    """The keyword arguments of the call that a constant of a module is made by."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    call = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == name)
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
