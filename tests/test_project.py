"""The flowers project of lesson 7: its planted faults, the search for copies, and the record of what was measured."""

import json

import pytest
import torch

from course.project import MEASURED, drawn_task, load_measured, plant, shared_images
from data.workshop.project import PLAN, SEEDS, SETUPS, TUNING, Job, missing, protocol, read, write
from drawn import flowers
from helpers.errors import HelpersError


@pytest.fixture(scope="module")
def task():
    return drawn_task(flowers.SPECIES, flowers.draw, train_per_class=2, val_per_class=1, test_per_class=1, size=48)


def test_planted_faults_are_as_many_as_asked_for_and_can_be_mended(task) -> None:
    project = plant(task, odd=0.25, copies=3)
    assert len(task.classes) == 24
    assert len(project.odd) == 12
    assert len(project.task.train) == 48 + 3
    assert project.mended(project.odd).odd == []
    assert torch.equal(project.truth[:48], task.train.labels)
    assert plant(task, odd=0.25, seed=1).odd != project.odd


def test_copies_in_two_splits_are_found_and_no_others(task) -> None:
    project = plant(task, odd=0.0, copies=4)
    leaks = shared_images(project.task.train, project.task.test)
    assert tuple(ours for ours, _ in leaks) == project.copies
    rest = project.without(project.copies)
    assert shared_images(rest.task.train, rest.task.test) == []
    assert torch.equal(rest.truth, task.train.labels)


def rows(setup, switch, seeds, lr=3e-4):
    jobs = [Job(setup, switch, lr, seed) for seed in seeds]
    return {job: job._asdict() | {"accuracy": job.seed / 2000, "protocol": protocol(job)} for job in jobs}


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path) -> None:
    kept, results = tmp_path / "kept.jsonl", tmp_path / "project.json"
    assert [job.seed for job in missing("embedded", "crop", {})] == [TUNING, TUNING]
    runs = rows("embedded", "nothing", [TUNING]) | rows("embedded", "nothing", [TUNING], 1e-3)
    runs |= rows("embedded", "nothing", SEEDS) | rows("embedded", "crop", SEEDS[:2])
    write(results, runs)
    done = rows("embedded", "crop", SEEDS[2:3])
    kept.write_text("\n".join(map(json.dumps, done.values())) + '\n{"setup": "embedded", "swi')
    found = read(kept, results)
    assert found.keys() == runs.keys() | done.keys()
    assert [job.seed for job in missing("embedded", "crop", found)] == list(SEEDS[3:])
    assert missing("embedded", "nothing", found) == []
    measured = load_measured(results)
    assert measured.of("embedded") == {"nothing": tuple(seed / 2000 for seed in SEEDS)}
    assert len(measured.missing) == len(PLAN) - 1


def test_what_is_stored_is_whole_seeds_of_the_plan() -> None:
    measured = load_measured()
    assert {*measured.accuracy, *measured.missing} == set(PLAN)
    assert measured.setups.keys() == SETUPS.keys()
    assert {len(values) for values in measured.accuracy.values()} == {len(SEEDS)}


def test_a_file_that_is_missing_or_damaged(tmp_path) -> None:
    with pytest.raises(HelpersError, match="make project"):
        load_measured(tmp_path / "none.json")
    damaged = tmp_path / "damaged.json"
    damaged.write_text(MEASURED.read_text(encoding="utf-8")[:40])
    with pytest.raises(HelpersError, match="measure it again"):
        load_measured(damaged)
