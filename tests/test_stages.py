import copy
import io

import pytest
import torch
from torch import nn
from torchvision import models

from helpers import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.modes import eval_mode
from helpers.models.stages import (
    freeze,
    freeze_batchnorm_statistics,
    head,
    parameter_groups,
    set_trainable,
    stages,
    unfreeze,
)

GOOGLENET = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
INCEPTION = ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"]
NO_STORAGE = torch.device("meta")
FAMILIES = {
    "alexnet": ["stem", "features.3", "features.6", "classifier.1", "classifier.4", "classifier.6"],
    "convnext_tiny": ["stem", "features.1", "features.3", "features.5", "features.7", "classifier"],
    "densenet121": ["stem", *(f"features.denseblock{i}" for i in (1, 2, 3, 4)), "classifier"],
    "efficientnet_b0": ["stem", *(f"features.{i}" for i in range(1, 8)), "classifier"],
    "efficientnet_v2_s": ["stem", *(f"features.{i}" for i in range(1, 7)), "classifier"],
    "googlenet": ["stem", *(f"inception{i}" for i in GOOGLENET), "fc"],
    "inception_v3": ["stem", *(f"Mixed_{i}" for i in INCEPTION), "fc"],
    "maxvit_t": ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "classifier.3", "classifier.5"],
    "mnasnet0_5": ["stem", *(f"layers.{i}" for i in range(8, 14)), "classifier"],
    "mobilenet_v2": ["stem", *(f"features.{i}" for i in (1, 2, 4, 7, 14)), "classifier"],
    "mobilenet_v3_small": ["stem", *(f"features.{i}" for i in (1, 2, 4, 9)), "classifier.0", "classifier.3"],
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4", "fc"],
    "resnext50_32x4d": ["stem", "layer1", "layer2", "layer3", "layer4", "fc"],
    "shufflenet_v2_x0_5": ["stem", "stage2", "stage3", "stage4", "fc"],
    "squeezenet1_1": ["stem", "features.3", "features.6", "features.9", "classifier"],
    "swin_t": ["stem", "features.1", "features.3", "features.5", "features.7", "head"],
    "swin_v2_t": ["stem", "features.1", "features.3", "features.5", "features.7", "head"],
    "vgg11_bn": [
        "stem", "features.4", "features.8", "features.15", "features.22", "classifier.0", "classifier.3",
        "classifier.6",
    ],
    "vit_b_16": ["stem", *(f"encoder.layers.encoder_layer_{i}" for i in range(12)), "heads"],
    "wide_resnet50_2": ["stem", "layer1", "layer2", "layer3", "layer4", "fc"],
    "timm/convnext_atto": ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"],
    "timm/mobilenetv3_small_050": ["stem", *(f"blocks.{i}" for i in range(5)), "classifier"],
    "timm/resnet18": ["stem", "layer1", "layer2", "layer3", "layer4", "fc"],
    "timm/swin_tiny_patch4_window7_224": ["stem", "layers.0", "layers.1", "layers.2", "layers.3", "head"],
    "timm/vit_tiny_patch16_224": ["stem", *(f"blocks.{i}" for i in range(12)), "head"],
}  # fmt: skip


def names(model):
    return [stage.name for stage in stages(model)]


def assert_each_parameter_once(model):
    listed = [name for stage in stages(model) for name in stage.parameters]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())


def tiny_resnet():
    return models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3, width_per_group=64)


def tiny_vit():
    sizes = {"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    return models.VisionTransformer(**sizes, dropout=0.5, num_classes=3)


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_of_every_family_hold_each_parameter_once(name):
    with NO_STORAGE:
        model = load_backbone(name, weights=None)
    assert names(model) == FAMILIES[name]
    assert_each_parameter_once(model)
    assert list(head(model).parameters()) == list(stages(model)[-1].parameters.values())


def test_regnet_has_its_blocks_as_stages():
    model = load_backbone("regnet_y_400mf", weights=None)
    assert names(model) == ["stem", *(f"trunk_output.block{i}" for i in (1, 2, 3, 4)), "fc"]
    assert_each_parameter_once(model)


def test_bare_parameters_belong_to_the_stem():
    stem = stages(tiny_vit())[0]
    assert {"class_token", "encoder.pos_embedding", "conv_proj.weight"} <= set(stem.parameters)


def test_a_home_made_network_has_its_children_as_stages():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 4, 3)
            self.bn1 = nn.BatchNorm2d(4)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.conv2 = nn.Conv2d(4, 5, 1)
            self.scale = nn.Parameter(torch.ones(1))
            self.out = nn.Linear(5, 2)

    model = Net()
    assert names(model) == ["conv1", "conv2", "out"]
    assert_each_parameter_once(model)
    assert head(model) is model.out


