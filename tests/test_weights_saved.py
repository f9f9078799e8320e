"""Saved models: everything the network was built with comes back, from files of the first version too."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from helpers import HelpersError
from helpers.data.preprocessing import IMAGENET, Preprocessing
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.saved_models import load_model, save_model

FIRST_VERSION = Path(__file__).parent / "files" / "first_version"


def saved_and_loaded(path, model, classes=("a", "b")):
    save_model(path, model, classes, model.preprocessing)
    return load_model(path).model


def scores(model, size):
    torch.manual_seed(0)
    with torch.inference_mode():
        return model.eval()(torch.rand(2, 3, size, size))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_normalize_their_inputs_do_so_after_loading(tmp_path, name):
    torch.save(models.get_model(name, weights=None, init_weights=False).state_dict(), tmp_path / "weights.pth")
    model = replace_head(load_backbone(name, tmp_path / "weights.pth"), 2)
    assert model.transform_input
    assert torch.equal(scores(saved_and_loaded(tmp_path, model), 96), scores(model, 96))


@pytest.mark.parametrize(
    ("name", "options"),
    [("timm/test_vit", {"img_size": 96}), ("mobilenet_v3_small", {"width_mult": 0.5}), ("efficientnet_lite0", {})],
)
def test_what_a_network_was_built_with_comes_back(tmp_path, name, options):
    model = replace_head(load_backbone(name, None, **options), 2, hidden=4)
    assert model.preprocessing.image_size == options.get("img_size", 224)
    loaded = saved_and_loaded(tmp_path, model)
    assert loaded.backbone_name == name
    assert loaded.backbone_options == options
    assert torch.equal(scores(loaded, 96), scores(model, 96))


def test_a_vision_transformer_remembers_its_image_size():
    with torch.device("meta"):
        model = load_backbone("vit_b_16", None, image_size=384)
        again = load_backbone("vit_b_16", None, **model.backbone_options)
        usual = load_backbone("vit_b_16", None)
    assert again.encoder.pos_embedding.shape == model.encoder.pos_embedding.shape == (1, 577, 768)
    assert again.preprocessing == IMAGENET.with_size(384)
    assert usual.backbone_options == {"image_size": 224}


def test_options_that_could_not_be_saved_are_refused():
    with pytest.raises(HelpersError, match="norm_layer"):
        load_backbone("resnet18", None, norm_layer=nn.InstanceNorm2d)


def test_a_model_of_the_first_version_still_loads():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(4, 8, 3)), nn.Linear(8, 3)
    )
    saved = load_model(FIRST_VERSION / "model.safetensors", network)
    stored = load_file(FIRST_VERSION / "model.safetensors")
    assert all(torch.equal(value, stored[key]) for key, value in saved.model.state_dict().items())
    assert saved.classes == ("plain velda", "heart velda", "lantern velda")
    assert saved.preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3, 32, 32)
    assert saved.about["best"]["epoch"] == 3
    with pytest.raises(HelpersError, match="another kind of file"):
        load_model(FIRST_VERSION / "checkpoint.safetensors", network)
