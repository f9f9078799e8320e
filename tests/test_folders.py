"""Folders as people have them, built in a temporary place and loaded through `load_task`."""

import os
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from helpers import load_task, make_loaders
from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError, HelpersWarning


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


def add(folder, place, count=3, seed=0, ending="jpg"):
    """Photos with content of their own in `folder/place`."""
    target = folder / place
    target.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        rng = np.random.default_rng([seed, i, *place.encode()])
        coarse = Image.fromarray(rng.integers(0, 255, (3, 4, 3), np.uint8))
        coarse.resize((40, 30)).save(target / f"{seed}-{i}.{ending}")
    return target


def four(folder, count=3):
    """Two classes in train and val."""
    for place in ("train/ants", "train/bees", "val/ants", "val/bees"):
        add(folder, place, count)
    return folder


def quietly(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_task(folder, **options)


def test_train_and_val(folder):
    task = quietly(four(folder))
    assert task.classes == ("ants", "bees")
    assert task.name == "photos"
    assert (len(task.train), len(task.val), task.test) == (6, 6, None)
    for split in (task.train, task.val):
        assert [task.classes[k] for k in split.labels] == [file.parent.name for file in split.files]


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "validation", "TEST")])
def test_other_names_of_splits(folder, names):
    for name in names:
        add(folder, f"{name}/ants")
        add(folder, f"{name}/bees")
    task = quietly(folder)
    assert [len(task.train), len(task.val), len(task.test)] == [6, 6, 6]
    assert names[1] in str(task.val.files[0])


def test_large_folder_is_split_in_three_by_class_and_seed(folder):
    add(folder, "ants", 20)
    add(folder, "bees", 40)
    task = quietly(folder)
    splits = task.train, task.val, task.test
    assert [Counter(split.labels.tolist()) for split in splits] == [{0: 14, 1: 28}, {0: 3, 1: 6}, {0: 3, 1: 6}]
    assert len({file for split in splits for file in split.files}) == 60
    assert task.val.files == quietly(folder).val.files
    assert task.val.files != quietly(folder, seed=1).val.files


def test_small_folder_is_split_in_two(folder):
    add(folder, "ants", 5)
    add(folder, "bees", 10)
    task = quietly(folder)
    assert Counter(task.val.labels.tolist()) == {0: 1, 1: 2}
    assert task.test is None


def test_train_and_test_get_a_val(folder):
    for place in ("train/ants", "train/bees", "test/ants", "test/bees"):
        add(folder, place, 10)
    task = quietly(folder)
    assert (len(task.train), len(task.val), len(task.test)) == (16, 4, 20)


@pytest.mark.fault
def test_copies_of_a_photo_stay_together_when_split(folder):
    for place in ("ants", "bees"):
        for file in add(folder, place, 8).iterdir():
            shutil.copy(file, file.with_name(f"copy-{file.name}"))
    task = quietly(folder)
    assert not {f.name.removeprefix("copy-") for f in task.train.files} & {
        f.name.removeprefix("copy-") for f in task.val.files if f.parent.name == "ants"
    } - {f.name.removeprefix("copy-") for f in task.train.files if f.parent.name == "bees"}


@pytest.mark.fault
def test_folders_within_a_class_and_links_in_a_circle(folder):
    four(folder)
    add(folder, "train/ants/red/small", 2, seed=1)
    (folder / "train/ants/red/again").symlink_to(folder / "train/ants")
    assert len(quietly(folder).train) == 8
    (folder / "train/ants/everything").symlink_to(folder)
    assert len(quietly(folder).train) == 8


@pytest.mark.fault
def test_clutter_is_passed_over_in_silence(folder):
    four(folder)
    (folder / "__MACOSX/train/ants").mkdir(parents=True)
    (folder / "train/.ipynb_checkpoints").mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0-0.jpg"):
        (folder / "train/ants" / name).write_bytes(b"clutter")
        (folder / "train" / name).write_bytes(b"clutter")
    assert len(quietly(folder).train) == 6


@pytest.mark.fault
def test_odd_endings_are_read(folder):
    four(folder)
    for i, ending in enumerate(("jpeg_large", "JFIF", "")):
        photo = add(folder, "train/ants", 1, seed=9 + i)
        (photo / f"{9 + i}-0.jpg").rename(photo / f"odd{i}.{ending}".rstrip("."))
    assert len(quietly(folder).train) == 9


