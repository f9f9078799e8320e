"""Drawn flowers and slides: the same everywhere, one by one or together, at any size; hard for color alone."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from drawn import flowers, slides
from drawn.contact_sheets import contact_sheet, save_sheets, write_folder
from drawn.species import TABLE

SHEET = Path(__file__).parents[1] / "data" / "README.md"

SETS = pytest.mark.parametrize(
    ("draw", "classes"),
    [(flowers.draw, len(flowers.SPECIES)), (slides.draw, len(slides.CLASSES))],
    ids=["flowers", "slides"],
)


@SETS
def test_shape_type_and_range(draw, classes):
    images = draw(range(classes), 48, seed=2)
    assert images.shape == (classes, 3, 48, 48)
    assert images.dtype == torch.uint8
    assert (images.float().std((2, 3)) > 3).all(), "an image is all but empty"
    assert (images.float().mean((1, 2, 3)) > 15).all()


@SETS
def test_an_image_does_not_depend_on_its_batch(draw, classes):
    together = draw([i % classes for i in range(11)], 32, seed=5)
    for i in (0, 4, 10):
        other = [(i + j + 1) % classes for j in range(i)] + [i % classes]
        assert torch.equal(draw(other, 32, seed=5)[i], together[i])
    assert torch.equal(draw([i % classes for i in range(7, 11)], 32, seed=5, first=7), together[7:])


@SETS
def test_label_place_and_seed_each_change_the_image(draw, classes):
    first, second = draw([1, 1], 32, seed=0)
    assert not torch.equal(first, second)
    assert not torch.equal(draw([0], 32, seed=0)[0], first)
    assert not torch.equal(draw([1], 32, seed=1)[0], first)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (flowers.draw, "c76f3fb8b99d3ace"),
        (slides.draw, "2acd00f9ed031b33"),
    ],
    ids=["flowers", "slides"],
)
def test_images_are_the_published_ones(draw, expected):
    """Every figure of the course was measured on these bytes: a change here makes all of them void."""
    images = draw([0, 1, 2, 3] * 3, 64, seed=2026).numpy()
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == expected


@SETS
def test_a_larger_image_shows_the_same(draw, classes):
    labels = list(range(0, classes, max(1, classes // 6)))
    small = draw(labels, 64, seed=9).float()
    large = torch.nn.functional.avg_pool2d(draw(labels, 256, seed=9).float(), 4)
    assert (small - large).abs().mean() < 4
    others = (small - large.roll(1, 0)).abs().mean((1, 2, 3))
    assert ((small - large).abs().mean((1, 2, 3)) < others / 4).all()
    sharp = draw(labels, 256, seed=9).float().diff(dim=3).abs().mean((1, 2, 3))
    stretched = torch.nn.functional.interpolate(small, 256, mode="bilinear").diff(dim=3).abs().mean((1, 2, 3))
    assert (sharp > stretched).float().mean() > 0.8, "the larger image holds no more detail"


def _histograms(images):
    bins = (images.long() // 64) * torch.tensor([16, 4, 1])[:, None, None]
    return np.stack([np.bincount(image.sum(0).flatten(), minlength=64) for image in bins]) / images[0, 0].numel()


@pytest.mark.parametrize(
    ("cue", "most"),
    [(lambda images: images.float().mean((2, 3)).numpy(), 0.3), (_histograms, 0.5)],
    ids=["mean color", "color histogram"],
)
def test_color_alone_does_not_tell_flowers_apart(cue, most):
    labels = [i % 20 for i in range(200)]
    forest = RandomForestClassifier(100, random_state=0).fit(cue(flowers.draw(labels, 64, seed=1)), labels)
    assert 0.05 < forest.score(cue(flowers.draw(labels, 64, seed=2)), labels) < most


def test_no_single_property_names_a_species():
    for name, key in {
        "count": lambda species: species.count,
        "color": lambda species: species.colors[0],
        "outline": lambda species: (species.petal.notch, species.petal.teeth, species.petal.frill, species.petal.point),
        "pattern": lambda species: species.petal.mark,
        "disc": lambda species: (species.disc, species.disc_colors),
        "layers": lambda species: species.layers,
        "leaf": lambda species: species.leaf,
    }.items():
        kinds = {key(species) for species in TABLE[:20]}
        assert len(kinds) <= 15, f"{name} alone, perfectly known, names up to {len(kinds)} of 20 species"
    assert len(set(TABLE)) == len(set(flowers.SPECIES)) == 24


def test_the_data_sheet_describes_every_class():
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.*) \|$", SHEET.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(rows) >= set(slides.CLASSES)
    for species in TABLE:
        petals, _, colors = rows[species.name].split(" | ")
        assert petals.split(",")[0] == str(species.count)
        assert ("layers" in petals) == (species.layers > 1)
        assert tuple(colors.split(", ")) == species.colors


@pytest.mark.parametrize("module", [flowers, slides])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 99], 64), "labels holds 99"),
        (([-1], 64), "labels holds -1"),
        (([0], 8), "size=8"),
        (([0], 64, -1), "seed=-1"),
    ],
)
def test_bad_requests_are_refused(module, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        module.draw(*arguments)


def test_nothing_asked_nothing_drawn():
    assert flowers.draw([], 64).shape == (0, 3, 64, 64)


@pytest.mark.parametrize(("kind", "classes"), [("flowers", flowers.SPECIES), ("slides", slides.CLASSES)])
def test_folder_holds_the_images_of_draw(tmp_path, kind, classes):
    count = len(classes) + 3
    names = write_folder(kind, tmp_path / "deep" / "set", count, size=16, seed=4)
    files = sorted((tmp_path / "deep" / "set").rglob("*.png"), key=lambda file: file.name)
    assert names == sorted(classes)
    assert [file.parent.name for file in files] == [classes[i % len(classes)] for i in range(count)]
    expected = {"flowers": flowers, "slides": slides}[kind].draw([i % len(classes) for i in range(count)], 16, seed=4)
    for file, image in zip(files, expected, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), image.permute(1, 2, 0).numpy())
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["set"]


def test_folder_of_source_images(tmp_path):
    assert len(write_folder("source", tmp_path / "set", 3, size=16)) == 3


def test_folder_in_parts_is_the_folder_at_once(tmp_path, monkeypatch):
    write_folder("slides", tmp_path / "once", 6, size=16)
    monkeypatch.setattr("drawn.contact_sheets._AT_ONCE", 0)
    write_folder("slides", tmp_path / "parts", 6, size=16)
    for file in (tmp_path / "once").rglob("*.png"):
        assert file.read_bytes() == (tmp_path / "parts" / file.relative_to(tmp_path / "once")).read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "trees"}, "no set 'trees'"),
        ({"count": 0}, "count=0"),
        ({"size": 15}, "size=15"),
        ({"seed": -2}, "seed=-2"),
        ({"kind": "source", "seed": -2}, "seed=-2"),
    ],
)
def test_bad_folders_are_refused(tmp_path, changed, message):
    request = {"kind": "flowers", "out": tmp_path / "set", "count": 2, "size": 16, "seed": 0} | changed
    with pytest.raises(ValueError, match=re.escape(message)):
        write_folder(**request)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        write_folder("slides", tmp_path, 1, size=16)
    with pytest.raises(ValueError, match="not an empty folder"):
        write_folder("slides", tmp_path / "note.txt", 1, size=16)
    with pytest.raises(OSError, match=r"note\.txt"):
        write_folder("slides", tmp_path / "note.txt" / "set", 1, size=16)
    assert (tmp_path / "note.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_folder_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(slides, "_lamp", stop)
    (tmp_path / "set").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_folder("slides", tmp_path / "set", 3, size=16)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]
    assert not list((tmp_path / "set").iterdir())


def test_contact_sheets(tmp_path):
    sheet = contact_sheet("flowers", 16, columns=3, seed=1, rows=4)
    image = flowers.draw([0] * 3 + [6] * 3, 16, seed=1)[4].permute(1, 2, 0).numpy()
    left = sheet.width - 3 * 16
    assert sheet.size == (left + 48, 64)
    assert np.array_equal(np.asarray(sheet)[16:32, left + 16 : left + 32], image)
    with pytest.raises(ValueError, match="rows=5"):
        contact_sheet("slides", rows=5)
    paths = save_sheets(tmp_path, size=16)
    assert [path.name for path in paths] == ["flowers.png", "slides.png", "source.png"]
    assert all(Image.open(path).height >= 64 for path in paths)
