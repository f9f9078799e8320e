"""The exercises of lesson 1: the concept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.lessons.exercises import Exercise
from helpers.measure import compare
from helpers.models.heads import head
from helpers.models.stages import stages

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
BODY, PER_CLASS, TEN_CLASSES = 11_176_512, 513, 10


def _prediction(answer: str) -> str | None:
    if answer in ("layer1", "layer2", "layer3"):
        return None
    if answer == "stem":
        return (
            "the stem is general enough, but it knows edges and colors only, and tissue differs in texture. One or "
            "two stages further patterns of edges are put together. Look at the line of the slides below."
        )
    if answer == "layer4":
        return (
            "layer4 serves best where the new images are like the old ones. It keeps what told the old classes "
            "apart, and fine texture was not part of that. Look at the line of the slides below."
        )
    return f"{answer!r} is no stage with features for a probe; choose one of {', '.join(STAGES)}."


def _parameters(answer: float) -> str | None:
    right = BODY + PER_CLASS * TEN_CLASSES
    known = {
        BODY + 512 * TEN_CLASSES: "each class has a bias too, besides its 512 weights; add ten.",
        PER_CLASS * TEN_CLASSES: "that is the head alone; add the body.",
        BODY: "that is the body alone; add a head of 512 weights and a bias for each class.",
        BODY + PER_CLASS * 2: "that is still the head for two classes; put one for ten in its place.",
        BODY + PER_CLASS * (TEN_CLASSES + 2): "the old head for two classes is still in it; take its 1,026 away.",
        BODY + PER_CLASS * 1000: "that is the network with ImageNet's thousand classes; the new task has ten.",
    }
    if answer == right:
        return None
    if answer in known:
        return known[answer]
    return (
        f"{answer:,} is {abs(answer - right):,} too {'many' if answer > right else 'few'}; count body and head apart."
    )


def _model(answer: nn.Module) -> str | None:
    if not isinstance(answer, nn.Module):
        raise TypeError("it is no nn.Module")
    parts = stages(answer)
    if [part.name for part in parts] != [*STAGES, "fc"]:
        return f"its stages are {', '.join(part.name for part in parts)}; begin with load_backbone('embedded')."
    outputs = getattr(head(answer), "out_features", None)
    if outputs != 6:
        return f"its head gives {outputs} scores, and the task has six classes; replace_head(model, 6) comes first."
    learning = [part.name for part in parts if any(p.requires_grad for p in part.parameters.values())]
    for part in parts:
        if part.name in learning and not all(p.requires_grad for p in part.parameters.values()):
            return f"only a part of {part.name} learns; let the whole stage learn, or none of it."
    if learning == ["layer4", "fc"]:
        return None
    wrong = "nothing learns" if not learning else f"what learns is {', '.join(learning)}"
    return f"{wrong}, where layer4 and fc should; set_trainable(model, [...]) takes the names of both."


def _nearest(answer: Callable[[Tensor, Tensor], int]) -> str | None:
    if not callable(answer):
        raise TypeError("it cannot be called")
    query = torch.tensor([1.0, 0.2])
    features = torch.tensor([[0.0, 4.0], [5.0, 9.0], [0.1, 0.02], [-1.0, -0.2], [0.9, 0.5]])
    found = answer(query, features)
    if isinstance(found, Tensor) and found.numel() == 1:
        found = found.item()
    if not isinstance(found, int):
        return f"your function gives {found!r}; it should give one place, a whole number from 0."
    reasons = {
        1: "row 1 is long, but points elsewhere: a plain product favors long rows. Divide by the lengths.",
        3: "row 3 points the opposite way: you look for the largest cosine, without its sign dropped or turned.",
        4: "row 4 ends nearest, but points elsewhere: a distance depends on lengths. Compare directions.",
    }
    if found == 2:
        return None
    return reasons.get(found, f"row {found} does not point the way the query does; row 2 does, short as it is.")


def _finding(answer: Mapping[str, object]) -> str | None:
    missing = [key for key in ("one", "other", "why") if key not in answer]
    if missing:
        return f"the dictionary lacks {', '.join(missing)}."
    one, other = [list(answer[key]) for key in ("one", "other")]
    if min(len(one), len(other)) < 5:
        return f"{min(len(one), len(other))} seeds say little; measure both stages with the same five seeds or more."
    if not all(0 <= value <= 1 for value in (*one, *other)):
        return "accuracies are shares, from 0 to 1."
    if one == other:
        return "the two lists are the same; one of them should be of another stage."
    if not str(answer["why"]).strip():
        return "say why, in a sentence of your own: it is the point of the exercise."
    try:
        found = compare(one, other)
    except HelpersError as error:
        return f"{error}."
    if found.verdict == "better":
        return f"the first is still better ({found}); try another task, fewer images, or stages nearer to each other."
    return None


EXERCISES = {
    "01.1": Exercise(
        _prediction,
        "the name of a stage",
        "The middle stages know texture, and have not yet dropped what the old classes did not need.",
        (
            "Slides of tissue differ in fine texture. Which stages see texture?",
            "The last stage was shaped by classes in which fine texture did not count. Go back from there.",
        ),
    ),
    "01.2": Exercise(
        _parameters,
        "a number of parameters",
        "Only the head depends on the number of classes.",
        (
            "With two classes there are 11,177,538. How many of those are the head's?",
            "A head has 512 weights and one bias for each class.",
            "Take 2 · 513 away and add 10 · 513.",
        ),
    ),
    "01.3": Exercise(
        _model,
        "a model",
        "The new head and the stage before it learn, all the rest is kept.",
        (
            "Start with `load_backbone('embedded')` and give it a head for six classes.",
            "`set_trainable(model, names)` lets the named stages learn and freezes all others.",
        ),
    ),
    "01.4": Exercise(
        _nearest,
        "a function of a query and features",
        "Directions are compared, so a short row counts as much as a long one.",
        (
            "The cosine of two vectors is their product divided by both lengths.",
            "`nn.functional.cosine_similarity(query[None], features, dim=1)` gives one number a row; take the largest.",
        ),
    ),
    "01.5": Exercise(
        _finding,
        "a dictionary",
        "That is a finding: what holds for one task need not hold for another, and an interval says so.",
        (
            "Under `one` put the stage that you expect to be better, under `other` the one that may catch up.",
            "Neighboring stages on a task near to the source are good candidates: look at the line of the flowers.",
        ),
    ),
}