def test_a_wrapped_network_has_the_stages_of_the_one_inside():
    inner = tiny_resnet()
    for wrapped in (torch.compile(inner), nn.Sequential(nn.Identity(), inner)):
        assert names(wrapped) == names(inner)
        assert_each_parameter_once(wrapped)
        assert head(wrapped) is inner.fc


def test_a_single_layer_is_its_own_head():
    layer = nn.Linear(4, 2)
    assert names(layer) == ["head"]
    assert head(layer) is layer


def test_a_network_without_parameters_is_refused():
    with pytest.raises(HelpersError, match="ReLU has no parameters"):
        stages(nn.ReLU())


def test_two_heads_side_by_side_are_one_stage_but_not_one_module():
    with NO_STORAGE:
        model = load_backbone("timm/deit_tiny_distilled_patch16_224", weights=None)
    assert set(stages(model)[-1].parameters) == {
        "head.weight", "head.bias", "head_dist.weight", "head_dist.bias"
    }  # fmt: skip
    with pytest.raises(HelpersError, match="2 heads"):
        head(model)


def test_resnet18_learns_as_many_numbers_as_the_tutorial_says():
    model = replace_head(load_backbone("resnet18", weights=None), 3)
    freeze(model)
    assert sum(p.numel() for p in model.parameters()) == 11_178_051
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 1_539


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "timm/test_vit", "vit"])
@pytest.mark.parametrize("learning_stages", [1, 2])
def test_frozen_stages_stay_bit_identical_through_training(name, learning_stages):
    torch.manual_seed(0)
    model = tiny_vit() if name == "vit" else replace_head(load_backbone(name, weights=None), 3)
    size = {"vit": 32, "timm/test_vit": 160}.get(name, 48)
    frozen = names(model)[:-learning_stages]
    freeze(model, up_to=frozen[-1])
    modules = {id(m) for stage in stages(model)[: len(frozen)] for top in stage.modules for m in top.modules()}
    buffers = [name for name, _ in model.named_buffers()]
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        model.train()
        optimizer.zero_grad()
        scores = model(torch.randn(4, 3, size, size))
        nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    after = model.state_dict()
    fixed = {full for stage in stages(model)[: len(frozen)] for full in stage.parameters}
    fixed |= {b for b in buffers if id(model.get_submodule(b.rpartition(".")[0])) in modules}
    assert all(torch.equal(before[key], after[key]) for key in fixed)
    assert any(not torch.equal(before[key], after[key]) for key in set(after) - fixed)


def test_dropout_of_frozen_stages_is_off_and_of_the_head_on():
    model = replace_head(tiny_vit(), 2, dropout=0.5).train()
    freeze(model)
    model.train()
    features = []
    model.heads.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    images = torch.randn(2, 3, 32, 32)
    first, second = model(images), model(images)
    assert torch.equal(*features)
    assert not torch.equal(first, second)


def test_a_stage_that_learns_again_follows_train_and_eval():
    model = tiny_resnet().train()
    freeze(model)
    unfreeze(model)
    assert all(module.training for module in model.modules())
    model.eval()
    assert not any(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_freezing_survives_copies_pickles_and_compilation_and_leaves_the_state_dict_alone():
    model = tiny_resnet()
    keys = list(model.state_dict())
    freeze(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = [copy.deepcopy(model), torch.load(file, weights_only=False), torch.compile(model)]
    for each in copies:
        each.train()
        inner = getattr(each, "_orig_mod", each)
        assert not inner.bn1.training
        assert not inner.layer4[0].bn2.training
        assert inner.fc.training
        assert list(inner.state_dict()) == keys
    unfreeze(copies[0])
    copies[0].train()
    assert copies[0].bn1.training
    assert not model.bn1.training


def test_refreezing_drops_gradients_so_that_momentum_moves_nothing():
    model = tiny_resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    set_trainable(model, ["fc"])
    before = copy.deepcopy(model.layer1.state_dict())
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in model.layer1.state_dict().items())


def test_batchnorm_statistics_can_stay_while_its_weights_learn():
    model = tiny_resnet().train()
    freeze_batchnorm_statistics(model)
    set_trainable(model, ["layer4", "fc"])
    model.train()
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    weight = model.layer4[0].bn1.weight.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers())
    assert not torch.equal(weight, model.layer4[0].bn1.weight)

    freeze_batchnorm_statistics(model, frozen=False)
    assert model.layer4[0].bn1.training
    assert not model.layer1[0].bn1.training
    assert not model.bn1.training
    unfreeze(model)
    assert model.bn1.training


