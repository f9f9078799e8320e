"""The grid of strategies: what is measured next, what survives a stop, the rule of the advice, the textbook's lines."""

import json
from itertools import product
from pathlib import Path

import pytest

from course.strategy_table import (
    Cell,
    Grid,
    accuracy_table,
    advice_table,
    advise,
    forgetting_table,
    load_grid,
    missing_table,
)
from course.strategy_textbook import EQUAL, FAILS, HOLDS, UNKNOWN, textbook, textbook_table
from data.workshop import grid as workshop
from data.workshop.grid_runs import SEEDS, STRATEGIES, TARGETS, TUNING, draw, run
from helpers.errors import HelpersError

SPREAD = (-0.02, -0.01, 0.0, 0.01, 0.02)
TARGETS_SHOWN = {name: {"classes": 10, "chance": 0.1, "about": name} for name in ("flowers", "slides")}


def cell(strategy: str, accuracy: float, seconds: float = 10, per_class: int = 10, target: str = "flowers") -> Cell:
    """With five seeds; the order of the deviations differs by strategy, as it does between real runs."""
    turn = sum(map(ord, strategy)) % 5
    test = tuple(accuracy + each for each in SPREAD[turn:] + SPREAD[:turn])
    return Cell(target, per_class, strategy, 1e-3, 60, test, (seconds,) * 5)


def place(accuracies: dict[str, float], **where) -> tuple[Cell, ...]:
    """All strategies at one place; those not named reach 50 %."""
    return tuple(cell(name, accuracies.get(name, 0.5), **where) for name in STRATEGIES)


def grid_of(*cells: Cell) -> Grid:
    return Grid(tuple(STRATEGIES), TARGETS_SHOWN, cells, (("slides", 5, "LP-FT"),))


def test_the_advice_is_the_cheapest_of_what_cannot_be_told_from_the_best() -> None:
    measured = [cell("fine-tuning", 0.90, 30), cell("LP-FT", 0.895, 20), cell("feature extraction", 0.80, 1)]
    found = advise({each.strategy: each for each in measured})
    assert found.best.strategy == "fine-tuning"
    assert [each.strategy for each in found.equal] == ["LP-FT", "fine-tuning"]
    assert found.cheapest.strategy == "LP-FT"
    with pytest.raises(HelpersError, match="nothing is measured"):
        advise({})


def test_pairing_by_seed_decides_what_is_equal() -> None:
    """Always one point worse with the same seed is worse, however far seeds lie apart."""
    best = Cell("flowers", 10, "a", 1e-3, 60, (0.5, 0.6, 0.7, 0.8, 0.9), (10.0,) * 5)
    worse = Cell("flowers", 10, "b", 1e-3, 60, (0.49, 0.591, 0.689, 0.79, 0.89), (1.0,) * 5)
    assert [each.strategy for each in advise({"a": best, "b": worse}).equal] == ["a"]


def test_the_textbook_is_tested_line_by_line() -> None:
    grid = grid_of(
        *place({"feature extraction": 0.8}, per_class=10),
        *place({"feature extraction": 0.8}, per_class=50),
        *place({"LP-FT": 0.9, "gradual unfreezing": 0.7}, per_class=100),
        *place({"fine-tuning": 0.9}, per_class=10, target="slides"),
    )
    verdicts = [line.verdict for line in textbook(grid)]
    # under 1,000: better on flowers, worse on slides; at 1,000: LP-FT beats gradual unfreezing; over 10,000: not there
    assert verdicts[:3] == [FAILS, FAILS, UNKNOWN]
    assert verdicts[3:] == [FAILS, HOLDS]  # near: LP-FT wins at 100 per class; far: fine-tuning wins
    first = textbook(grid)[0]
    assert first.evidence == "better at 2, worse at 1, not distinguishable at 0 of 3 places"
    assert first.places[("slides", 10)] == FAILS


def test_a_line_that_nothing_speaks_for_or_against_is_not_distinguishable() -> None:
    lines = textbook(grid_of(*place({})))
    assert [line.verdict for line in lines] == [EQUAL, UNKNOWN, UNKNOWN, EQUAL, UNKNOWN]


def test_a_place_counts_once_every_strategy_is_measured_there() -> None:
    grid = grid_of(*place({}), *place({}, per_class=50)[:-1])
    assert grid.places() == [("flowers", 10)]
    assert [row[:2] for row in advice_table(grid).rows] == [("flowers", "10")]


