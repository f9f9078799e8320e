"""Exported networks run without this package; predict and evaluate take folders, standard input, tables."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from helpers.commands.exported.predict import read
from helpers.data.photos.decoding import prepared_photo
from helpers.data.preprocessing import Preprocessing
from helpers.data.transforms import center_crop
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.prediction import probabilities
from helpers.models.saved_models import load_model, save_model

ALONE = (
    "import sys, runpy; sys.modules['helpers'] = None; del sys.argv[0]; runpy.run_path(*sys.argv[:1], None, '__main__')"
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Crops of real photos in several formats, one of them lying on its side, one transparent, one large."""
    folder = tmp_path_factory.mktemp("deploy") / "photos"
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    folder.mkdir()
    china.crop((0, 0, 300, 200)).save(folder / "a.jpg", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    flower.crop((100, 0, 340, 300)).save(folder / "b.jpg", exif=exif)
    china.convert("RGBA").resize((200, 150)).save(folder / "c.png")
    flower.resize((900, 1200)).save(folder / "d.jpg")
    flower.convert("L").save(folder / "e.png")
    return folder


def saved(path: Path, name: str, **head):
    model = replace_head(load_backbone(name, "DEFAULT" if name == "embedded" else None), 3, **head)
    preprocessing = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3), 64, 72, "bicubic")
    save_model(path, model, ("ant", "bee, wild", "çé"), preprocessing)
    return load_model(path)


@pytest.mark.parametrize(
    ("form", "name", "head"),
    [
        ("onnx", "embedded", {}),
        ("torchscript", "embedded", {}),
        ("weights", "embedded", {"hidden": 5, "dropout": 0.2}),
        ("weights", "squeezenet1_1", {}),
        ("weights", "efficientnet_lite0", {}),
    ],
)
def test_an_exported_network_gives_the_same_probabilities_alone(form, name, head, photos, tmp_path, command) -> None:
    model = saved(tmp_path / "run.safetensors", name, **head)
    assert command("export", tmp_path / "run.safetensors", "--format", form, "--out", tmp_path / "out").status == 0
    words = [sys.executable, "-I", "-X", "utf8", "-c", ALONE, tmp_path / "out" / "predict.py", photos]
    done = subprocess.run(words, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    heading, *rows = csv.reader(io.StringIO(done.stdout))
    assert heading == ["photo", "class", "ant", "bee, wild", "çé"]
    expected = probabilities(model, sorted(photos.iterdir())).numpy()
    assert np.abs(np.array([row[2:] for row in rows], dtype=float) - expected).max() < 1e-3
    assert [row[1] for row in rows] == [model.classes[i] for i in expected.argmax(1)]


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_the_exported_script_prepares_photos_in_the_same_way(resize, photos, tmp_path) -> None:
    values = np.linspace(0, 4095, 80 * 100).astype(np.uint16).reshape(80, 100)
    Image.fromarray(values).save(tmp_path / "deep.png")
    preprocessing = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3), 64, 72, "bilinear", resize, (0.0, 4095.0))
    for photo in (*photos.iterdir(), tmp_path / "deep.png"):
        (expected,) = center_crop([prepared_photo(photo, preprocessing)], 64).float().numpy()
        difference = np.abs(read(photo, preprocessing.to_dict()) - expected)
        assert difference.max() <= 3, photo
        assert difference.mean() < 0.2, photo


def test_predict_takes_folders_and_standard_input_and_writes_a_table(photos, tmp_path, command, monkeypatch) -> None:
    saved(tmp_path / "run.safetensors", "embedded")
    (photos / "broken.jpg").write_bytes(b"no photo")
    outcome = command("predict", tmp_path / "run.safetensors", photos, "--csv", "--top", 2)
    (photos / "broken.jpg").unlink()
    assert outcome.status == 0, outcome.err
    assert "broken.jpg" in outcome.err
    heading, *rows = csv.reader(io.StringIO(outcome.out))
    assert heading == ["photo", "class 1", "probability 1", "class 2", "probability 2"]
    assert [row[0] for row in rows] == [str(photo) for photo in sorted(photos.iterdir())]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos / 'a.jpg'}\n{photos / 'b.jpg'}\n"))
    lines = command("predict", tmp_path / "run.safetensors", "-", "--csv").out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["photo", str(photos / "a.jpg"), str(photos / "b.jpg")]


def test_test_time_augmentation_averages_a_photo_and_its_mirror_image(photos, tmp_path) -> None:
    model = saved(tmp_path / "run.safetensors", "embedded")
    photo = Image.open(photos / "e.png").resize((128, 128))
    photo.save(tmp_path / "photo.png")
    photo.transpose(Image.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    one, other = probabilities(model, [tmp_path / "photo.png", tmp_path / "mirrored.png"], tta=True)
    assert one.numpy() == pytest.approx(other.numpy(), abs=1e-2)


def test_evaluate_counts_by_class(photo_folder, tmp_path, command, refused) -> None:
    folder = photo_folder(count=5)
    words = ("--backbone", "embedded", "--strategy", "feature-extraction", "--epochs", 20, "--image-size", 32)
    assert command("fit", folder, *words, "--out", tmp_path / "run").status == 0
    found = command("evaluate", tmp_path / "run", folder / "val", "--json").json
    assert found["images"] == 10
    assert found["majority_share"] == 0.5
    assert [each["name"] for each in found["per_class"]] == ["blue", "red"]
    assert np.trace(found["confusion"]) == found["accuracy"] * 10
    assert "recall" in command("evaluate", tmp_path / "run", folder / "val").out
    (folder / "val" / "red").rename(folder / "val" / "green")
    assert "green" in refused("evaluate", tmp_path / "run", folder / "val")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["classes"] == 2
