"""What a run says when it is over: figures of each class, pictures, a page; unequal classes; options; own models."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.data.loaders import make_loaders
from helpers.data.preprocessing import Preprocessing
from helpers.data.tasks import Split, Task
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.saved_models import load_model
from helpers.reports.classes import figures_of, never_predicted
from helpers.reports.page import confident_mistakes, grad_cam
from helpers.training.balance import class_weights, make_criterion, set_sampling
from helpers.training.evaluation import Scores

SMALL = ("--backbone", "embedded", "--strategy", "feature-extraction", "--image-size", 32)
TRAINED = (*SMALL, "--epochs", 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photos of one color, three times as many blue ones as red ones."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for split in ("train", "val"):
        for label, color, count in (("blue", (40, 60, 200), 9), ("red", (200, 60, 40), 3)):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                shade = tuple(value + 5 * i + (split == "val") for value in color)
                Image.new("RGB", (40, 36), shade).save(folder / split / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory) -> Path:
    from helpers.commands import main

    run = tmp_path_factory.mktemp("runs") / "run"
    assert main([str(word) for word in ("fit", folder, *TRAINED, "--out", run)]) == 0
    return run


def test_figures_of_each_class() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 0, 1, 1, 1, 0])
    scores = Scores(torch.eye(4)[predicted], labels)
    figures = figures_of(scores, ("a", "b", "c", "d"))
    a, b, c, d = figures["per_class"]
    assert (a["images"], a["predicted"], a["recall"], a["precision"]) == (4, 4, 0.75, 0.75)
    assert a["recall_interval"] == pytest.approx((0.301, 0.954), abs=1e-3)
    assert (b["recall"], b["precision"]) == (1.0, pytest.approx(2 / 3))
    assert (c["images"], c["recall"], c["precision"], c["precision_interval"]) == (1, 0.0, None, None)
    assert (d["images"], d["recall"], d["recall_interval"]) == (0, None, None)
    assert never_predicted(figures) == ["c"]
    assert figures["majority_share"] == pytest.approx(4 / 7)


def test_a_run_ends_with_figures_and_pictures(run, folder, command, tmp_path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert [each["name"] for each in summary["per_class"]] == ["blue", "red"]
    assert summary["majority_share"] == 0.75
    assert len(summary["history"]) == 40
    for name in ("curves.png", "confusion.png"):
        with Image.open(run / name) as picture:
            assert min(picture.size) > 200
    told = command("fit", folder, *SMALL, "--epochs", 1, "--lr", 1e-9)
    assert "always naming the largest class reaches 75.0%" in told.out
    assert re.search(r"red +3 +\d", told.out)
    missed = command("fit", folder, *SMALL, "--epochs", 1, "--lr", 1e-2, "--few", 1, "--seed", 2)
    assert ("never predicted" in missed.err) == bool(re.search(r"^\w+ +\d+ .* -$", missed.out, re.MULTILINE))


def test_the_report_is_one_page_without_a_network(run, command, tmp_path) -> None:
    shutil.copytree(run, tmp_path / "run")
    done = command("report", tmp_path / "run", "--out", tmp_path / "page.html")
    assert done.status == 0, done.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(sources) >= 2
    assert all(source.startswith("data:image/png") for source in sources)
    for words in (
        "Confusion matrix",
        "Most confident mistakes",
        "Model card",
        "torch",
        "majority",
        "one-cycle",
        "blue",
    ):
        assert words in page or words == "majority", words


def test_the_most_confident_mistakes_come_first() -> None:
    scores = Scores(torch.tensor([[3.0, 0], [0, 1], [0, 5], [2, 0]]), torch.tensor([0, 0, 0, 1]))
    assert confident_mistakes(scores) == [2, 3, 1]
    assert confident_mistakes(scores, most=1) == [2]


@pytest.mark.parametrize(("name", "maps"), [("embedded", True), ("squeezenet1_1", True), ("timm/test_vit", False)])
def test_grad_cam_of_convolutional_networks(name, maps) -> None:
    size = 160 if name == "timm/test_vit" else 64
    heat = grad_cam(replace_head(load_backbone(name, None), 3), torch.randn(2, 3, size, size), [0, 2])
    assert (heat is not None) == maps
    if maps:
        assert heat.shape == (2, 64, 64)
        assert heat.min() >= 0
        assert heat.max() <= 1


def test_unequal_classes_are_drawn_or_weighed_alike() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert class_weights(labels).tolist() == pytest.approx([100 / 180, 5.0])
    split = Split(labels, images=torch.zeros(100, 3, 8, 8, dtype=torch.uint8))
    loader = make_loaders(Task("t", ("a", "b"), split, split), Preprocessing((0.5,) * 3, (0.5,) * 3, 8, 8)).train
    set_sampling(loader, "sampler")
    drawn = Counter(label for epoch in range(5) for _, batch in loader for label in batch.tolist())
    assert 0.35 < drawn[1] / drawn.total() < 0.65
    assert torch.equal(loader.sampler.order(3), loader.sampler.order(3))
    set_sampling(loader, None)
    assert loader.sampler.order(3).sort().values.tolist() == list(range(100))
    weighed = make_criterion(loader, 0.0, "weights", torch.device("cpu"))
    assert weighed.weight.tolist() == pytest.approx([100 / 180, 5.0])


@pytest.mark.parametrize("balance", ["sampler", "weights"])
def test_balance_on_the_command_line(balance, folder, command) -> None:
    outcome = command("fit", folder, *SMALL, "--epochs", 2, "--balance", balance, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["settings"] == {"balance": balance}


def test_every_setting_can_be_given(folder, command, refused, tmp_path) -> None:
    words = ("--optimizer", "sgd", "--weight-decay", 0.1, "--schedule", "cosine", "--warmup", 0.2, "--layer-decay", 0.9)
    words += ("--augment", "none", "--mix", "mixup", "--label-smoothing", 0, "--patience", 2, "--views", 1)
    words += ("--precision", "fp32", "--hidden", 8)
    outcome = command("fit", folder, *SMALL, "--epochs", 2, *words, "--out", tmp_path / "run", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["hidden"] == 8
    assert load_model(tmp_path / "run").about["head"] == {"hidden": 8, "dropout": 0.0}
    for option, value in (("--optimizer", "adam"), ("--augment", "much"), ("--mix", "mixmix"), ("--balance", "both")):
        assert value in refused("fit", folder, *SMALL, option, value)


YAML = "- {trainable: head, lr: 1e-3, epochs: 2}\n- {trainable: [layer4, fc], lr: 1e-4, epochs: 1, schedule: cosine}\n"
TOML = """[[phases]]
trainable = "head"
lr = 1e-3
epochs = 2
[[phases]]
trainable = ["layer4", "fc"]
lr = 1e-4
epochs = 1
schedule = "cosine"
"""


@pytest.mark.parametrize(("name", "text"), [("mine.yaml", YAML), ("mine.toml", TOML)])
def test_a_strategy_of_ones_own(name, text, folder, command, refused, tmp_path) -> None:
    (tmp_path / name).write_text(text)
    words = ("fit", folder, "--backbone", "embedded", "--image-size", 32, "--strategy", tmp_path / name)
    outcome = command(*words, "--out", tmp_path / "run", "--json")
    assert outcome.status == 0, outcome.err
    assert [row["phase"] for row in outcome.json["history"]] == [1, 1, 2]
    (tmp_path / name).unlink()
    assert command("doctor", tmp_path / "run").status == 0
    assert name in refused(*words)
    assert "--epochs" in refused(*words[:-1], _rewritten(tmp_path / name, text), "--epochs", 3)


def _rewritten(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {trainable: head, lr: 1, epoch: 2}", "'epoch'"),
        ("- {lr: 1}", "'epochs'"),
        ("a: [", "line 1"),
        ("- {trainable: head, lr: fast, epochs: 1}", "fast"),
        ("- {trainable: head, lr: -1, epochs: 1}", "lr of a phase"),
    ],
)
def test_a_strategy_file_with_a_mistake(text, says, folder, refused, tmp_path) -> None:
    message = refused("fit", folder, *SMALL[:2], "--strategy", _rewritten(tmp_path / "mine.yml", text))
    assert says in message
    assert "mine.yml" in message


def test_training_starts_from_ones_own_model(run, folder, command, refused, tmp_path) -> None:
    words = ("fit", folder, *SMALL[2:], "--epochs", 1, "--lr", 1e-9, "--json")
    before = json.loads((run / "summary.json").read_text())["val_accuracy"]
    more = command(*words, "--weights", run)
    assert more.status == 0, more.err
    assert "its head is kept" in more.err
    assert (more.json["backbone"], more.json["val_accuracy"]) == ("embedded", before)
    shutil.copytree(folder, tmp_path / "photos")
    for split in ("train", "val"):
        shutil.copytree(folder / split / "blue", tmp_path / "photos" / split / "azure")
        for photo in (tmp_path / "photos" / split / "azure").iterdir():
            red, green, blue = Image.open(photo).split()
            Image.merge("RGB", (green, blue, red)).save(photo)
    three = command("fit", tmp_path / "photos", *words[2:], "--weights", run / "model.safetensors")
    assert three.status == 0, three.err
    assert three.json["classes"] == 3
    assert "holds a embedded" in refused(*words, "--weights", run, "--backbone", "resnet18").replace(
        "an embedded", "a embedded"
    )


def test_a_run_is_understood_from_elsewhere(run, folder, command, refused, tmp_path, monkeypatch) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert command("fit", "photos", *SMALL, "--epochs", 1, "--out", "run").status == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("doctor", tmp_path / "run").status == 0
    (tmp_path / "photos" / "train" / "red").rename(tmp_path / "photos" / "train" / "rot")
    (tmp_path / "photos" / "val" / "red").rename(tmp_path / "photos" / "val" / "rot")
    assert "other classes" in refused("doctor", tmp_path / "run")


def test_other_weights_are_another_run(run, folder, refused, tmp_path) -> None:
    words = ("fit", folder, *TRAINED, "--resume")
    shutil.copytree(run, tmp_path / "run")
    network = load_backbone("embedded")
    network.conv1.weight.data += 1
    torch.save(network.state_dict(), tmp_path / "other.pth")
    assert "weights" in refused(*words, "--weights", tmp_path / "other.pth", "--out", tmp_path / "run")
    message = refused("fit", folder, *SMALL, "--epochs", 9, "--resume", "--out", tmp_path / "run")
    assert f"--weights {tmp_path / 'run'}" in message


def test_a_finished_run_is_not_overwritten(run, folder, refused, tmp_path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    for words in ((), ("--resume",)):
        refused("fit", folder, *TRAINED, "--out", tmp_path / "run", *words)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_loss_that_grows_without_end_stops_the_run(folder, refused, tmp_path) -> None:
    message = refused("fit", folder, *SMALL, "--epochs", 5, "--lr", 1e6, "--batch-size", 4, "--out", tmp_path / "run")
    assert "diverges" in message
    assert "try a tenth" in message
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_disk_too_small_is_found_before_training(tmp_path) -> None:
    from helpers.errors import HelpersError
    from helpers.training.runs.checkpoint import RunFolder

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".checkpoint.pt.abc.tmp").write_bytes(b"half")
    with pytest.raises(HelpersError, match=r"MB left, and this run needs 1000000000000 MB"):
        RunFolder(tmp_path / "run", {}).open(room=10**18)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_machine_without_home_and_unicode(run, folder, tmp_path) -> None:
    photo = tmp_path / "пчела.png"
    shutil.copy(folder / "val" / "red" / "0.png", photo)
    env = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "helpers", "predict", str(run), str(photo)]
    done = subprocess.run(words, capture_output=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert b"blue" in done.stdout or b"red" in done.stdout