def test_tables_say_what_is_measured_and_what_is_not() -> None:
    grid = grid_of(*place({"LP-FT": 0.9}), cell("LP-FT", 0.95, per_class=50))
    table = accuracy_table(grid, "flowers")
    assert table.header == ("images per class", "10", "50")
    assert ("LP-FT", "90.0 ± 2.0", "95.0 ± 2.0") in table.rows
    assert ("surgical", "50.0 ± 2.0", "–") in table.rows
    assert not forgetting_table(grid, "flowers").rows
    assert missing_table(grid).rows == (("slides", "5"),)
    assert "<td>90.0 ± 2.0</td>" in table._repr_html_()
    assert textbook_table(grid).markdown()[1] == "| --- | --- | --- |"


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(HelpersError, match="make grid"):
        load_grid(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"cells": [')
    with pytest.raises(HelpersError, match=r"half\.json cannot be read as a grid"):
        load_grid(tmp_path / "half.json")


def test_the_shipped_grid_follows_its_own_rules() -> None:
    grid = load_grid()
    assert grid.cells
    assert len({(each.target, each.per_class, each.strategy) for each in grid.cells}) == len(grid.cells)
    for each in grid.cells:
        assert len(each.test) == len(each.seconds) == 5
        assert all(0 <= value <= 1 for value in each.test)
    whole = {tuple(each) for each in workshop.cells()}
    assert {(each.target, each.per_class, each.strategy) for each in grid.cells} | set(grid.missing) == whole
    for place_ in grid.places():
        assert advise(grid.of(*place_)).cheapest.strategy in STRATEGIES


def row(job: workshop.Job, accuracy: float) -> str:
    line = {**job.cell._asdict(), "lr": job.lr, "steps": job.steps, "seed": job.seed, "accuracy": accuracy}
    line |= {"seconds": 1.0, "images": 100, "scored": 50, "source": 0.5, "machine": "m"}
    return json.dumps(line | {"protocol": workshop.protocol(job.cell.target)}) + "\n"


def test_a_grid_goes_on_after_a_stop_even_within_a_line(tmp_path: Path) -> None:
    kept, results = tmp_path / "grid.jsonl", tmp_path / "grid.json"
    first = workshop.cells()[0]
    jobs = workshop.tuning(first)
    assert len(jobs) == 4
    assert workshop.missing(first, {}) == jobs
    kept.write_text("".join(row(job, 0.5 + i / 10) for i, job in enumerate(jobs[:3])) + row(jobs[3], 0.9)[:40])
    assert workshop.missing(first, workshop.read(kept, results)) == jobs[3:]
    kept.write_text("".join(row(job, 0.5 + i / 10) for i, job in enumerate(jobs)))
    tested = workshop.missing(first, workshop.read(kept, results))
    assert tested == [jobs[3]._replace(seed=seed) for seed in SEEDS]

    with kept.open("a") as file:
        file.writelines(row(job, 0.7) for job in tested)
    workshop.write(results, workshop.read(kept, results))
    kept.unlink()
    assert workshop.missing(first, workshop.read(kept, results)) == []
    grid = load_grid(results)
    assert [tuple(each) for each in grid.missing] == [tuple(each) for each in workshop.cells()[1:]]
    assert grid.cells[0].test == (0.7,) * 5
    before = results.read_text()
    workshop.write(results, workshop.read(kept, results))
    assert results.read_text() == before


def test_every_strategy_is_tuned_over_equally_many_candidates() -> None:
    for target, plan in product(TARGETS.values(), STRATEGIES.values()):
        assert {len(set(plan.candidates(target, size))) for size in (1, 10, 20, 100)} == {4}


def test_missing_photos_are_told_in_a_line_and_stop_nothing(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "ants-bees" / "train" / "ants").mkdir(parents=True)
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    lines = []
    workshop.measure(["ants-bees"], tmp_path / "runs" / "grid.jsonl", tmp_path / "grid.json", lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("ants-bees is left out: ")
    assert len(load_grid(tmp_path / "grid.json").missing) == len(workshop.cells())


def test_a_seed_draws_other_training_images_and_the_same_test_images() -> None:
    one, other = draw("slides", 2, 0), draw("slides", 2, 1)
    assert len(one.train) == 8
    assert not one.train.images.equal(other.train.images)
    assert one.test.images.equal(other.test.images)
    assert draw("slides", 1, 0).train.images.equal(one.train.images[:4])


def test_a_run_is_the_same_again_and_tuning_never_sees_the_test() -> None:
    found = [run("slides", 1, "gradual unfreezing", 1e-3, 6, TUNING) for _ in range(2)]
    assert {each["accuracy"] for each in found} == {found[0]["accuracy"]}
    assert found[0]["scored"] == 200  # validation images
    assert found[0]["images"] == 5 * 4  # the head's step is on stored features
    assert found[0]["source"] is None
