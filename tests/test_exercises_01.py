"""The exercises of lesson 1: right answers, none, and plausible wrong ones."""

import pytest
import torch
from torch import nn

from helpers import check, hint, load_backbone, replace_head, set_trainable
from helpers.errors import HelpersError
from helpers.lessons.exercises import judge
from helpers.lessons.exercises_01 import EXERCISES


def backbone(learning=("layer4", "fc"), classes=6):
    model = replace_head(load_backbone("embedded"), classes)
    set_trainable(model, list(learning))
    return model


def half_a_stage():
    model = backbone()
    next(model.layer4.parameters()).requires_grad = False
    return model


def finding(one, other, why="because"):
    return {"one": one, "other": other, "why": why}


RISING, FLAT = [0.8, 0.82, 0.79, 0.81, 0.8], [0.79, 0.83, 0.80, 0.80, 0.81]

RIGHT = {
    "01.1": [lambda: "layer1", lambda: "layer2", lambda: "layer3"],
    "01.2": [lambda: 11_181_642],
    "01.3": [backbone],
    "01.4": [
        lambda: lambda query, features: int(nn.functional.cosine_similarity(query[None], features, dim=1).argmax()),
        lambda: lambda query, features: (nn.functional.normalize(features, dim=1) @ query).argmax(),
    ],
    "01.5": [lambda: finding(RISING, FLAT), lambda: finding([v - 0.2 for v in FLAT], FLAT)],
}

WRONG = {
    "01.1": [
        ("stem", "edges and colors only"),
        ("layer4", "old classes"),
        ("fc", "no stage with features"),
        ("layer 2", "no stage with features"),
        (3, "no stage with features"),
    ],
    "01.2": [
        (11_181_632, "bias"),
        (5_130, "add the body"),
        (11_176_512, "body alone"),
        (11_177_538, "for two classes"),
        (11_182_668, "old head"),
        (11_689_512, "thousand"),
        (11_181_643, "1 too many"),
        ("many", "a str"),
    ],
    "01.3": [
        (lambda: backbone(("stem", "layer1", "layer2", "layer3", "layer4", "fc")), "what learns is stem"),
        (lambda: backbone(("fc",)), "what learns is fc"),
        (lambda: backbone(classes=1000), "1000 scores"),
        (lambda: backbone().requires_grad_(False), "nothing learns"),
        (half_a_stage, "only a part of layer4"),
        (lambda: load_backbone("squeezenet1_1", weights=None), "its stages are"),
        ("layer4", "a str"),
    ],
    "01.4": [
        (lambda: lambda query, features: int((features @ query).argmax()), "long"),
        (lambda: lambda query, features: int((features - query).norm(dim=1).argmin()), "distance"),
        (
            lambda: lambda query, features: int(nn.functional.cosine_similarity(query[None], features, dim=1).argmin()),
            "opposite",
        ),
        (lambda: lambda query, features: features @ query, "one place"),
        (lambda: lambda query, features: 0, "does not point"),
        (7, "a int"),
    ],
    "01.5": [
        ({"one": RISING}, "lacks other, why"),
        (finding(RISING[:3], FLAT[:3]), "3 seeds"),
        (finding([80.0] * 5, FLAT), "from 0 to 1"),
        (finding(RISING, RISING), "the same"),
        (finding(RISING, FLAT, why=" "), "say why"),
        (finding([v + 0.1 for v in FLAT], [v / 2 for v in FLAT]), "still better"),
        (finding(RISING, [*FLAT, 0.8]), "cannot be paired"),
    ],
}


def made(answer):
    return answer() if callable(answer) else answer


@pytest.mark.parametrize(("key", "make"), [(key, make) for key, makes in RIGHT.items() for make in makes])
def test_right_answers(key, make) -> None:
    status, said = judge(key, make())
    assert status == "right", said


@pytest.mark.parametrize(("key", "answer", "reason"), [(key, *case) for key, cases in WRONG.items() for case in cases])
def test_wrong_answers_are_told_what_is_wrong(key, answer, reason) -> None:
    torch.manual_seed(0)
    status, said = judge(key, made(answer))
    assert status == "not yet"
    assert reason in said


def test_every_exercise_is_tested_with_enough_wrong_answers() -> None:
    assert RIGHT.keys() == WRONG.keys() == EXERCISES.keys()
    assert min(len(cases) for cases in WRONG.values()) >= 4


def test_untouched_answers_and_hints(capsys) -> None:
    for key, exercise in EXERCISES.items():
        check(key, ...)
        assert "not attempted yet" in capsys.readouterr().out
        for number, text in enumerate(exercise.hints, 1):
            hint(key)
            assert capsys.readouterr().out == f"Hint {number} of {len(exercise.hints)}: {text}\n"
        hint(key)
        assert capsys.readouterr().out.startswith("Hint 1 of")
    with pytest.raises(HelpersError, match=r"01\.1, 01\.2"):
        check("01.99", 1)