def test_an_unknown_stage_is_named_with_the_nearest_one():
    with pytest.raises(HelpersError, match=r"no stage 'layr4'.*Did you mean 'layer4'"):
        set_trainable(tiny_resnet(), ["layr4", "fc"])
    with pytest.raises(HelpersError, match="no stage 'classifier'"):
        freeze(tiny_resnet(), up_to="classifier")


def test_one_name_may_be_given_as_a_string():
    model = tiny_resnet()
    set_trainable(model, "layer4")
    assert [stage.name for stage in stages(model) if stage.trainable] == ["layer4"]


def test_groups_have_discriminative_rates_and_hold_each_learning_parameter_once():
    model = tiny_resnet()
    freeze(model, up_to="layer1")
    groups = parameter_groups(model, 0.8, 0.5, weight_decay=0.1)
    rates = {group["name"]: group["lr"] for group in groups if "no decay" not in group["name"]}
    assert rates == {"layer2": 0.1, "layer3": 0.2, "layer4": 0.4, "fc": 0.8}
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    decayed = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    weights = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert decayed == weights & set(listed)
    assert torch.optim.AdamW(groups).param_groups[-1]["name"] == "fc (no decay)"


def test_tokens_positions_and_layer_scales_are_not_decayed():
    with NO_STORAGE:
        convnext = load_backbone("convnext_tiny", weights=None)
    for model in (tiny_vit(), convnext):
        groups = parameter_groups(model, 1.0, weight_decay=0.1)
        decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
        assert decayed == {id(p) for name, p in model.named_parameters() if p.ndim > 1 and name.endswith("weight")}


def test_the_head_may_have_a_rate_of_its_own():
    groups = parameter_groups(tiny_resnet(), 0.1, 0.5, head_lr=3.0)
    assert [group["lr"] for group in groups] == [0.1 * 0.5**k for k in (5, 4, 3, 2, 1)] + [3.0]
    assert all(group["weight_decay"] == 0 for group in groups)


def test_groups_of_a_frozen_network_are_refused():
    model = tiny_resnet()
    set_trainable(model, [])
    with pytest.raises(HelpersError, match="every parameter of the model is frozen"):
        parameter_groups(model, 0.1)


@pytest.mark.parametrize("make", [tiny_resnet, tiny_vit])
def test_what_learns_follows_train_however_it_was_unfrozen(make):
    model = make()
    freeze(model)
    model.requires_grad_(True).train()
    assert all(module.training for module in model.modules())
    model.requires_grad_(False).train()
    assert all(not module.training for stage in stages(model)[:-1] for top in stage.modules for module in top.modules())


def test_a_stage_unfrozen_by_hand_trains_and_the_others_do_not():
    model = tiny_resnet()
    freeze(model)
    model.layer4[0].conv1.requires_grad_(True)
    model.train()
    assert all(module.training for module in model.layer4.modules())
    assert not any(module.training for module in (*model.layer3.modules(), model.bn1, model.relu))


def test_marks_may_be_taken_away_by_hand():
    model = tiny_resnet()
    freeze(model)
    for module in model.modules():
        module.__dict__.pop("train", None)
    assert all(module.training for module in model.train().modules())
    set_trainable(model, ["layer4", "fc"])
    assert model.train().layer4.training
    assert not model.layer1.training


def test_eval_mode_puts_every_module_back_into_its_mode():
    model = tiny_resnet().train()
    freeze(model, up_to="layer1")
    model.layer3.eval()
    before = [module.training for module in model.modules()]
    with eval_mode(model) as evaluated:
        assert evaluated is model
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    with pytest.raises(TypeError), eval_mode(model):
        model()
    assert [module.training for module in model.modules()] == before