@pytest.mark.fault
def test_every_bad_file_is_named_in_one_warning_and_skipped(folder):
    ants = four(folder, 20) / "train/ants"
    whole = (ants / "0-0.jpg").read_bytes()
    (ants / "cut.jpg").write_bytes(whole[:-60])
    (ants / "empty.png").write_bytes(b"")
    (ants / "text.jpg").write_bytes(b"<html>not found</html>")
    (ants / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (ants / "folder.jpg").mkdir()
    (ants / "imageNotFound.gif").write_bytes(whole)
    (ants / "labels.csv").write_text("1,2")
    os.mkfifo(ants / "pipe.jpg")
    with pytest.warns(HelpersWarning) as caught:
        task = load_task(folder)
    assert len(task.train) == 40
    assert len(caught) == 1
    message = str(caught[0].message)
    reasons = {
        "cut.jpg": "cut off",
        "empty.png": "empty",
        "text.jpg": "no image",
        "gone.jpg": "a link to a file that is not there",
        "folder.jpg": "folder",
        "imageNotFound.gif": "stand-in",
        "labels.csv": "no image",
        "pipe.jpg": "neither a file nor a folder",
    }
    for name, reason in reasons.items():
        assert any(name in line and reason in line for line in message.splitlines()), name
    assert caught[0].filename == __file__


@pytest.mark.fault
def test_strips_are_no_photos(folder):
    four(folder)
    Image.new("RGB", (1, 3000)).save(folder / "train/ants/pixel.png")
    with pytest.warns(HelpersWarning, match=r"pixel\.png \(it is a strip of 1 x 3000"):
        load_task(folder)


@pytest.mark.fault
def test_names_that_are_no_unicode(folder):
    four(folder)
    (folder / "train/ants/0-0.jpg").rename(folder / "train/ants" / os.fsdecode(b"\xff\xfe.jpg"))
    task = quietly(folder)
    assert len(task.train) == 6
    preprocessing = Preprocessing((0, 0, 0), (1, 1, 1), 16, 16)
    assert len(next(iter(make_loaders(task, preprocessing, mode="memory").plain))[1]) == 6
    assert task.fingerprint() == quietly(folder).fingerprint()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.fault
def test_what_may_not_be_read_is_named(folder):
    four(folder, 6)
    (folder / "train/ants/0-0.jpg").chmod(0)
    with pytest.warns(HelpersWarning, match=r"0-0\.jpg \(no permission"):
        load_task(folder)
    (folder / "train/bees").chmod(0)
    with pytest.raises(HelpersError, match="bees cannot be listed"):
        load_task(folder)


@pytest.mark.fault
def test_a_png_with_a_wrong_checksum_is_found(folder):
    four(folder, 6)
    add(folder, "train/bees", 1, seed=7, ending="png")
    path = folder / "train/bees/7-0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.warns(HelpersWarning, match=r"7-0\.png"):
        assert len(load_task(folder).train) == 12


@pytest.mark.fault
def test_over_a_tenth_broken_is_an_error(folder):
    four(folder, 5)
    for i in range(3):
        (folder / f"train/ants/0-{i}.jpg").write_bytes(b"broken")
    with pytest.raises(HelpersError, match=r"3 of 20.*\n.*0-0\.jpg(.*\n)*.*0-2\.jpg"):
        load_task(folder)


@pytest.mark.fault
def test_a_mended_file_is_looked_at_again(folder):
    four(folder)
    path = folder / "train/ants/0-0.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.warns(HelpersWarning, match="0-0.jpg"):
        load_task(folder)
    path.write_bytes(whole)
    assert len(quietly(folder).train) == 6


@pytest.mark.fault
def test_damaged_findings_are_found_again(folder, tmp_path):
    four(folder)
    quietly(folder)
    for record in (tmp_path / "cache/checks").iterdir():
        record.write_text('{"version": 1, "files": {"train/ants/0-0.jpg": [1]}}')
    assert len(quietly(folder).train) == 6


@pytest.mark.fault
def test_a_class_missing_in_val_keeps_the_indices(folder):
    for name in ("ants", "bees", "wasps"):
        add(folder, f"train/{name}")
    for name in ("bees", "wasps"):
        add(folder, f"val/{name}")
    with pytest.warns(HelpersWarning, match="val holds no photo of ants"):
        task = load_task(folder)
    assert task.classes == ("ants", "bees", "wasps")
    assert set(task.val.labels.tolist()) == {1, 2}


@pytest.mark.fault
def test_a_class_renamed_in_val_is_an_error_that_guesses_its_name(folder):
    four(folder)
    (folder / "val/bees").rename(folder / "val/bee")
    with pytest.raises(HelpersError, match="'bee', train does not; is it bees"):
        load_task(folder)


@pytest.mark.fault
def test_an_empty_class_is_an_error(folder):
    four(folder)
    (folder / "train/wasps").mkdir()
    with pytest.raises(HelpersError, match="no readable training photo of wasps"):
        load_task(folder)


@pytest.mark.fault
def test_one_class_is_an_error(folder):
    add(folder, "train/ants")
    add(folder, "val/ants")
    with pytest.raises(HelpersError, match="single class, ants"):
        load_task(folder)


@pytest.mark.parametrize("name", ["Ants", "ants ", "ANTS"])
@pytest.mark.fault
def test_class_names_that_look_alike_are_an_error(folder, name):
    four(folder)
    add(folder, f"train/{name}")
    with pytest.raises(HelpersError, match=f"'ants' and '{name}'|'{name}' and 'ants'"):
        load_task(folder)


@pytest.mark.fault
def test_one_letter_spelled_in_two_ways_is_one_class(folder):
    add(folder, "train/caf\u00e9")
    add(folder, "train/bar")
    add(folder, "val/cafe\u0301")
    add(folder, "val/bar")
    task = quietly(folder)
    assert task.classes == ("bar", "caf\u00e9")
    assert len(task.val) == 6


@pytest.mark.fault
def test_one_photo_in_two_splits_is_named(folder):
    four(folder)
    shutil.copy(folder / "train/ants/0-1.jpg", folder / "val/ants/other-name.jpg")
    with pytest.warns(
        HelpersWarning, match=r"in two splits.* \(1\); keep one of each:\n.*0-1\.jpg = .*other-name\.jpg"
    ):
        load_task(folder)


@pytest.mark.fault
def test_one_photo_under_two_classes_is_named(folder):
    four(folder)
    shutil.copy(folder / "train/ants/0-1.jpg", folder / "train/bees/both.jpg")
    with pytest.warns(HelpersWarning, match=r"under two classes \(1\); .*\n.*both\.jpg"):
        load_task(folder)


@pytest.mark.fault
def test_an_extra_level_is_an_error_that_says_what_to_pass(folder):
    four(folder / "unzipped")
    with pytest.raises(HelpersError, match=r"single folder, unzipped.*give .*photos/unzipped"):
        load_task(folder)


@pytest.mark.fault
def test_an_extra_level_within_a_split(folder):
    add(folder, "train/images/ants")
    add(folder, "train/images/bees")
    add(folder, "val/images/ants")
    with pytest.raises(HelpersError, match=r"train holds a single folder, images"):
        load_task(folder)


@pytest.mark.fault
def test_the_same_folders_in_each_class_look_like_an_extra_level(folder):
    for site in ("north", "south"):
        add(folder, f"{site}/ants", 4)
        add(folder, f"{site}/bees", 4)
    with pytest.warns(HelpersWarning, match="one level too many"):
        assert load_task(folder).classes == ("north", "south")


@pytest.mark.fault
def test_photos_beside_the_class_folders_are_named(folder):
    four(folder)
    shutil.copy(folder / "train/ants/0-1.jpg", folder / "train/stray.jpg")
    with pytest.warns(HelpersWarning, match=r"belong to no class: stray\.jpg"):
        load_task(folder)


@pytest.mark.fault
def test_unlabeled_test_photos_are_not_used(folder):
    four(folder)
    add(folder, "test")
    with pytest.warns(HelpersWarning, match="test holds no class folders"):
        assert load_task(folder).test is None


@pytest.mark.fault
def test_folders_beside_the_splits_are_named(folder):
    four(folder)
    add(folder, "extra/ants")
    with pytest.warns(HelpersWarning, match="holds extra beside its splits"):
        load_task(folder)


@pytest.mark.fault
def test_a_class_may_be_called_train(folder):
    for name in ("bus", "car", "train"):
        add(folder, name, 10)
    assert quietly(folder).classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["val/ants", "val/bees"], "no folder train"),
        (["train/ants", "val/ants", "valid/ants"], "both val and valid"),
        (["."], "holds no class folders"),
    ],
)
@pytest.mark.fault
def test_folders_of_another_shape(folder, places, message):
    for place in places:
        add(folder, place)
    with pytest.raises(HelpersError, match=message):
        load_task(folder)


@pytest.mark.fault
def test_too_few_photos_to_split(folder):
    add(folder, "ants", 1)
    add(folder, "bees", 9)
    with pytest.raises(HelpersError, match=r"too few.*ants \(1\)"):
        load_task(folder)


def test_real_ants_and_bees(real):
    with pytest.warns(HelpersWarning, match=r"imageNotFound\.gif") as caught:
        task = load_task("ants-bees")
    assert len(caught) == 1
    assert (len(task.train), len(task.val)) == (244, 153)
    assert "formica.jpeg" in {file.name for file in task.train.files}
