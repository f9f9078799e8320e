"""Tasks by name and by folder, drawn and published, and what can be asked of them."""

import hashlib
import json
import socket
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import drawn
from helpers import Split, Task, load_task
from helpers.data.photos import published
from helpers.errors import HelpersError, HelpersWarning


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))


def small(name="flowers", **options):
    counts = {"classes": 4, "train_per_class": 4, "val_per_class": 2, "test_per_class": 1}
    return load_task(name, **{"size": 16} | counts | options)


@pytest.mark.parametrize(("name", "classes"), [("flowers", 20), ("slides", 4)])
def test_drawn_tasks(name, classes):
    task = small(name, classes=None)
    assert len(task.classes) == len(set(task.classes)) == classes
    assert [len(split) for split in (task.train, task.val, task.test)] == [4 * classes, 2 * classes, classes]
    assert task.train.images.shape == (4 * classes, 3, 16, 16)
    assert task.train.images.dtype == torch.uint8
    assert task.train.labels.bincount().tolist() == [4] * classes


def test_drawn_splits_share_no_image():
    task = small(val_per_class=4)
    images = [set(map(bytes, split.images.flatten(1).numpy())) for split in (task.train, task.val, task.test)]
    assert not images[0] & images[1]
    assert not images[0] & images[2]


def test_the_seed_chooses_what_is_drawn():
    assert small().fingerprint() == small().fingerprint()
    assert small().fingerprint() != small(seed=1).fingerprint()


def test_more_images_begin_with_the_fewer():
    assert torch.equal(small().train.images, small(train_per_class=6).train.images[: 4 * 4])


def test_fewer_classes():
    task = small(classes=3)
    assert task.classes == small().classes[:3]
    assert task.train.labels.max() == 2


def test_kept_drawings_are_the_drawings(tmp_path):
    first = small()
    kept = list((tmp_path / "cache/images").glob("*.safetensors"))
    assert len(kept) == 3
    assert torch.equal(first.train.images, small().train.images)
    for path in kept:
        content = bytearray(path.read_bytes())
        content[-10] ^= 1
        path.write_bytes(content)
    with pytest.warns(HelpersWarning, match="damaged"):
        assert torch.equal(first.train.images, small().train.images)


def test_drawings_are_made_anew_when_their_code_changes(tmp_path, monkeypatch):
    small()
    kept = sorted((tmp_path / "cache/images").glob("*.safetensors"))
    before = [path.read_bytes() for path in kept]
    (tmp_path / "changed.py").write_text("the formulas of tomorrow")
    monkeypatch.setattr(drawn, "__file__", str(tmp_path / "changed.py"))
    small()
    assert all(path.read_bytes() != content for path, content in zip(kept, before, strict=True))


def test_drawing_needs_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "file" / "cache"))
    assert len(small().train) == 16


@pytest.mark.parametrize("options", [{"classes": 1}, {"classes": 10_000}, {"size": 2}, {"train_per_class": 0}])
@pytest.mark.fault
def test_drawings_that_make_no_sense(options):
    with pytest.raises(HelpersError):
        small(**options)


def test_few_takes_as_many_of_each_class():
    few = small().few(2)
    assert few.train.labels.bincount().tolist() == [2] * 4
    assert len(few.val) == 8
    assert few.few(2).fingerprint() == few.fingerprint()


def test_few_is_seeded_and_nested():
    task = small()
    one, three = (set(map(bytes, task.few(n).train.images.flatten(1).numpy())) for n in (1, 3))
    assert one < three
    assert task.few(1).fingerprint() != task.few(1, seed=1).fingerprint()


@pytest.mark.parametrize(("n", "message"), [(5, r"fewer of: .*\(4\)"), (0, "at least 1")])
@pytest.mark.fault
def test_few_of_too_few(n, message):
    with pytest.raises(HelpersError, match=message):
        small().few(n)


def test_few_keeps_files_with_their_labels():
    files = tuple(Path(f"{label}/{i}.jpg") for label in "ab" for i in range(9))
    split = Split(torch.tensor([0] * 9 + [1] * 9), files=files)
    few = Task("t", ("a", "b"), split, split).few(4).train
    assert ["ab"[k] for k in few.labels] == [file.parent.name for file in few.files]
    assert few.names == [str(file) for file in few.files]


def test_a_split_needs_a_image_for_each_label():
    with pytest.raises(HelpersError, match="3 labels, but has 2"):
        Split(torch.zeros(3, dtype=torch.int64), images=torch.zeros(2, 3, 4, 4, dtype=torch.uint8))


