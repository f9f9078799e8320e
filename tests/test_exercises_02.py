"""Lesson 2's exercises: each check with the solution, the untouched cell, and plausible wrong answers."""

import pytest
import torch
from torch import nn

from helpers import freeze, head, load_backbone, replace_head, set_trainable
from helpers.lessons.activations import stage_features
from helpers.lessons.exercises import hint, judge
from helpers.lessons.exercises_02 import EXERCISES, last_stage, slides_accuracy


def keep_frozen(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.weight.requires_grad:
            module.eval()


def every_norm(model):
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def freeze_all(model):
    every_norm(model)
    for parameter in model.parameters():
        parameter.requires_grad = False


def set_up():
    model = replace_head(load_backbone("embedded"), 5)
    set_trainable(model, ["fc"])
    return model, torch.optim.Adam(head(model).parameters())


def old_head():
    model = load_backbone("embedded")
    freeze(model)
    return model, torch.optim.Adam(head(model).parameters())


def nothing_frozen():
    model = replace_head(load_backbone("embedded"), 5)
    return model, torch.optim.Adam(model.parameters())


def optimizer_first():
    model = load_backbone("embedded")
    optimizer = torch.optim.Adam(model.fc.parameters())
    freeze(replace_head(model, 5))
    return model, optimizer


def all_frozen():
    model = replace_head(load_backbone("embedded"), 5).requires_grad_(False)
    return model, torch.optim.Adam(head(model).parameters())


def awake():
    model = replace_head(load_backbone("embedded"), 5).requires_grad_(False)
    model.fc.requires_grad_(True)
    return model, torch.optim.Adam(head(model).parameters())


def stage(name):
    return lambda model, images: stage_features(model, images)[name]


RIGHT = {
    "02.1": ["worse"],
    "02.2": [keep_frozen],
    "02.3": [34_186, 34_186.0],
    "02.4": [set_up],
    "02.5": [stage("layer2"), stage("layer3")],
}

WRONG = {
    "02.1": [("better", "few at a time"), ("no difference", "running_mean"), ("Worse", "none of"), (3, "none of")],
    "02.2": [
        (lambda model: None, "running_mean, running_var, num_batches_tracked"),
        (lambda model: model.eval(), "head into eval"),
        (lambda model: model.requires_grad_(False), "had moved"),
        (freeze_all, "froze the head"),
        (every_norm, "whose own weights learn"),
        ("module.eval()", "is a str"),
    ],
    "02.3": [
        (34_048, "biases"),
        (32_896, "first layer alone"),
        (1_290, "second layer alone"),
        (2_570, "linear head"),
        (34_442, "dropout"),
        (40_000, "too many"),
        (7, "too few"),
        ("34186", "is a str"),
    ],
    "02.4": [
        (old_head, "1000 scores"),
        (nothing_frozen, "still learn"),
        (optimizer_first, "not in the optimizer"),
        (all_frozen, "frozen as well"),
        (awake, "would drift"),
        (set_up()[0], "is a ResNet"),
    ],
    "02.5": [
        (last_stage, "Look lower"),
        (lambda model, images: model(images), "wanted"),
        (lambda model, images: images.mean((2, 3)), "wanted"),
        (lambda model, images: images, "(40, D)"),
        (lambda model, images: stage_features(model, images), "(40, D)"),
        ("layer2", "is a str"),
    ],
}


@pytest.mark.parametrize(("key", "answer"), [(key, answer) for key, answers in RIGHT.items() for answer in answers])
def test_a_solution_passes(key, answer) -> None:
    assert judge(key, answer)[0] == "right"


@pytest.mark.parametrize("key", EXERCISES)
def test_an_untouched_cell_is_no_attempt(key) -> None:
    assert judge(key, ...)[0] == "not attempted yet"


@pytest.mark.parametrize(("key", "answer", "part"), [(key, *case) for key, cases in WRONG.items() for case in cases])
def test_a_wrong_answer_is_told_what_is_wrong_with_it(key, answer, part) -> None:
    state, words = judge(key, answer)
    assert state == "not yet"
    assert part in words


def test_every_exercise_has_its_hints(capsys) -> None:
    assert set(EXERCISES) == set(RIGHT) == set(WRONG)
    for key, exercise in EXERCISES.items():
        assert 2 <= len(exercise.hints) <= 3
        hint(key)
    assert capsys.readouterr().out.count("Hint 1 of") == len(EXERCISES)


def test_the_open_exercise_can_be_solved_and_is_not_solved_already() -> None:
    assert slides_accuracy(last_stage) + 0.03 < 0.82 < slides_accuracy(stage("layer2")) - 0.03
