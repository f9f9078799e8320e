"""Answers to the exercises of lesson 1: right ones, and plausible wrong ones with what each is told."""

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

from helpers import load_backbone, replace_head, set_trainable
from tests.exercises import later

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
    "01.3": [later(backbone), later(by_hand)],
    "01.4": [
        nearest,
        lambda query, features: (nn.functional.normalize(features, dim=1) @ query).argmax(),
        lambda query, features: np.argmax(cosine(query[None], features, dim=1).numpy()),
    ],
    "01.5": [finding(), finding(task=" Slides ", earlier="Layer 3")],
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
        (later(lambda: backbone(("stem", "layer1", "layer2", "layer3", "layer4", "fc"))), "stem, layer1"),
        (later(lambda: backbone(("fc",))), "fc can learn"),
        (later(lambda: backbone(("layer4",))), "layer4 can learn"),
        (later(lambda: backbone(("layer3", "fc"))), "layer3, fc can learn"),
        (later(lambda: backbone(classes=1000)), "1000 scores"),
        (later(lambda: backbone(classes=4)), "4 scores"),
        (later(only_the_attribute), "1000 scores"),
        (later(lambda: backbone(weights=None)), "not what was pretrained"),
        (later(trained_already), "not what was pretrained"),
        (later(lambda: backbone().requires_grad_(False)), "nothing is trainable"),
        (later(half_a_stage), "only a part of layer4"),
        (later(lambda: load_backbone("squeezenet1_1", weights=None)), "its stages are"),
        (later(lambda: resnet18(num_classes=6)), "not what was pretrained"),
        ("layer4", "this is a str"),
    ],
    "01.4": [
        (lambda query, features: int((features @ query).argmax()), "long"),
        (lambda query, features: int((features - query).norm(dim=1).argmin()), "distance"),
        (lambda query, features: int(cosine(query[None], features, dim=1).argmin()), "opposite"),
        (lambda query, features: int((-cosine(query[None], features, dim=1)).argmax()), "opposite"),
        (lambda query, features: (features @ query / features.square().sum(1)).argmax(), "square root"),
        (lambda query, features: (features @ query).abs().argmax(), "long"),
        (lambda query, features: features @ query, "a Tensor"),
        (lambda query, features: cosine(query[None], features, dim=1).max(), "row 1"),
        (lambda query, features: cosine(query[None], features, dim=1).min(), "index of one row"),
        (lambda query, features: features[2], "a Tensor"),
        (lambda query, features: 0, "whatever the rows are"),
        (lambda query, features: features.argmax(), "index of one row"),
        (lambda query, features: print(end=""), "does your function return something"),
        (lambda query: 0, "calling it failed"),
        (broken, "`return features.nearest(query)`"),
        (divided, "ZeroDivisionError"),
        (7, "this is an int"),
    ],
    "01.5": [
        ({"task": "slides"}, "lacks classes, train_per_class, earlier, later"),
        (finding(task="ants"), "not drawn here"),
        (finding(earlier="layer5"), "no stage"),
        (finding(later="fc"), "no stage"),
        (finding(earlier="layer2"), "does not come right after"),
        (finding(earlier="layer4", later="layer3"), "does not come right after"),
        (finding(later="layer3"), "does not come right after"),
        (finding(classes=9), "2 to 4"),
        (finding(train_per_class=0), "at least one"),
        (finding(train_per_class=500), "too long"),
        (finding(classes="all"), "this is a str"),
        (finding(earlier="stem", later="layer1"), "on validation images stem is"),
        (finding(earlier=3), "this is an int"),
        ("layer3", "this is a str"),
    ],
}
