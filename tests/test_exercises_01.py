"""The exercises of lesson 1: right answers, none, and plausible wrong ones."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from course import check, hint
from course.exercises import judge, lesson_exercises
from helpers import load_backbone, replace_head, set_trainable
from helpers.errors import HelpersError

EXERCISES = lesson_exercises("01").EXERCISES
cosine = nn.functional.cosine_similarity


def backbone(trainable=("layer4", "fc"), classes=6, weights="DEFAULT"):
    model = replace_head(load_backbone("embedded", weights=weights), classes)
    set_trainable(model, list(trainable))
    return model


def by_hand():
    model = replace_head(load_backbone("embedded"), 6).requires_grad_(False)
    model.layer4.requires_grad_(True)
    model.fc.requires_grad_(True)
    return model


def half_a_stage():
    model = backbone()
    next(model.layer4.parameters()).requires_grad = False
    return model


def only_the_attribute():
    model = load_backbone("embedded")
    model.fc.out_features = 6
    set_trainable(model, ["layer4", "fc"])
    return model


def trained_already():
    model = backbone()
    model.train()(torch.rand(4, 3, 64, 64))
    model.layer4[0].conv1.weight.data += 0.01
    return model


def finding(**changes):
    given = {"task": "slides", "classes": 4, "train_per_class": 10, "earlier": "layer3", "later": "layer4"}
    return {key: value for key, value in (given | changes).items() if value is not None}


def nearest(query, features):
    return int(cosine(query[None], features, dim=1).argmax())


def broken(query, features):
    return features.nearest(query)


def divided(query, features):
    return 1 // 0


RIGHT = {
    "01.1": [11_181_642, 11_181_642.0, np.int64(11_181_642), torch.tensor(11_181_642), "11,181,642"],
    "01.2": [2_457_600, torch.tensor([2_457_600]), " 2457600 "],
    "01.3": [backbone, by_hand],
    "01.4": [
        lambda: nearest,
        lambda: lambda query, features: (nn.functional.normalize(features, dim=1) @ query).argmax(),
        lambda: lambda query, features: np.argmax(cosine(query[None], features, dim=1).numpy()),
    ],
    "01.5": [finding, lambda: finding(task=" Slides ", earlier="Layer 3")],
}

WRONG = {
    "01.1": [
        (11_181_632, "bias"),
        (5_130, "add the body"),
        (5_120, "add its biases"),
        (11_176_512, "body alone"),
        (11_177_538, "for two classes"),
        (11_182_668, "old head"),
        (11_689_512, "thousand"),
        (11.181642, "not millions"),
        (11_181_643, "1 too many"),
        (10, "too few"),
        ("many", "this is a str"),
        ([11_181_642], "this is a list"),
        (None, "None"),
    ],
    "01.2": [
        (2_400, "those are the weights"),
        (2_464, "those are the parameters"),
        (9_830_400, "stride 2"),
        (614_400, "max pooling"),
        (8_640_000, "60 × 60"),
        (76_800, "there are 32"),
        (4_915_200, "count as one"),
        (819_200, "three colors"),
        (491_520, "25 weights"),
        (2_457_601, "2,457,601 is not it"),
        (1_000, "1,000 is not it"),
        ("2.4 million", "this is a str"),
    ],
    "01.3": [
        (lambda: backbone(("stem", "layer1", "layer2", "layer3", "layer4", "fc")), "stem, layer1"),
        (lambda: backbone(("fc",)), "fc can learn"),
        (lambda: backbone(("layer4",)), "layer4 can learn"),
        (lambda: backbone(("layer3", "fc")), "layer3, fc can learn"),
        (lambda: backbone(classes=1000), "1000 scores"),
        (lambda: backbone(classes=4), "4 scores"),
        (only_the_attribute, "1000 scores"),
        (lambda: backbone(weights=None), "not what was pretrained"),
        (trained_already, "not what was pretrained"),
        (lambda: backbone().requires_grad_(False), "nothing is trainable"),
        (half_a_stage, "only a part of layer4"),
        (lambda: load_backbone("squeezenet1_1", weights=None), "its stages are"),
        (lambda: resnet18(num_classes=6), "not what was pretrained"),
        ("layer4", "this is a str"),
    ],
    "01.4": [
        (lambda: lambda query, features: int((features @ query).argmax()), "long"),
        (lambda: lambda query, features: int((features - query).norm(dim=1).argmin()), "distance"),
        (lambda: lambda query, features: int(cosine(query[None], features, dim=1).argmin()), "opposite"),
        (lambda: lambda query, features: int((-cosine(query[None], features, dim=1)).argmax()), "opposite"),
        (lambda: lambda query, features: (features @ query / features.square().sum(1)).argmax(), "square root"),
        (lambda: lambda query, features: (features @ query).abs().argmax(), "long"),
        (lambda: lambda query, features: features @ query, "a Tensor"),
        (lambda: lambda query, features: cosine(query[None], features, dim=1).max(), "row 1"),
        (lambda: lambda query, features: cosine(query[None], features, dim=1).min(), "index of one row"),
        (lambda: lambda query, features: features[2], "a Tensor"),
        (lambda: lambda query, features: 0, "whatever the rows are"),
        (lambda: lambda query, features: features.argmax(), "index of one row"),
        (lambda: lambda query, features: print(end=""), "does your function return something"),
        (lambda: lambda query: 0, "calling it failed"),
        (lambda: broken, "`return features.nearest(query)`"),
        (lambda: divided, "ZeroDivisionError"),
        (7, "this is an int"),
    ],
    "01.5": [
        ({"task": "slides"}, "lacks classes, train_per_class, earlier, later"),
        (lambda: finding(task="ants"), "not drawn here"),
        (lambda: finding(earlier="layer5"), "no stage"),
        (lambda: finding(later="fc"), "no stage"),
        (lambda: finding(earlier="layer2"), "does not come right after"),
        (lambda: finding(earlier="layer4", later="layer3"), "does not come right after"),
        (lambda: finding(later="layer3"), "does not come right after"),
        (lambda: finding(classes=9), "2 to 4"),
        (lambda: finding(train_per_class=0), "at least one"),
        (lambda: finding(train_per_class=500), "too long"),
        (lambda: finding(classes="all"), "this is a str"),
        (lambda: finding(earlier="stem", later="layer1"), "on validation images stem is"),
        (lambda: finding(earlier=3), "this is an int"),
        ("layer3", "this is a str"),
    ],
}


def made(answer):
    return answer() if callable(answer) else answer


@pytest.mark.parametrize(("key", "answer"), [(key, answer) for key, answers in RIGHT.items() for answer in answers])
def test_right_answers(key, answer) -> None:
    status, reason = judge(key, made(answer))
    assert status == "right", reason


@pytest.mark.parametrize(("key", "answer", "reason"), [(key, *case) for key, cases in WRONG.items() for case in cases])
def test_wrong_answers_are_told_what_is_wrong(key, answer, reason) -> None:
    torch.manual_seed(0)
    status, text = judge(key, made(answer))
    assert status == "not yet", text
    assert reason in text


def test_every_exercise_is_tested_with_ten_wrong_answers() -> None:
    assert RIGHT.keys() == WRONG.keys() == EXERCISES.keys()
    assert min(len(cases) for cases in WRONG.values()) >= 10


def test_answers_not_attempted_and_hints(capsys) -> None:
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


def test_an_error_of_the_check_is_not_blamed_on_the_answer(monkeypatch) -> None:
    monkeypatch.setattr(lesson_exercises("01"), "load_backbone", partial(int, "no number"))
    assert judge("01.3", backbone())[0] == "could not be checked"
