import copy
import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from helpers import HelpersError, HelpersWarning
from helpers.data.recipes import Recipe
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.official import timm_state_dict, torchvision_state_dict
from helpers.models.weights import load_into, read_recipe, read_state_dict


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


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("wrap", ["new", "old", "state_dict", "model", "ddp", "compiled", "both"])
def test_a_state_dict_is_found_however_it_was_saved(tmp_path, wrap):
    path, state = tmp_path / "weights.pth", small().state_dict()
    saved = {
        "state_dict": {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        "model": {"model": state, "args": "none"},
        "ddp": {f"module.{key}": value for key, value in state.items()},
        "compiled": {f"_orig_mod.{key}": value for key, value in state.items()},
        "both": {"state_dict": {f"_orig_mod.module.{key}": value for key, value in state.items()}},
    }.get(wrap, state)
    torch.save(saved, path, _use_new_zipfile_serialization=wrap != "old")
    assert same(read_state_dict(path), state)


def test_safetensors_are_read_whatever_their_name(tmp_path):
    path = tmp_path / "weights.pth"
    recipe = Recipe((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 64, 72, "bicubic")
    save_file(small().state_dict(), path, metadata={"recipe": json.dumps(recipe.to_dict())})
    assert same(read_state_dict(path), small().state_dict())
    assert read_recipe(path) == recipe


def test_a_file_s_own_recipe_is_taken(tmp_path, squeezenet):
    path = tmp_path / "weights.safetensors"
    recipe = Recipe((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 64, 72)
    save_file(squeezenet.state_dict(), path, metadata={"recipe": json.dumps(recipe.to_dict())})
    loaded = load_backbone("squeezenet1_1", weights=path)
    assert loaded.recipe == recipe
    assert same(loaded.state_dict(), squeezenet.state_dict())


def whole_model(path):
    torch.save(small(), path)


def truncated(path):
    torch.save(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])


def truncated_old_format(path):
    torch.save(small().state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-20])


def truncated_safetensors(path):
    save_file(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-20])


def with_nan(path):
    state = small().state_dict()
    state["0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, path)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "there is no weights file .*; check the path"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>"), "is a web page"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "git lfs pull"),
        (lambda path: path.write_text("epoch,loss\n1,0.3\n"), "truncated or no weights file"),
        (lambda path: path.write_bytes(bytes(range(256)) * 8), "truncated or no weights file"),
        (truncated, "truncated or no weights file"),
        (truncated_old_format, "truncated or no weights file"),
        (truncated_safetensors, "truncated or no weights file"),
        (whole_model, r"run code when loaded \(torch.nn.modules.container.Sequential\).*state_dict"),
        (lambda path: torch.jit.script(small()).save(path), "truncated or no weights file .*TorchScript"),
        (lambda path: torch.save(torch.zeros(3), path), "holds a Tensor, not the weights"),
        (lambda path: torch.save({}, path), "an empty dictionary"),
        (lambda path: torch.save({"epoch": 1, "loss": 0.5}, path), "a dictionary of epoch, loss"),
        (with_nan, r"not finite \(NaN or infinity\) in 0.weight"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.fault
def test_what_is_no_weights_file_is_refused_by_path(tmp_path, make, problem):
    path = tmp_path / "weights.pth"
    make(path)
    with pytest.raises(HelpersError, match=problem) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.fault
def test_code_in_a_file_does_not_run(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Trap(tmp_path / "ran")}, path)
    with pytest.raises(HelpersError, match="would run code when loaded"):
        read_state_dict(path)
    assert not (tmp_path / "ran").exists()


def test_files_from_before_batches_were_counted_still_load():
    state = {key: value + 1 for key, value in small().state_dict().items() if "num_batches" not in key}
    model = small()
    load_into(model, state)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


def test_old_densenet_names_are_translated(tmp_path):
    model = models.DenseNet(4, (2, 2), 8, num_classes=3)
    new_names = model.state_dict()
    old_names = {
        key.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.").replace("norm2.", "norm.2.").replace(
            "conv2.", "conv.2."
        ): value
        for key, value in new_names.items()
    }  # fmt: skip
    assert old_names.keys() != new_names.keys()
    torch.save(old_names, tmp_path / "densenet.pth")
    assert same(read_state_dict(tmp_path / "densenet.pth"), new_names)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("0.weight"), r"1 of the network's 9 keys are missing \(0.weight\)"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 keys are not in the network \(extra\)"),
        (lambda state: state.update({"0.bias": torch.zeros(5)}), r"0.bias: \(5,\) in the file, \(4,\) in the network"),
    ],
)
@pytest.mark.fault
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(change, problem):
    model = small()
    before = copy.deepcopy(model.state_dict())
    state = {key: value + 1 for key, value in before.items()}
    change(state)
    with pytest.raises(HelpersError, match=problem) as caught:
        load_into(model, state, source="some/file.pth")
    assert "some/file.pth does not fit Sequential" in str(caught.value)
    assert same(model.state_dict(), before)


@pytest.mark.fault
def test_quantised_weights_do_not_pass_for_weights():
    model = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(HelpersError, match=r"some/file.pth holds whole numbers .*\(0.weight"):
        load_into(model, {key: value.to(torch.int8) for key, value in before.items()}, source="some/file.pth")
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    "recipe", ["resize, then crop", "[]", '{"mean": [0], "std": [0], "image_size": 8, "resize_size": 8}']
)
@pytest.mark.fault
def test_a_recipe_that_is_none_is_an_error_that_names_the_file(tmp_path, recipe):
    save_file(small().state_dict(), tmp_path / "weights.safetensors", metadata={"recipe": recipe})
    with pytest.raises(HelpersError, match=r"the recipe in .*weights.safetensors cannot be used"):
        read_recipe(tmp_path / "weights.safetensors")


def test_a_head_for_other_classes_is_recognised(tmp_path, squeezenet):
    path = tmp_path / "mine.pth"
    torch.save(replace_head(copy.deepcopy(squeezenet), 2).state_dict(), path)
    with pytest.raises(HelpersError, match=r"2 have another shape.*\(2, 512, 1, 1\).*another number of classes"):
        load_backbone("squeezenet1_1", weights=path)


@pytest.mark.fault
def test_weights_of_another_architecture_are_refused(tmp_path, squeezenet):
    path = tmp_path / "squeezenet.pth"
    torch.save(squeezenet.state_dict(), path)
    with pytest.raises(HelpersError, match=r"102 of the network's 122 keys are missing.*choose the architecture"):
        load_backbone("resnet18", weights=path)


def test_auxiliary_classifiers_in_a_file_are_read_past(tmp_path):
    full = models.googlenet(weights=None, aux_logits=True, init_weights=False)
    torch.save(full.state_dict(), tmp_path / "googlenet.pth")
    model = load_backbone("googlenet", weights=tmp_path / "googlenet.pth")
    assert torch.equal(model.fc.weight, full.fc.weight)
    assert model.train()(torch.randn(2, 3, 64, 64)).shape == (2, 1000)
    torch.save(model.state_dict(), tmp_path / "without.pth")
    assert same(load_backbone("googlenet", tmp_path / "without.pth").state_dict(), model.state_dict())


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
    assert loaded.recipe == hub[0].recipe
    assert "state_dict" not in loaded.pretrained_cfg


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
