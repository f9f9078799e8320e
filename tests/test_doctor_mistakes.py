"""Every mistake is found under its own code; its corrected counterpart and every correct set-up are clean.

Each is built in one architecture and with one optimizer, in turn; `DOCTOR_MISTAKES=all` builds each in all of them.
"""

import os

import pytest
import torch

from helpers import diagnose
from tests.mistakes import CORRECT, MISTAKES
from tests.mistakes.small import ARCHITECTURES, small_world
from transfer_doctor.catalogue import CHECKS

CASES = []
for number, mistake in enumerate(MISTAKES):
    possible = [name for name in ARCHITECTURES if not mistake.only or name in mistake.only]
    pairs = [(architecture, family) for architecture in possible for family in ("sgd", "adam")]
    if os.environ.get("DOCTOR_MISTAKES") != "all":
        pairs = [(possible[number % len(possible)], ("sgd", "adam")[number % 2])]
    CASES += [pytest.param(mistake, *pair, id="-".join((mistake.name, *pair))) for pair in pairs]


@pytest.fixture(scope="module")
def world():
    made = {}
    return lambda architecture, family: made.setdefault((architecture, family), small_world(architecture, family))


def alarms(diagnosis):
    return {finding.code for finding in diagnosis.findings if finding.severity != "note"}


def check_itself_failed(diagnosis):
    return [reason for reason in diagnosis.not_checked.values() if "this check itself failed" in reason]


@pytest.mark.parametrize(("mistake", "architecture", "family"), CASES)
def test_the_mistake_is_found_and_its_counterpart_is_clean(mistake, architecture, family, world):
    torch.manual_seed(0)
    wrong = diagnose(**mistake.build(world(architecture, family), True).arguments())
    right = diagnose(**mistake.build(world(architecture, family), False).arguments())
    assert mistake.code in wrong.codes, wrong
    assert alarms(wrong) <= {mistake.code}, wrong
    assert mistake.code not in right.codes, right
    assert not alarms(right), right
    assert not check_itself_failed(wrong) + check_itself_failed(right)


@pytest.mark.parametrize("family", ["sgd", "adam"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_rate_too_high_is_found_in_every_architecture(architecture, family, world):
    (mistake,) = [each for each in MISTAKES if each.code == "rate-too-high"]
    wrong, right = (
        diagnose(**mistake.build(world(architecture, family), wrong).arguments()) for wrong in (True, False)
    )
    assert [finding.code for finding in wrong.of("error")] == ["rate-too-high"], wrong
    assert not alarms(right), right


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_set_up_raises_no_alarm(name):
    diagnosis = diagnose(**CORRECT[name]().arguments())
    assert not alarms(diagnosis), diagnosis
    assert not check_itself_failed(diagnosis)


def test_every_check_has_a_mistake():
    without = {"parameters-unused"}
    assert {mistake.code for mistake in MISTAKES} | without == set(CHECKS)
