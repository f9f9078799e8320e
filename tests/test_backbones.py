from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from helpers import HelpersError
from helpers.data.preprocessing import IMAGENET, Preprocessing
from helpers.files import sha256, write_json
from helpers.models import embedded
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import freeze, head, stages

NO_STORAGE = torch.device("meta")
REAL_WEIGHTS = Path(__file__).parents[2] / "shared" / "real" / "weights"
FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16", "wide_resnet50_2",
    "timm/convnext_atto", "timm/deit_tiny_distilled_patch16_224", "timm/efficientnet_b0", "timm/levit_128s",
    "timm/mobilenetv3_small_050", "timm/regnety_002", "timm/resnet18", "timm/resnetv2_50x1_bit",
    "timm/swin_tiny_patch4_window7_224", "timm/vgg11", "timm/vit_tiny_patch16_224",
]  # fmt: skip


def changed_keys(before, after):
    return {key for key in after if key not in before or after[key].shape != before[key].shape}


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_gives_a_score_for_each_class_and_replaces_nothing_else(name, hidden):
    with NO_STORAGE:
        model = load_backbone(name, weights=None)
        before = model.state_dict()
        assert replace_head(model, 5, hidden=hidden, dropout=0.5) is model
        replace_head(model, 2, hidden=hidden)
        scores = model.train()(torch.empty(2, 3, 224, 224))
    if "distilled" in name or "levit" in name:  # these return both heads' scores while training
        scores = scores[0] if isinstance(scores, tuple) else scores
    assert scores.shape == (2, 2)
    last = set(stages(model)[-1].parameters)
    assert changed_keys(before, model.state_dict()) <= last
    assert model.preprocessing.image_size >= 160
    assert model.backbone_name == name


def test_regnet_takes_a_new_head():
    model = replace_head(load_backbone("regnet_y_400mf", weights=None), 4)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4)


def test_resnet18_with_two_classes_has_the_known_size():
    model = replace_head(load_backbone("resnet18", weights=None), 2)
    assert sum(p.numel() for p in model.parameters()) == 11_177_538
    assert isinstance(model.fc, nn.Linear)


def test_the_new_head_depends_on_its_seed_alone():
    model = load_backbone("squeezenet1_1", weights=None)
    state = torch.get_rng_state()
    first = replace_head(model, 3, hidden=4, seed=1).classifier[1][0].weight
    torch.rand(5)
    again = replace_head(model, 3, hidden=4, seed=1).classifier[1][0].weight
    other = replace_head(model, 3, hidden=4, seed=2).classifier[1][0].weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.set_rng_state(state)
    replace_head(model, 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_family_s_own_dropout_stays():
    model = replace_head(load_backbone("mobilenet_v2", weights=None), 3, hidden=8, dropout=0.4)
    kinds = [type(layer).__name__ for layer in head(model).modules()][1:]
    assert kinds == ["Dropout", "NewHead", "Linear", "ReLU", "Dropout", "Linear"]
    assert [m.p for m in head(model).modules() if isinstance(m, nn.Dropout)] == [0.2, 0.4]


def test_a_new_head_on_a_frozen_body_learns():
    model = load_backbone("mobilenet_v3_small", weights=None)
    freeze(model)
    replace_head(model, 3)
    assert [stage.name for stage in stages(model) if stage.trainable] == ["classifier.3"]


def test_a_home_made_network_takes_a_new_head():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    assert replace_head(model, 2)(torch.randn(3, 3, 8, 8)).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"classes": 0}, "classes=0"),
        ({"classes": 2, "hidden": 0}, "hidden=0"),
        ({"classes": 2, "dropout": 1.0}, r"dropout=1.0 is no probability"),
    ],
)
def test_impossible_heads_are_refused(options, problem):
    with pytest.raises(HelpersError, match=problem):
        replace_head(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), **options)


def test_a_network_whose_last_layer_is_no_layer_to_replace_is_refused():
    with pytest.raises(HelpersError, match="no linear or convolutional layer"):
        replace_head(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), 2)


def test_preprocessing_are_those_of_torchvision():
    assert Preprocessing.of(models.ResNet18_Weights.IMAGENET1K_V1) == IMAGENET
    assert (IMAGENET.image_size, IMAGENET.resize_size, IMAGENET.interpolation) == (224, 256, "bilinear")
    swin = Preprocessing.of(models.Swin_V2_T_Weights.DEFAULT)
    preset = models.Swin_V2_T_Weights.DEFAULT.transforms()
    assert (swin.image_size, swin.resize_size) == (preset.crop_size[0], preset.resize_size[0])
    assert swin.interpolation == "bicubic"


