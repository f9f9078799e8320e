"""Weights in files: of every form that people have, and of none that is right."""

import argparse
import copy
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from helpers import HelpersError, HelpersWarning
from helpers.data.preprocessing import Preprocessing
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.weights_files.reading import load_into, read_preprocessing, read_state_dict


@pytest.fixture(scope="module")
def squeezenet():
    return load_backbone("squeezenet1_1", weights=None)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "wrap",
    [
        *("new", "old", "state_dict", "model", "ddp", "compiled", "both", "net", "ema", "numpy", "arguments"),
    ],
)
def test_a_state_dict_is_found_however_it_was_saved(tmp_path, wrap):
    path, state = tmp_path / "weights.pth", small().state_dict()
    averaged = {f"module.{key}": value for key, value in state.items()}
    saved = {
        "net": {f"net.{key}": value for key, value in state.items()},
        "ema": {"model": {key: value + 1 for key, value in state.items()}, "model_ema": averaged, "epoch": 3},
        "numpy": {"state_dict": state, "best": np.float64(0.9), "history": np.arange(3), "where": tmp_path},
        "arguments": {"model": state, "args": argparse.Namespace(lr=0.1)},
        "state_dict": {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        "model": {"model": state, "args": "none"},
        "ddp": {f"module.{key}": value for key, value in state.items()},
        "compiled": {f"_orig_mod.{key}": value for key, value in state.items()},
        "both": {"state_dict": {f"_orig_mod.module.{key}": value for key, value in state.items()}},
    }.get(wrap, state)
    torch.save(saved, path, _use_new_zipfile_serialization="old" not in wrap)
    assert same(read_state_dict(path), state)


def test_safetensors_are_read_whatever_their_name(tmp_path):
    path = tmp_path / "weights.pth"
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 64, 72, "bicubic")
    save_file(small().state_dict(), path, metadata={"preprocessing": json.dumps(preprocessing.to_dict())})
    assert same(read_state_dict(path), small().state_dict())
    assert read_preprocessing(path) == preprocessing


def test_a_file_s_own_preprocessing_is_taken(tmp_path, squeezenet):
    path = tmp_path / "weights.safetensors"
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 64, 72)
    save_file(squeezenet.state_dict(), path, metadata={"preprocessing": json.dumps(preprocessing.to_dict())})
    loaded = load_backbone("squeezenet1_1", weights=path)
    assert loaded.preprocessing == preprocessing
    assert same(loaded.state_dict(), squeezenet.state_dict())


def code(path):
    torch.save({"state_dict": Trap(path.with_name("ran"))}, path)


def changed(path):
    torch.save(small().state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(small()[0].bias.detach().numpy().tobytes())] ^= 1
    path.write_bytes(content)


def huge(path):
    state = small().state_dict()
    state["0.weight"][0, 0, 0, 0] *= 2.0**100
    torch.save(state, path)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class Shell:
    """Unpickling it runs a command."""

    def __reduce__(self):
        return (os.system, ("touch ran",))


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
        (lambda path: torch.save(small(), path), r"run code when loaded \(torch.nn.modules.container.Sequential\)"),
        (code, r"run code when loaded \(.*open\).*state_dict"),
        (lambda path: torch.save(Shell(), path), r"run code when loaded \(\w+.system\)"),
        (changed, "does not match its checksum"),
        (huge, "values of .*e.* in 0.weight, which no working network has"),
        (lambda path: torch.jit.script(small()).save(path), "is a TorchScript program, not weights"),
        (lambda path: path.write_bytes(b"\x08\x0a\x12\x07pytorch\x1a\x052.1.0:\xff"), "is an ONNX graph, not weights"),
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
def test_quantized_weights_do_not_pass_for_weights():
    model = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(HelpersError, match=r"some/file.pth holds integers .*\(0.weight"):
        load_into(model, {key: value.to(torch.int8) for key, value in before.items()}, source="some/file.pth")
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    "preprocessing", ["resize, then crop", "[]", '{"mean": [0], "std": [0], "image_size": 8, "resize_size": 8}']
)
@pytest.mark.fault
def test_a_preprocessing_that_is_none_is_an_error_that_names_the_file(tmp_path, preprocessing):
    save_file(small().state_dict(), tmp_path / "weights.safetensors", metadata={"preprocessing": preprocessing})
    with pytest.raises(HelpersError, match=r"the preprocessing in .*weights.safetensors cannot be used"):
        read_preprocessing(tmp_path / "weights.safetensors")


def test_a_head_for_other_classes_is_taken_over(tmp_path, squeezenet):
    mine = replace_head(copy.deepcopy(squeezenet), 2)
    torch.save(mine.state_dict(), tmp_path / "mine.pth")
    assert same(load_backbone("squeezenet1_1", weights=tmp_path / "mine.pth").state_dict(), mine.state_dict())
    with pytest.raises(HelpersError, match=r"2 have another shape.*\(2, 512, 1, 1\).*another number of classes"):
        load_into(copy.deepcopy(squeezenet), mine.state_dict())


def body_of(network):
    return {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}


def lightning(network):
    state = {f"backbone.{key}": value for key, value in body_of(network).items()}
    return {"state_dict": {**state, "classifier.weight": torch.ones(3, 8), "loss.weight": torch.ones(3)}, "epoch": 2}


def fastai(network):
    """As `learn.save` writes it: the body's children by number, and a head of its own."""
    learner = nn.Sequential(nn.Sequential(*list(network.children())[:-2]), nn.Linear(8, 3))
    return {"model": learner.state_dict(), "opt": {"hypers": argparse.Namespace()}}


@pytest.mark.parametrize("layout", [body_of, lightning, fastai])
def test_a_backbone_is_found_in_a_larger_file(tmp_path, layout):
    network = load_backbone("embedded")
    torch.save(layout(network), tmp_path / "mine.ckpt")
    with pytest.warns(HelpersWarning, match=r"mine.ckpt holds no head that fits"):
        loaded = load_backbone("embedded", weights=tmp_path / "mine.ckpt")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in body_of(network).items() if value.ndim)
    assert loaded.fc.weight.abs().max() < 1


@pytest.mark.fault
def test_a_name_that_promises_another_content_is_warned_of(tmp_path, squeezenet):
    path = tmp_path / "squeezenet-0123abcd.pth"
    torch.save(squeezenet.state_dict(), path)
    with pytest.warns(HelpersWarning, match="is not the file that its name promises"):
        read_state_dict(path)


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
