"""The exercises of all lessons: right answers are recognized, none is a failure, wrong ones are told what is wrong."""

from functools import partial
from importlib import import_module

import pytest
import torch
from torch import nn

from course import check, hint
from course.exercises import FOLDER, judge, lesson_exercises
from helpers.errors import HelpersError
from tests.exercises import later
from tests.exercises.lesson_01 import backbone
from tests.exercises.lesson_02 import stage

LESSONS = sorted(path.stem for path in FOLDER.glob("[0-9][0-9].py"))
ANSWERS = {lesson: import_module(f"tests.exercises.lesson_{lesson}") for lesson in LESSONS}
EXERCISES = {key: one for lesson in LESSONS for key, one in lesson_exercises(lesson).EXERCISES.items()}
RIGHT = [(key, answer) for each in ANSWERS.values() for key, answers in each.RIGHT.items() for answer in answers]
WRONG = [(key, *case) for each in ANSWERS.values() for key, cases in each.WRONG.items() for case in cases]


def judged(key, answer):
    torch.manual_seed(0)
    return judge(key, answer() if isinstance(answer, later) else answer)


@pytest.mark.parametrize(("key", "answer"), RIGHT)
def test_right_answers(key, answer) -> None:
    status, reason = judged(key, answer)
    assert status == "right", reason


@pytest.mark.parametrize(("key", "answer", "reason"), WRONG)
def test_wrong_answers_are_told_what_is_wrong(key, answer, reason) -> None:
    status, text = judged(key, answer)
    assert status == "not yet", text
    assert reason in text


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_exercise_has_ten_wrong_answers_and_two_or_three_hints(lesson) -> None:
    exercises, answers = lesson_exercises(lesson).EXERCISES, ANSWERS[lesson]
    assert answers.RIGHT.keys() == answers.WRONG.keys() == exercises.keys()
    assert min(len(cases) for cases in answers.WRONG.values()) >= 10
    assert all(2 <= len(exercise.hints) <= 3 for exercise in exercises.values())


@pytest.mark.parametrize("key", EXERCISES)
def test_answers_not_attempted_and_hints(key, capsys) -> None:
    hints = EXERCISES[key].hints
    check(key, ...)
    assert "not attempted yet" in capsys.readouterr().out
    for number, text in enumerate(hints, 1):
        hint(key)
        assert capsys.readouterr().out == f"Hint {number} of {len(hints)}: {text}\n"
    hint(key)
    assert capsys.readouterr().out.startswith("Hint 1 of")


def test_an_exercise_that_does_not_exist() -> None:
    with pytest.raises(HelpersError, match=r"01\.1, 01\.2"):
        check("01.99", 1)


def test_an_error_of_the_check_is_not_blamed_on_the_answer(monkeypatch) -> None:
    monkeypatch.setattr(lesson_exercises("01"), "load_backbone", partial(int, "no number"))
    assert judge("01.3", backbone())[0] == "could not be checked"


def test_the_open_exercise_of_lesson_2_can_be_solved_and_is_not_solved_already() -> None:
    accuracy = lesson_exercises("02").slides_accuracy
    assert accuracy(stage("layer4"), "val") + 0.02 < 0.82 < accuracy(stage("layer2"), "val") - 0.02


def moved(kind, options, trained_before, clear) -> bool:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = kind(net.parameters(), lr=0.01, **options)
    for frozen in [False, True] if trained_before else [True]:
        net[0].requires_grad_(not frozen)
        before = net[0].weight.detach().clone()
        if clear != "never" or not frozen:
            optimizer.zero_grad(set_to_none=clear != "zeros")
        net(torch.ones(8, 4)).square().sum().backward()
        optimizer.step()
    return not torch.equal(net[0].weight, before)


def test_the_weights_of_exercise_4_in_lesson_3_move_as_its_answer_says() -> None:
    sgd, adamw = torch.optim.SGD, torch.optim.AdamW
    cases = {
        "a": (sgd, {"momentum": 0.9}, True, "none"),
        "b": (sgd, {"momentum": 0.9}, True, "zeros"),
        "c": (adamw, {"weight_decay": 0.1}, False, "none"),
        "d": (adamw, {"weight_decay": 0.1}, True, "zeros"),
        "e": (sgd, {}, True, "never"),
        "f": (sgd, {"weight_decay": 0.1}, False, "none"),
    }
    assert [name for name, case in cases.items() if moved(*case)] == ["b", "d", "e"]
