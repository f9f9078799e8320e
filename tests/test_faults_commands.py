"""What people get wrong on the command line: each is met with one line that says what to mend, and status 2."""

import hashlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head

pytestmark = pytest.mark.fault

SMALL = ("--backbone", "embedded", "--strategy", "feature-extraction", "--epochs", 2, "--image-size", 32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on a tiny folder, and the folder."""
    home = tmp_path_factory.mktemp("run")
    for split in ("train", "val"):
        for number, label in enumerate(("dark", "light")):
            (home / "photos" / split / label).mkdir(parents=True)
            for index in range(5):
                pixels = np.full((40, 40, 3), 60 + 120 * number + 7 * index + (split == "val"), np.uint8)
                Image.fromarray(pixels).save(home / "photos" / split / label / f"{index}.png")
    from helpers.commands import main

    with warnings.catch_warnings():
        warnings.simplefilter("default")  # after so few epochs, one class is never predicted
        assert main([str(word) for word in ("fit", home / "photos", *SMALL, "--out", home / "run")]) == 0
    return home


@pytest.fixture
def own_run(run, tmp_path):
    """A copy of the finished run, to be damaged."""
    shutil.copytree(run / "run", tmp_path / "run")
    return tmp_path / "run"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fit",), "DATA"),
        (("fit", "nothing-here"), "nothing-here"),
        (("fit", "~nobody-of-that-name/photos"), "~nobody-of-that-name"),
        (("fit", ""), "neither a task nor a folder"),
        (("fit", "slides", "--epoch-count", 3), "epoch-count"),
        (("fit", "slides", "--epochs", 0), "--epochs"),
        (("fit", "slides", "--epochs", "many"), "--epochs"),
        (("fit", "slides", "--batch-size", 0), "--batch-size"),
        (("fit", "slides", "--image-size", 0), "--image-size"),
        (("fit", "slides", "--few", 0), "--few"),
        (("fit", "slides", "--seed", -1), "--seed"),
        (("fit", "slides", "--seed", 10**20), "--seed"),
        (("fit", "slides", "--lr", 0), "lr"),
        (("fit", "slides", "--lr", "nan"), "lr"),
        (("fit", "slides", "--lr", "-0.1"), "lr"),
        (("fit", "slides", "--strategy", "magic"), "gradual-unfreezing"),
        (("fit", "slides", "--backbone", "resnet19"), "resnet19"),
        (("fit", "slides", "--weights", "missing.pth"), "missing.pth"),
        (("fit", "slides", "--weights", "IMAGENET1K_V9", "--backbone", "resnet18"), "IMAGENET1K_V9"),
        (("fit", "slides", "--weights", "DEFAULT", "--strategy", "from-scratch"), "--weights"),
        (("fit", "slides", "--resume"), "--out"),
        (("predict", "no-run", "photo.jpg"), "no-run"),
        (("predict", "no-run"), "PHOTO"),
        (("compare", "no-run"), "no-run"),
        (("doctor", "no-run"), "no-run"),
        (("export", "no-run", "--out", "x"), "no-run"),
        (("draw", "trees", "--out", "x"), "trees"),
        (("draw", "slides", "--out", "x", "--size", 2), "--size"),
        (("dance",), "dance"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_mistake_in_the_words(words, says, refused, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture(refused, photo_folder, tmp_path) -> None:
    torch.save(load_backbone("squeezenet1_1", None).state_dict(), tmp_path / "other.pth")
    words = ("--backbone", "mobilenet_v2", "--weights", tmp_path / "other.pth")
    message = refused("fit", photo_folder(), *words)
    assert "other.pth" in message
    assert "features.0" in message or "classifier" in message


def test_weights_cut_short(refused, photo_folder, tmp_path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(load_backbone("squeezenet1_1", None).state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "weights.pth" in refused("fit", photo_folder(), "--backbone", "squeezenet1_1", "--weights", path)


def test_weights_that_are_not_finite(refused, photo_folder, tmp_path) -> None:
    weights = load_backbone("squeezenet1_1", None).state_dict()
    weights["features.0.weight"][0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    words = (*SMALL, "--backbone", "squeezenet1_1", "--weights", tmp_path / "nan.pth")
    assert "not finite" in refused("fit", photo_folder(), *words)


class Harmful:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (Path.touch, (Path("harm-was-done"),))


def test_weights_that_would_run_code(refused, photo_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Harmful()}, tmp_path / "evil.pth")
    assert "evil.pth" in refused("fit", photo_folder(), "--backbone", "squeezenet1_1", "--weights", "evil.pth")
    assert not (tmp_path / "harm-was-done").exists()


def test_a_rate_that_blows_up_keeps_the_last_good_weights(refused, photo_folder, tmp_path, command) -> None:
    folder = photo_folder()
    words = ("--strategy", "fine-tuning", "--epochs", 3, "--image-size", 32, "--lr", 1e36, "--batch-size", 4)
    message = refused("fit", folder, *words, "--out", tmp_path / "run")
    assert "learning rate" in message
    assert "epoch 1" in message
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_class_that_validation_lacks_shifts_no_other(command, photo_folder) -> None:
    folder = photo_folder(classes=("ants", "bees", "wasps"))
    shutil.rmtree(folder / "val" / "bees")
    outcome = command("fit", folder, *SMALL, "--epochs", 30, "--json")
    assert "bees" in outcome.err.splitlines()[0]
    assert outcome.json["classes"] == 3
    assert outcome.json["val_accuracy"] == 1


def test_fewer_images_than_asked_for(refused, photo_folder) -> None:
    assert "1000" in refused("fit", photo_folder(), *SMALL, "--few", 1000)


def test_a_batch_far_larger_than_the_task(command, photo_folder) -> None:
    outcome = command("fit", photo_folder(), *SMALL, "--batch-size", 10**12, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["batch_size"] == 10**12


def test_batches_of_one_photo_give_batchnorm_nothing_to_go_by(refused, photo_folder) -> None:
    words = ("--strategy", "from-scratch", "--epochs", 1, "--image-size", 32, "--batch-size", 1)
    assert "BatchNorm" in refused("fit", photo_folder(), *words)


def test_photos_too_small_for_the_network(refused, photo_folder) -> None:
    words = ("--backbone", "squeezenet1_1", "--weights", "none", "--image-size", 8)
    message = refused("fit", photo_folder(), *words)
    assert "8 x 8 px" in message
    assert "224 px" in message


def test_more_memory_than_there_is(refused, photo_folder) -> None:
    message = refused("fit", photo_folder(), "--image-size", 10**7)
    assert "out of memory" in message
    assert "--image-size" in message


def test_a_single_class(refused, photo_folder) -> None:
    assert "class" in refused("fit", photo_folder(classes=("only",)), *SMALL)


def test_a_photo_cut_short_is_named_before_training(command, photo_folder) -> None:
    folder = photo_folder(count=12)
    broken = folder / "train" / "red" / "3.png"
    broken.write_bytes(broken.read_bytes()[:500])
    outcome = command("fit", folder, *SMALL, "--json")
    assert outcome.status == 0
    before_training = outcome.err[: outcome.err.index("epoch")]
    assert before_training.startswith("warning: ")
    assert "3.png" in before_training
    assert outcome.json["train_images"] == 23


def test_more_photos_broken_than_a_tenth(refused, photo_folder) -> None:
    folder = photo_folder()
    for index in range(3):
        (folder / "train" / "red" / f"{index}.png").write_bytes(b"no photo at all")
    assert "0.png" in refused("fit", folder, *SMALL)


def test_names_with_spaces_and_other_alphabets(command, photo_folder, tmp_path) -> None:
    folder = photo_folder("meine Fotos №1", classes=("пчела", "муравей и co"))
    out = tmp_path / "läufe und mehr" / "erster"
    assert command("fit", folder, *SMALL, "--out", out).status == 0
    photo = next((folder / "val" / "пчела").iterdir())
    assert command("predict", out, photo, "--json").json["predictions"][0]["classes"][0] in ("пчела", "муравей и co")


def test_names_that_are_no_unicode(command, tmp_path, photo_folder) -> None:
    odd = os.fsdecode(b"$b\xe4ume^$")
    try:
        folder = photo_folder(odd, classes=(odd, "wiese"))
    except OSError:
        pytest.skip("this file system has names in Unicode alone")
    assert command("fit", folder, *SMALL, "--out", tmp_path / "run").status == 0
    assert command("compare", tmp_path / "run").status == 0
    assert command("export", tmp_path / "run", "--out", tmp_path / "plain").status == 0
    description = json.loads((tmp_path / "plain" / "model.json").read_text(encoding="utf-8"))
    assert description["classes"] == [odd, "wiese"]


def test_a_run_folder_among_the_photos(refused, photo_folder) -> None:
    folder = photo_folder()
    assert "among the photos" in refused("fit", folder, *SMALL, "--out", folder / "train" / "run")
    assert not (folder / "train" / "run").exists()


def test_a_folder_called_like_a_task(command, photo_folder, monkeypatch) -> None:
    folder = photo_folder("slides")
    monkeypatch.chdir(folder.parent)
    outcome = command("fit", "slides", *SMALL, "--few", 1, "--json")
    assert "./slides" in outcome.err.splitlines()[0]
    assert outcome.json["classes"] == 4
    assert command("fit", "./slides", *SMALL, "--json").json["classes"] == 2


def test_ctrl_c_before_training_says_that_nothing_was_kept(command, photo_folder, monkeypatch) -> None:
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["helpers.commands.fit"], "assemble", interrupted)
    outcome = command("fit", photo_folder())
    assert (outcome.status, outcome.err) == (130, "stopped; nothing was kept\n")


def test_going_on_with_a_finished_run_changes_no_figure(own_run, run, command) -> None:
    before = json.loads((own_run / "summary.json").read_text())
    again = command("fit", run / "photos", *SMALL, "--out", own_run, "--resume", "--json")
    assert again.json == before


def test_a_run_folder_in_use(run, refused) -> None:
    before = digest(run / "run" / "checkpoint.pt")
    assert "already holds a run" in refused("fit", run / "photos", *SMALL, "--out", run / "run")
    assert digest(run / "run" / "checkpoint.pt") == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--seed", 1), "settings"),
        (("--batch-size", 4), "batch_size"),
        (("--lr", 0.5), "strategy"),
        (("--backbone", "squeezenet1_1", "--weights", "none"), "backbone"),
    ],
)
def test_going_on_with_other_options(change, says, run, refused) -> None:
    message = refused("fit", run / "photos", *SMALL, "--out", run / "run", "--resume", *change)
    assert "another run" in message
    assert says in message


def test_going_on_with_other_photos(run, own_run, refused, tmp_path) -> None:
    shutil.copytree(run / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "train" / "dark" / "0.png").unlink()
    assert "another run" in refused("fit", tmp_path / "photos", *SMALL, "--out", own_run, "--resume")


def test_going_on_with_other_classes(run, own_run, refused, tmp_path) -> None:
    shutil.copytree(run / "photos", tmp_path / "photos")
    for split in ("train", "val"):
        (tmp_path / "photos" / split / "light").rename(tmp_path / "photos" / split / "bright")
    assert "classes" in refused("fit", tmp_path / "photos", *SMALL, "--out", own_run, "--resume")


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "one bit flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "another class name":
        path.write_bytes(content.replace(b"dark", b"dusk"))
    else:
        path.write_bytes(b"\x00" * len(content))


@pytest.mark.parametrize("how", ["cut short", "one bit flipped", "another class name", "empty", "zeros"])
def test_a_damaged_checkpoint(how, run, own_run, refused) -> None:
    damage(own_run / "checkpoint.pt", how)
    message = refused("fit", run / "photos", *SMALL, "--out", own_run, "--resume")
    assert "checkpoint.pt" in message


@pytest.mark.parametrize("how", ["cut short", "one bit flipped", "another class name", "empty", "zeros"])
def test_a_damaged_model(how, run, own_run, refused) -> None:
    damage(own_run / "model.safetensors", how)
    message = refused("predict", own_run, run / "photos" / "val" / "dark" / "0.png")
    assert "model.safetensors" in message


def test_a_checkpoint_is_no_model_and_a_model_no_checkpoint(run, own_run, refused) -> None:
    checkpoint, photo = own_run / "checkpoint.pt", run / "photos" / "val" / "dark" / "0.png"
    assert "checkpoint.pt" in refused("predict", checkpoint, photo)
    shutil.copy(own_run / "model.safetensors", checkpoint)
    assert "checkpoint.pt" in refused("fit", run / "photos", *SMALL, "--out", own_run, "--resume")


def test_a_weights_file_that_is_no_saved_model(own_run, run, refused, tmp_path, command) -> None:
    assert command("export", own_run, "--out", tmp_path / "plain").status == 0
    message = refused("predict", tmp_path / "plain" / "weights.safetensors", run / "photos" / "val" / "dark" / "0.png")
    assert "weights.safetensors" in message


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"val_accuracy": 1}'])
def test_a_damaged_summary(content, own_run, refused) -> None:
    (own_run / "summary.json").write_text(content)
    assert "summary.json" in refused("compare", own_run)
    assert "summary.json" in refused("doctor", own_run)


@pytest.mark.parametrize("change", [{"batch_size": "many"}, {"val_accuracy": "all"}, {"task": None}])
def test_a_summary_changed_by_hand(change, own_run, refused) -> None:
    summary = json.loads((own_run / "summary.json").read_text())
    (own_run / "summary.json").write_text(json.dumps(summary | change))
    for command in ("compare", "doctor"):
        message = refused(command, own_run)
        assert "summary.json" in message
        assert next(iter(change)) in message


def test_the_data_of_a_run_has_moved(run, own_run, refused) -> None:
    summary = json.loads((own_run / "summary.json").read_text())
    (own_run / "summary.json").write_text(json.dumps(summary | {"data": "moved/away"}))
    assert "moved/away" in refused("doctor", own_run)


def test_a_photo_to_predict_is_missing_or_none(run, refused, tmp_path) -> None:
    (tmp_path / "notes.jpg").write_text("no photo")
    good = run / "photos" / "val" / "dark" / "0.png"
    assert "gone.jpg" in refused("predict", run / "run", good, tmp_path / "gone.jpg")
    assert "notes.jpg" in refused("predict", run / "run", good, tmp_path / "notes.jpg")
    (tmp_path / "empty").mkdir()
    assert "no photos" in refused("predict", run / "run", tmp_path / "empty")


def test_drawing_into_a_folder_that_holds_something(refused, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "not an empty folder" in refused("draw", "slides", "--out", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_head_of_another_size_in_a_saved_model(own_run, refused, run) -> None:
    from helpers.data.preprocessing import IMAGENET
    from helpers.models.saved_models import save_model

    network = replace_head(load_backbone("squeezenet1_1", None), 3)
    save_model(own_run, network, ("a", "b"), IMAGENET)
    assert "model.safetensors" in refused("predict", own_run, run / "photos" / "val" / "dark" / "0.png")
