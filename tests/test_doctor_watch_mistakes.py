"""Each wrong loop gives its finding and no other; its right counterpart, and every correct loop, gives none."""

import pytest

from tests.mistakes import (  # noqa: F401
    loops_correct_methods,
    loops_correct_steps,
    loops_correct_styles,
    loops_data,
    loops_modes,
    loops_schedule,
    loops_steps,
    loops_weights,
)
from tests.mistakes.loops_register import CORRECT, LOOPS
from transfer_doctor.watching.catalogue import CHECKS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning"),
    pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning"),
]


def alarms(diagnosis):
    return {finding.code for finding in diagnosis if finding.severity != "note"}


def failures(seen):
    return [r for r in seen.diagnosis.not_checked.values() if "itself failed" in r] + list(seen.record.failures.items())


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_the_wrong_loop_is_found(loop):
    seen = loop.run(True)
    assert loop.code in seen.diagnosis.codes, seen
    assert alarms(seen.diagnosis) <= {loop.code, *loop.also}, seen
    assert not failures(seen)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_its_right_counterpart_gives_no_alarm(loop):
    seen = loop.run(False)
    assert not alarms(seen.diagnosis), seen
    assert loop.code not in seen.diagnosis.codes, seen
    assert not failures(seen)


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_loop_gives_no_alarm(name):
    seen = CORRECT[name]()
    assert not alarms(seen.diagnosis), seen
    assert not failures(seen)


def test_every_check_has_a_wrong_loop():
    assert {loop.code for loop in LOOPS} == set(CHECKS)


def test_every_check_says_how_it_looks_and_what_to_do():
    for code, check in CHECKS.items():
        text = check.function.__doc__
        assert all(f"{part}: " in text for part in ("Symptom", "By hand", "Repair")), code
