"""Every mistake of the museum is found under its own code, every repaired twin and every correct set-up is clean."""

import pytest
import torch

from helpers import diagnose
from helpers.doctor.catalogue import CHECKS
from helpers.doctor.museum import CORRECT, EXHIBITS
from helpers.doctor.museum.small import ARCHITECTURES, small_world

CASES = []
for number, exhibit in enumerate(EXHIBITS):
    rooms = [name for name in ARCHITECTURES if not exhibit.only or name in exhibit.only]
    family = ("sgd", "adam")[number % 2]
    CASES.append(
        pytest.param(exhibit, rooms[number % len(rooms)], family, id=f"{exhibit.name}-{rooms[number % len(rooms)]}")
    )


@pytest.fixture(scope="module")
def world():
    made = {}
    return lambda architecture, family: made.setdefault((architecture, family), small_world(architecture, family))


def alarms(diagnosis):
    return {finding.code for finding in diagnosis.findings if finding.severity != "note"}


def check_itself_failed(diagnosis):
    return [reason for reason in diagnosis.not_checked.values() if "this check itself failed" in reason]


@pytest.mark.parametrize(("exhibit", "architecture", "family"), CASES)
def test_the_mistake_is_found_and_its_twin_is_clean(exhibit, architecture, family, world):
    torch.manual_seed(0)
    wrong = diagnose(**exhibit.build(world(architecture, family), True).shown())
    right = diagnose(**exhibit.build(world(architecture, family), False).shown())
    assert exhibit.code in wrong.codes, wrong
    assert alarms(wrong) <= {exhibit.code}, wrong
    assert exhibit.code not in right.codes, right
    assert not alarms(right), right
    assert not check_itself_failed(wrong) + check_itself_failed(right)


@pytest.mark.parametrize("family", ["sgd", "adam"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_rate_too_high_is_found_in_every_architecture(architecture, family, world):
    (exhibit,) = [each for each in EXHIBITS if each.code == "rate-too-high"]
    wrong, right = (diagnose(**exhibit.build(world(architecture, family), wrong).shown()) for wrong in (True, False))
    assert [finding.code for finding in wrong.of("error")] == ["rate-too-high"], wrong
    assert not alarms(right), right


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_set_up_raises_no_alarm(name):
    diagnosis = diagnose(**CORRECT[name]().shown())
    assert not alarms(diagnosis), diagnosis
    assert not check_itself_failed(diagnosis)


def test_every_check_has_an_exhibit():
    without = {"parameters-unused"}
    assert {exhibit.code for exhibit in EXHIBITS} | without == set(CHECKS)