def test_a_vision_transformer_is_built_for_the_size_of_its_weights():
    with NO_STORAGE:
        model = load_backbone("vit_h_14", weights=None)
    assert model.image_size == model.preprocessing.image_size == 518


def test_preprocessing_are_those_of_timm():
    with NO_STORAGE:
        preprocessing = load_backbone("timm/vit_tiny_patch16_224", weights=None).preprocessing
    assert preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 248, "bicubic")


def test_another_size_keeps_the_share_that_is_cropped():
    assert IMAGENET.with_size(112).resize_size == 128
    assert IMAGENET.with_size(112).mean == IMAGENET.mean
    with pytest.raises(HelpersError, match="0 pixels"):
        IMAGENET.with_size(0)


def test_a_preprocessing_survives_json_s_types_and_a_broken_one_is_refused():
    assert Preprocessing.from_dict(IMAGENET.to_dict()) == IMAGENET
    with pytest.raises(HelpersError, match="needs mean, std"):
        Preprocessing.from_dict({"mean": [0.5] * 3})
    with pytest.raises(HelpersError, match="needs mean, std"):
        Preprocessing.from_dict({**IMAGENET.to_dict(), "crop": 3})


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet81", "resnet18"),
        ("mobilenetv2", "mobilenet_v2"),
        ("embeded", "embedded"),
        ("timm/resnet81", "timm/resnet18"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name, suggestion):
    with pytest.raises(HelpersError, match=f"no backbone .{name}.*{suggestion}"):
        load_backbone(name)


def test_unknown_weights_are_answered_with_those_there_are():
    with pytest.raises(HelpersError, match="torchvision has IMAGENET1K_V1, IMAGENET1K_V2"):
        load_backbone("resnet50", weights="IMAGENET1K_V3")
    with pytest.raises(HelpersError, match=r"no weights file nowhere/resnet.pth"):
        load_backbone("resnet18", weights="nowhere/resnet.pth")


def test_weights_none_may_be_spelled_out():
    assert load_backbone("squeezenet1_1", weights="none").preprocessing == IMAGENET


def test_the_embedded_backbone_is_a_small_resnet_with_its_own_preprocessing():
    model = load_backbone()
    assert [stage.name for stage in stages(model)] == ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert sum(p.numel() for p in model.parameters()) <= 3_200_000
    assert model.preprocessing == embedded.PREPROCESSING
    assert model.backbone_name == "embedded"
    again, random = load_backbone("embedded"), load_backbone("embedded", weights=None)
    assert torch.equal(model.layer4[0].conv1.weight, again.layer4[0].conv1.weight)
    assert not torch.equal(model.layer4[0].conv1.weight, random.layer4[0].conv1.weight)
    assert random.preprocessing == model.preprocessing


def test_embedded_weights_that_their_card_does_not_describe_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "WEIGHTS", tmp_path / "backbone.safetensors")
    state = {key: value.contiguous() for key, value in embedded.build(3).state_dict().items()}
    save_file(state, embedded.WEIGHTS)
    write_json(tmp_path / "card.json", {"sha256": sha256(embedded.WEIGHTS)})
    assert load_backbone().fc.out_features == 3
    save_file({**state, "fc.bias": state["fc.bias"] + 1}, embedded.WEIGHTS)
    with pytest.raises(HelpersError, match=r"backbone.safetensors is not the file that card.json"):
        load_backbone()
    assert torch.equal(load_backbone("embedded", embedded.WEIGHTS).fc.bias, state["fc.bias"] + 1)


@pytest.mark.parametrize("name", ["mobilenet_v2-coral.pth", "squeezenet1_1-caffe.pth"])
def test_real_weights_from_a_file_take_the_architecture_s_preprocessing(name):
    path = REAL_WEIGHTS / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    model = load_backbone(name.partition("-")[0], weights=path).eval()
    assert model.preprocessing == IMAGENET
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    stored = torch.load(path, weights_only=True)
    assert all(torch.equal(value, stored[key]) for key, value in model.state_dict().items() if key in stored)