@pytest.mark.fault
def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(HelpersError, match="flowers, slides, flowers102, ants-bees"):
        load_task("flower")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("folder", {"classes": 2}, "classes=2 chooses how images are drawn"),
        ("folder", {"size": 64, "train_per_class": 5}, "size=64 and train_per_class=5 choose how images are drawn"),
        ("folder", {"root": "photos"}, "root='photos'"),
        ("ants-bees", {"test_per_class": 5}, "test_per_class=5 chooses how images are drawn"),
        ("slides", {"root": "photos"}, "root='photos'"),
    ],
)
@pytest.mark.fault
def test_arguments_that_do_not_apply_are_refused(tmp_path, source, options, message):
    insects(tmp_path / "folder")
    with pytest.raises(HelpersError, match=message):
        load_task(tmp_path / "folder" if source == "folder" else source, **options)


@pytest.mark.fault
def test_a_path_is_a_folder_even_when_it_is_called_like_a_task(tmp_path, monkeypatch):
    insects(tmp_path / "flowers")
    monkeypatch.chdir(tmp_path)
    assert load_task(Path("flowers")).classes == ("ants", "bees")
    with pytest.warns(HelpersWarning, match=r"give \./flowers"):
        assert len(small("flowers").classes) == 4


def insects(folder):
    for place in ("train/ants", "train/bees", "val/ants", "val/bees"):
        (folder / place).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng([i, *place.encode()]).integers(0, 255, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / place / f"{i}.jpg")
    return folder


@pytest.fixture
def _few_insects(monkeypatch):
    """The published set is as small as what `insects` makes."""
    monkeypatch.setattr(published, "ANTS_BEES_PHOTOS", (6, 6))


@pytest.mark.fault
def test_ants_and_bees_of_which_some_are_missing_are_refused(tmp_path):
    insects(tmp_path / "ants-bees")
    with pytest.raises(HelpersError, match=r"holds \(6, 6\) readable photos in train and val, not \(244, 153\)"):
        load_task("ants-bees", root=tmp_path)


@pytest.mark.usefixtures("_few_insects")
@pytest.mark.parametrize("place", ["sets/ants-bees", "sets/ants-bees/hymenoptera_data", "cache/data/ants-bees"])
def test_published_photos_are_found_where_the_environment_says_and_in_the_cache(tmp_path, monkeypatch, place):
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "sets"))
    insects(tmp_path / place)
    assert published.published("flowers102") is None
    assert published.published("ants-bees") in (tmp_path / "sets/ants-bees", tmp_path / "cache/data/ants-bees")
    assert len(load_task("ants-bees").val) == 6


@pytest.mark.usefixtures("_few_insects")
@pytest.mark.parametrize("place", ["hymenoptera_data", "ants-bees", "."])
def test_ants_and_bees_that_are_there(tmp_path, place):
    insects(tmp_path / "root" / place)
    task = load_task("ants-bees", root=tmp_path / "root")
    assert (task.name, task.classes, len(task.train)) == ("ants-bees", ("ants", "bees"), 6)


@pytest.mark.usefixtures("_few_insects")
def test_ants_and_bees_are_fetched_once(tmp_path, monkeypatch):
    insects(tmp_path / "published/hymenoptera_data")
    archive = tmp_path / "published/hymenoptera_data.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in archive.parent.rglob("*.jpg"):
            opened.write(file, file.relative_to(archive.parent))
    handler = partial(SimpleHTTPRequestHandler, directory=archive.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(published, "ANTS_BEES_URL", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        monkeypatch.setattr(published, "ANTS_BEES_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
        first = load_task("ants-bees", root=tmp_path / "root")
        server.shutdown()
        thread.join()
    assert load_task("ants-bees", root=tmp_path / "root").fingerprint() == first.fingerprint()
    assert (tmp_path / "root/hymenoptera_data/val/bees/2.jpg").exists()


@pytest.mark.fault
def test_without_a_network_the_error_says_what_to_fetch(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(published, "ANTS_BEES_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/data.zip")
        with pytest.raises(HelpersError, match=r"by hand, put it at .*root/hymenoptera_data\.zip"):
            load_task("ants-bees", root=tmp_path / "root")


def test_flowers102_has_the_official_splits_and_names(real):
    from torchvision.datasets import Flowers102

    folder = real / "flowers102-64px"
    task = load_task("flowers102")
    assert [len(split) for split in (task.train, task.val, task.test)] == [1020, 1020, 6149]
    official = Flowers102(folder, split="test")
    assert task.test.labels.tolist() == official._labels
    assert list(task.test.files) == official._image_files
    assert (task.classes[0], task.classes[76], len(task.classes)) == ("pink primrose", "passion flower", 102)
    assert task.train.labels.bincount().tolist() == [10] * 102
    shared = json.loads((folder / "cat_to_name.json").read_text())  # counts from 1, and spells two names otherwise
    assert sum(shared[str(label + 1)] == name for label, name in enumerate(task.classes)) == 100
