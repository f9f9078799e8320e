"""Folders of practitioners: damage within photos, tables of labels, odd names of splits, copies, patients."""

import json
import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from helpers import load_task, make_loaders
from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError, HelpersNote

pytestmark = pytest.mark.fault

PLAIN = Preprocessing((0, 0, 0), (1, 1, 1), 32, 32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


def photo(seed, width=64, height=48):
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height))


def add(folder, place, count=4, ending="png", start=0, **options):
    """Photos with content of their own in `folder/place`."""
    target = folder / place
    target.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        photo([i, *place.encode()]).save(target / f"{i}.{ending}", **options)
    return target


def two(folder, *places, count=4):
    """Two classes in each of these places."""
    for place in places or ("train", "val"):
        add(folder, f"{place}/ants", count)
        add(folder, f"{place}/bees", count)
    return folder


def said(folder, **options):
    """The task, and all that is said about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = load_task(folder, **options)
    return task, "\n".join(str(each.message) for each in caught)


def lengths(task):
    return [0 if split is None else len(split) for split in (task.train, task.val, task.test)]


def zeroed(path, first=1 / 3, last=2 / 3):
    content = bytearray(path.read_bytes())
    start, end = int(first * len(content)), int(last * len(content))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("damage", ["zeros", "end appended"])
def test_damage_within_a_jpeg_is_named_and_the_rest_is_used(folder, damage, options):
    two(folder, count=10)
    target = add(folder, "train/ants", 1, "jpg", start=90, quality=95, **options) / "90.jpg"
    photo(5, 400, 300).save(target, quality=95, **options)
    if damage == "zeros":
        zeroed(target)
    else:
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2] + b"\xff\xd9")
    task, message = said(folder)
    assert lengths(task) == [20, 20, 0]
    assert "90.jpg (" in message
    assert sum(len(labels) for _, labels in make_loaders(task, PLAIN).plain) == 20


@pytest.mark.parametrize("ending", ["webp", "avif"])
def test_zeros_within_a_file_whose_decoder_reports_nothing(folder, ending):
    two(folder, count=10)
    target = add(folder, "train/ants", 1, ending, start=90, quality=90) / f"90.{ending}"
    photo(5, 400, 300).save(target, quality=90)
    zeroed(target)
    assert f"90.{ending} (" in said(folder)[1]


@pytest.mark.parametrize("color", ["white", (200, 30, 60)])
@pytest.mark.parametrize("ending", ["webp", "avif", "jpg"])
def test_blank_pages_are_no_damage(folder, ending, color):
    two(folder, count=10)
    page = Image.new("RGB", (1200, 900), color)
    page.paste(photo(1), (40, 40))
    page.save(folder / f"train/ants/page.{ending}", quality=80)
    assert said(folder)[1] == ""


def test_a_jpeg_with_something_after_its_end_is_whole(folder):
    path = add(two(folder), "train/ants", 1, "jpg", start=90) / "90.jpg"
    path.write_bytes(path.read_bytes() + b"SEFHe, as some phones append" + bytes(300))
    assert said(folder)[1] == ""


def gray(folder, values, name="{}.png"):
    """Gray images of many bits in two classes and splits; the first value is that of a square on black."""
    for part in ("train", "val"):
        for label in ("ants", "bees"):
            (folder / part / label).mkdir(parents=True)
            for i, value in enumerate(values):
                pixels = np.full((32, 32), 0, np.asarray(values).dtype)
                pixels[4:20, 4 : 12 + 2 * i] = value
                Image.fromarray(pixels).save(folder / part / label / name.format(i))
    return folder


def test_twelve_bits_in_sixteen_use_all_shades_and_the_trained_model_does_the_same(folder, command, tmp_path):
    gray(folder, np.array([1000, 2000, 3000, 4000], np.uint16))
    task, message = said(folder)
    assert task.value_range == (0, 4095)
    assert "from 0 to 4000; 0 is taken as black and 4095 as white" in message
    ((images, _),) = make_loaders(task, PLAIN).plain
    assert [round(255 * image.max().item()) for image in images[:4]] == [62, 125, 187, 249]
    words = ("--backbone", "embedded", "--image-size", 32, "--strategy", "feature-extraction", "--epochs", 1)
    assert command("fit", folder, *words, "--out", tmp_path / "run").status == 0
    from helpers import load_model
    from helpers.data.photos.decoding import prepared_photo

    kept = load_model(tmp_path / "run").preprocessing
    assert kept.value_range == (0, 4095)
    assert prepared_photo(folder / "val/ants/3.png", kept).max() == 249


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.5, 0.9, 1.0, 1.02], np.float32), (0, 1.02)),
        (np.array([-1000, 0, 400, 3000], np.float32), (-1000, 3000)),
        (np.array([1000, 20000, 40000, 65535], np.uint16), (0, 65535)),
        (np.array([0.1, 0.5, 0.9, 1], np.float32), (0, 1)),
    ],
)
def test_the_range_is_that_of_the_set(folder, values, expected):
    task, message = said(gray(folder, values, "{}.tif"))
    assert task.value_range == pytest.approx(expected)
    assert ("is taken as black" in message) == (expected not in ((0, 65535), (0, 1)))


def test_of_several_pages_the_first_is_read_and_that_is_said(folder):
    two(folder)
    pages = [photo(i) for i in range(3)]
    pages[0].save(folder / "train/ants/scan.tif", save_all=True, append_images=pages[1:])
    message = said(folder)[1]
    assert "scan.tif (3)" in message
    assert "the first is read" in message


def test_a_named_pipe_without_ending_is_not_waited_for(folder):
    two(folder)
    os.mkfifo(folder / "train/ants/pipe")
    os.mkfifo(folder / "train/pipe")
    assert "pipe (it is neither a file nor a folder)" in said(folder)[1]


def test_hidden_photos_are_counted(folder):
    two(folder)
    photo(1).save(folder / "train/ants/.first.png")
    add(folder, "train/ants/.thumbnails", 2)
    assert "3 photos are hidden" in said(folder)[1]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        *[("train_set", "val_set"), ("trn", "vld"), ("01_train", "02_val"), ("Training", "Validation")],
        *[
            ("train/train", "val/val"),
            ("TrainSet", "ValSet"),
            ("train-images", "test-images"),
            ("train2017", "val2017"),
        ],
    ],
)
def test_spellings_of_splits(folder, train, val):
    task, message = said(two(folder, train, val, count=10))
    assert task.classes == ("ants", "bees")
    assert message == ""
    assert sum(lengths(task)) == 40
    assert all(split_file.is_relative_to(folder / train.split("/")[0]) for split_file in task.train.files)


@pytest.mark.parametrize("names", [("train_a", "test_b"), ("Trainingsdaten", "Pruefung"), ("mytrain", "myval")])
def test_what_looks_like_splits_is_never_trained_as_classes(folder, names):
    with pytest.raises(HelpersError, match="look like splits"):
        load_task(two(folder, *names))


@pytest.mark.parametrize("names", [("test", "control"), ("control", "validation"), ("dev", "prod")])
def test_classes_may_be_called_like_splits(folder, names):
    for name in names:
        add(folder, name, 10)
    task, message = said(folder)
    assert task.classes == tuple(sorted(names))
    assert message == ""


def test_photos_without_class_folders_are_refused(folder):
    for name in ("train", "val", "docs"):
        add(folder, name)
    (folder / "labels.csv").write_text("image,label\n")
    with pytest.raises(HelpersError, match=r"train, val without class folders.*--labels .*labels\.csv"):
        load_task(folder)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("photos.zip", "archive; unpack"), ("http://example.org/a.zip", "address; download"), ("a.csv", "--labels")],
)
def test_what_is_no_folder_gets_advice(tmp_path, monkeypatch, name, advice):
    monkeypatch.chdir(tmp_path)
    if "://" not in name:
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(HelpersError, match=advice):
        load_task(name)


def table(folder, header, rows, name="labels.csv", separator=","):
    (folder / name).write_text("\n".join(separator.join(map(str, row)) for row in [header, *rows]))
    return folder / name


NAMES = ["ants", "bees"]


@pytest.mark.parametrize(
    ("header", "row", "separator"),
    [
        (("image", "label"), lambda i: (f"{i}.png", NAMES[i % 2]), ","),
        (("id_code", "diagnosis"), lambda i: (i, NAMES[i % 2]), ";"),
        (("site", "path", "breed"), lambda i: ("north", f"images/{i}.png", NAMES[i % 2]), "\t"),
        (("file", "class"), lambda i: (f"data/images/{i}.png", NAMES[i % 2]), ","),
        (("file", "what", "width"), lambda i: (f"{i}.png", NAMES[i % 2], 1000 + i), ","),
    ],
)
def test_labels_from_a_table(folder, header, row, separator):
    add(folder, "images", 20)
    rows = [row(i) for i in range(20)]
    task, message = said(folder, labels=table(folder, header, rows, separator=separator))
    assert task.classes == ("ants", "bees")
    assert sum(lengths(task)) == 20
    for split in (task.train, task.val):
        assert [int(file.stem) % 2 for file in split.files] == split.labels.tolist()
    assert "photos from the column" in message


def test_splits_from_a_table_and_photos_without_a_row(folder):
    add(folder, "images", 22)
    rows = [(f"{i}.png", NAMES[i % 2], ["train", "train", "val", "Test"][i // 5]) for i in range(20)]
    task, message = said(folder, labels=table(folder, ("image", "label", "split"), rows))
    assert lengths(task) == [10, 5, 5]
    assert "splits from 'split'; 2 photos" in message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x.png", "ants"), ("y.png", "bees")], "no column of .* names photos"),
        ([("0.png", "ants"), ("0.png", "bees"), ("1.png", "bees")], r"0\.png the classes ants and bees"),
        ([*[(f"{i}.png", NAMES[i % 2]) for i in range(4)], ("8.png", "ants"), ("9.png", "bees")], "2 of 6 rows"),
    ],
)
def test_tables_that_do_not_fit(folder, rows, message):
    add(folder, "images", 4)
    with pytest.raises(HelpersError, match=message):
        load_task(folder, labels=table(folder, ("image", "label"), rows))


def test_near_copies_in_two_splits_are_named(folder):
    two(folder, count=6)
    original = Image.open(folder / "train/ants/3.png")
    ImageEnhance.Brightness(original).enhance(1.1).resize((200, 150)).save(folder / "val/ants/again.jpg", quality=60)
    message = said(folder)[1]
    assert "the same photos, or near copies, in two splits, so that scores flatter the model (1)" in message
    assert "train/ants/3.png = " in message
    assert "again.jpg" in message


def original(file):
    return file.parent.name, file.stem.removesuffix("-small")


def test_near_copies_stay_together_when_split(folder):
    for label in NAMES:
        for file in sorted(add(folder, label, 12).iterdir()):
            Image.open(file).resize((32, 24)).save(file.with_name(f"{file.stem}-small.jpg"))
    task, message = said(folder)
    assert message == ""
    train, val = (
        {(file.parent.name, file.stem.split("-")[0]) for file in split.files} for split in (task.train, task.val)
    )
    assert not train & val


def test_a_copy_many_times_in_a_class_is_named(folder):
    two(folder, count=6)
    for i in range(30):
        photo(1).save(folder / f"train/ants/copy{i}.png", compress_level=1 + i % 9)
    assert "copy0.png: 30 times in ants" in said(folder)[1]


def patients(folder):
    """Twelve patients, each with three photos; those of every third have bees as well as ants."""
    rng = np.random.default_rng(0)
    for patient in range(12):
        for shot in range(3):
            label = NAMES[(patient + (shot if patient % 3 == 0 else 0)) % 2]
            (folder / label).mkdir(parents=True, exist_ok=True)
            photo(rng.integers(1 << 30)).save(folder / label / f"patient{patient:02d}-{shot}.png")
    return folder


def patient_of(file):
    return file.name[:9]


def test_groups_by_pattern_stay_together(folder):
    task, _ = said(patients(folder), group=r"patient\d+")
    train, val = ({patient_of(file) for file in split.files} for split in (task.train, task.val))
    assert val
    assert not train & val
    assert set(task.val.labels.tolist()) == {0, 1}


def test_groups_by_column_stay_together(folder):
    files = sorted(patients(folder).rglob("*.png"))
    labels = table(folder, ("image", "label", "who"), [(f.name, f.parent.name, patient_of(f)) for f in files])
    task, _ = said(folder, labels=labels, group="who")
    assert not {patient_of(file) for file in task.train.files} & {patient_of(file) for file in task.val.files}


def test_groups_in_two_given_splits_are_named(folder):
    two(folder)
    message = said(folder, group=r"/(\d)")[1]
    assert "4 groups stand in two splits, so that scores flatter the model: 0, 1, 2, 3" in message


@pytest.mark.parametrize(("group", "message"), [("(", "neither a column nor"), ("nothing", "no two photos together")])
def test_groups_that_make_no_sense(folder, group, message):
    with pytest.raises(HelpersError, match=message):
        load_task(two(folder), group=group)


def test_a_validation_set_that_means_little_is_said_to(folder):
    two(folder, "train")
    two(folder, "val", count=1)
    assert "single photo of each class" in said(folder)[1]
    (folder / "val/bees/0.png").unlink()
    assert "always answering ants scores 100 %" in said(folder)[1]


def test_a_validation_folder_without_photos_is_one_clear_line(folder, refused):
    two(folder, "train")
    for label in NAMES:
        (folder / "val" / label).mkdir(parents=True)
    assert "val holds class folders, but no photo; add photos, or remove it" in refused("fit", folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.json", json.dumps({str(i): f"flower {i}" for i in range(1, 13)})),
        ("names.json", json.dumps({i - 1: f"flower {i}" for i in range(1, 13)})),
        ("names.json", json.dumps([f"flower {i}" for i in range(1, 13)])),
        ("names.txt", "\n".join(f"{i} flower {i}" for i in range(1, 13))),
        ("names.txt", "\n".join(f"flower {i}" for i in range(1, 13))),
        ("names.csv", "\n".join(f"{i - 1},flower {i}" for i in range(1, 13))),
    ],
)
def test_class_names_by_number_whatever_the_base(folder, tmp_path, name, content):
    for i in range(1, 13):
        add(folder, f"train/{i}", 1)
        add(folder, f"val/{i}", 2)
    (tmp_path / name).write_text(content)
    task, _ = said(folder, class_names=tmp_path / name)
    assert task.classes == tuple(f"flower {i}" for i in range(1, 13))
    assert [task.classes[k] for k in task.train.labels] == [f"flower {file.parent.name}" for file in task.train.files]


def test_a_class_without_a_name_is_refused(folder, tmp_path):
    (tmp_path / "names.txt").write_text("ants Ameise\n")
    with pytest.raises(HelpersError, match="no name for ants, bees"):
        load_task(two(folder), class_names=tmp_path / "names.txt")


@pytest.mark.parametrize(("resize", "red"), [("crop", [10, 10, 10]), ("squash", [255, 10, 255]), ("pad", [51, 10, 51])])
def test_oblong_photos_are_cropped_squashed_or_padded(folder, resize, red):
    """A panorama whose ends are red, at the top left, the middle and the bottom right of what the network sees."""
    two(folder)
    strip = np.full((30, 90, 3), 10, np.uint8)
    strip[:, :30] = strip[:, 60:] = (255, 0, 0)
    Image.fromarray(strip).save(folder / "train/ants/0.png")
    preprocessing = Preprocessing((0.2, 0.2, 0.2), (1, 1, 1), 30, 30).with_resize(resize)
    images, _ = next(iter(make_loaders(load_task(folder), preprocessing).plain))
    seen = (images[0, 0] + 0.2) * 255
    assert [round(seen[place].item()) for place in ((1, 1), (15, 15), (28, 28))] == red


def test_a_crop_that_hides_much_is_noted(folder):
    two(folder)
    for i, file in enumerate(folder.rglob("*.png")):
        photo(i, 160, 80).save(file)
    with pytest.warns(HelpersNote, match=r"hides 50% or more of most photos.*squash or pad"):
        make_loaders(load_task(folder), PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_loaders(load_task(folder), PLAIN.with_resize("pad"))


def test_a_word_that_is_no_resize(folder, refused):
    assert "choose 'crop', 'squash' or 'pad'" in refused("fit", two(folder), "--resize", "stretch")


def test_the_options_of_fit_reach_the_photos(folder, command, tmp_path):
    for i in range(1, 13):
        add(folder, f"{1 + i % 2}", 1, start=i)
    (tmp_path / "names.txt").write_text("1 ants\n2 bees\n")
    rows = [(f"{i}.png", 1 + i % 2, i % 4) for i in range(1, 13)]
    labels = table(folder, ("image", "label", "film"), rows)
    options = ("--labels", labels, "--group", "film", "--class-names", tmp_path / "names.txt", "--resize", "pad")
    small = ("--backbone", "embedded", "--image-size", 32, "--strategy", "feature-extraction", "--epochs", 1)
    outcome = command("fit", folder, *small, *options, "--out", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert "note: labels.csv: photos from the column 'image', classes from 'label'" in outcome.err
    from helpers import load_model

    saved = load_model(tmp_path / "run")
    assert saved.classes == ("ants", "bees")
    assert saved.preprocessing.resize == "pad"


def test_a_class_of_look_alikes_is_split_all_the_same(folder):
    add(folder, "ants", 8)
    (folder / "bees").mkdir()
    for i in range(8):
        ImageEnhance.Brightness(photo(1)).enhance(1 + i / 40).save(folder / f"bees/{i}.png")
    task, message = said(folder)
    assert set(task.val.labels.tolist()) == {0, 1}
    assert "8 times in bees" in message


def test_few_groups_and_rare_classes(folder):
    for patient, label in enumerate(["ants", "ants", "bees", "bees"]):
        add(folder, label, 2, start=10 + 10 * patient)
    task = said(folder, group=r"(\d)\d\.png")[0]
    assert lengths(task) == [4, 4, 0]
    assert set(task.val.labels.tolist()) == {0, 1}


def test_plain_names_begin_with_the_first_folder_though_the_last_is_missing(folder, tmp_path):
    for i in range(1, 12):
        add(folder, f"train/{i}", 1)
        add(folder, f"val/{i}", 2)
    (tmp_path / "names.txt").write_text("\n".join(f"flower {i}" for i in range(1, 13)))
    task, message = said(folder, class_names=tmp_path / "names.txt")
    assert task.classes == tuple(f"flower {i}" for i in range(1, 12))
    assert "the class folder 1 is 'flower 1', ..., and 11 is 'flower 11'" in message


def test_a_table_with_cells_too_many_and_a_column_that_only_looks_like_splits(folder):
    add(folder, "images", 20)
    rows = [(f"{i}.png", NAMES[i % 2], "test", *["", ""][: i % 3]) for i in range(1, 20)]
    task, message = said(folder, labels=table(folder, ("image", "label", "phase"), rows))
    assert sum(lengths(task)) == 19
    assert "splits from" not in message
