"""Loaders: the same images on every way to them, seeded, as the weights expect, and never half a cache."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator, skip_first_batches
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from helpers import HelpersError, Split, Task, load_task, make_loaders
from helpers.data.augment import PRESETS, Augment
from helpers.data.loaders import batch_names, set_epoch
from helpers.data.photos import cache as image_cache
from helpers.data.preprocessing import IMAGENET, Preprocessing
from helpers.errors import HelpersWarning

PREPROCESSING = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), image_size=32, resize_size=36)
SHAPES = [(60, 40), (40, 60), (50, 50), (30, 44), (36, 36), (90, 37)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def drawn():
    images = torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(torch.arange(50) % 5, images=images)
    return Task("noise", tuple("abcde"), split, split.subset(torch.arange(7)))


@pytest.fixture
def photos(tmp_path):
    """24 smooth photos of many shapes in two classes and two splits."""
    for place in ("train/a", "train/b", "val/a", "val/b"):
        folder = tmp_path / "photos" / place
        folder.mkdir(parents=True)
        for i, shape in enumerate(SHAPES):
            coarse = np.random.default_rng([i, *place.encode()]).integers(0, 255, (4, 4, 3), np.uint8)
            Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=95)
    return load_task(tmp_path / "photos")


def with_other_chances(image):
    """A callable with the random numbers of Python and NumPy."""
    return (image * random.uniform(0.5, 1) * np.random.uniform(0.5, 1)).to(torch.uint8)


def gather(loader):
    batches = list(loader)
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def test_batches_are_normalized_by_the_preprocessing(drawn):
    plain = Preprocessing(PREPROCESSING.mean, PREPROCESSING.std, 32, 32)
    loaders = make_loaders(drawn, plain, batch_size=16)
    assert all(type(loader) is DataLoader for loader in (loaders.train, loaders.val, loaders.plain))
    assert loaders.test is None
    images, labels = gather(loaders.plain)
    expected = (drawn.train.images / 255 - torch.tensor(plain.mean).view(3, 1, 1)) / torch.tensor(plain.std).view(
        3, 1, 1
    )
    assert torch.allclose(images, expected, atol=1e-5)
    assert images.dtype == torch.float32
    assert torch.equal(labels, drawn.train.labels)
    assert next(iter(loaders.val))[0].is_contiguous(memory_format=torch.channels_last)


def test_val_is_what_the_weights_own_transform_gives(tmp_path):
    preset = ResNet18_Weights.DEFAULT.transforms()
    for place in ("train/a", "train/b", "val/a", "val/b"):
        folder = tmp_path / "photos" / place
        folder.mkdir(parents=True)
        for i, shape in enumerate([(500, 375), (200, 310), (333, 500)]):
            coarse = np.random.default_rng([i, *place.encode()]).integers(0, 255, (9, 9, 3), np.uint8)
            Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC).save(folder / f"{i}.jpg")
    task = load_task(tmp_path / "photos")
    images, _ = gather(make_loaders(task, Preprocessing.of(ResNet18_Weights.DEFAULT)).val)
    for image, file in zip(images, task.val.files, strict=True):
        difference = (image - preset(Image.open(file))).abs()
        assert difference.max() * 0.225 * 255 <= 2.5
        assert difference.mean() * 0.225 * 255 <= 0.3


def test_imagenet_is_the_preprocessing_of_torchvisions_weights():
    assert Preprocessing.of(ResNet18_Weights.IMAGENET1K_V1) == IMAGENET


def test_training_order_is_a_function_of_seed_and_epoch(drawn):
    def labels(seed, epoch):
        loader = make_loaders(drawn, PREPROCESSING, seed=seed, batch_size=8).train
        set_epoch(loader, epoch)
        return gather(loader)[1].tolist()

    assert labels(0, 3) == labels(0, 3)
    assert labels(0, 3) != labels(0, 4)
    assert labels(0, 3) != labels(1, 3)
    assert len(labels(0, 0)) == 48


@pytest.mark.parametrize("options", [{}, {"mode": "files"}, {"mode": "files", "workers": 1}])
def test_each_pass_is_the_next_epoch(photos, options):
    """A plain `for` loop gets another order and other augmented pixels each time, with nothing to call."""
    ours, told = (make_loaders(photos, PREPROCESSING, batch_size=4, augment="standard", **options) for _ in range(2))
    passes = [gather(ours.train) for _ in range(3)]
    for epoch, (images, labels) in enumerate(passes):
        set_epoch(told.train, epoch)
        expected = gather(told.train)
        assert torch.equal(images, expected[0])
        assert torch.equal(labels, expected[1])
    assert not torch.equal(passes[0][0].sum(0), passes[1][0].sum(0)), "the same augmented pixels"
    set_epoch(ours.train, 1)
    assert torch.equal(gather(ours.train)[0], passes[1][0])
    assert torch.equal(gather(ours.train)[0], passes[2][0])


def test_two_passes_at_once_are_two_epochs(drawn):
    loader = make_loaders(drawn, PREPROCESSING, batch_size=8).train
    both = [(one[1], two[1]) for one, two in zip(loader, loader, strict=True)]
    for epoch in (0, 1):
        set_epoch(loader, epoch)
        assert torch.equal(torch.cat([pair[epoch] for pair in both]), gather(loader)[1])


def test_a_pass_that_is_broken_off_counts(drawn):
    loader = make_loaders(drawn, PREPROCESSING, batch_size=8).train
    next(iter(loader))
    after = gather(loader)[1]
    set_epoch(loader, 1)
    assert torch.equal(after, gather(loader)[1])


def test_a_single_batch_is_not_dropped(drawn):
    loaders = make_loaders(drawn, PREPROCESSING, batch_size=64)
    assert len(gather(loaders.train)[1]) == 50
    assert len(gather(loaders.plain)[1]) == 50


def test_batch_names_name_what_is_in_the_batch(photos):
    loaders = make_loaders(photos, PREPROCESSING, batch_size=5)
    for epoch in (0, 2):
        set_epoch(loaders.train, epoch)
        for step, (_, labels) in enumerate(loaders.train):
            names = batch_names(loaders.train, epoch, step)
            assert [Path(name).parent.name for name in names] == ["ab"[k] for k in labels]
    assert batch_names(loaders.val, 0, 2) == photos.val.names[10:]


@pytest.mark.parametrize("augment", [None, *PRESETS, Augment((0.3, 1.0), then=v2.ColorJitter(0.4, 0.3))])
def test_memory_and_files_give_the_same_images(photos, augment):
    kept, read = (
        make_loaders(photos, PREPROCESSING, batch_size=4, augment=augment, mode=mode) for mode in ("memory", "files")
    )
    for epoch in range(2):
        for one, two in ((kept.train, read.train), (kept.val, read.val), (kept.plain, read.plain)):
            set_epoch(one, epoch)
            set_epoch(two, epoch)
            for a, b in zip(gather(one), gather(two), strict=True):
                assert torch.equal(a, b)


def test_workers_give_the_same_images(photos):
    alone, helped = (
        make_loaders(photos, PREPROCESSING, batch_size=4, augment="standard", mode="files", workers=n) for n in (0, 1)
    )
    for epoch in (1, 2):
        set_epoch(alone.train, epoch)
        set_epoch(helped.train, epoch)
        assert torch.equal(gather(alone.train)[0], gather(helped.train)[0])


@pytest.mark.parametrize("augment", [*PRESETS, v2.RandomResizedCrop(32), with_other_chances])
def test_augmentation_depends_on_image_seed_and_epoch_alone(drawn, augment):
    def images(batch_size, epoch, seed=0):
        loader = make_loaders(drawn, PREPROCESSING, batch_size=batch_size, augment=augment, seed=seed).train
        set_epoch(loader, epoch)
        torch.rand(3)  # other random numbers do not matter
        return gather(loader)[0]

    assert torch.equal(images(50, 1), images(10, 1))
    assert not torch.equal(images(50, 1).sum(0), images(50, 2).sum(0))
    assert not torch.equal(images(50, 1).sum(0), images(50, 1, seed=1).sum(0))


def test_augmentation_leaves_the_random_state_alone(drawn):
    loader = make_loaders(drawn, PREPROCESSING, augment="strong").train
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    loader.dataset.__getitems__([0, 1, 2])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def test_crops_are_those_of_torchvision_on_average():
    """An image whose red is x and green is y tells where each crop was taken from."""
    x, y = torch.meshgrid(torch.arange(64) * 4, torch.arange(64) * 4, indexing="xy")
    image = torch.stack([x, y, torch.zeros_like(x)]).to(torch.uint8)
    split = Split(torch.arange(400) % 2, images=image.expand(400, 3, 64, 64).clone())
    task = Task("ramp", ("a", "b"), split, split)
    preprocessing = Preprocessing((0, 0, 0), (1, 1, 1), 32, 64)
    ours = gather(make_loaders(task, preprocessing, augment=Augment(crop=(0.08, 1.0)), batch_size=400).train)[0]
    torch.manual_seed(0)
    theirs = torch.stack([v2.RandomResizedCrop(32, antialias=True)(image) for _ in range(400)]) / 255
    for measure in (lambda p: p[:, 0].mean((1, 2)), lambda p: p[:, 0].amax((1, 2)) - p[:, 0].amin((1, 2))):
        a, b = measure(ours), measure(theirs)
        assert abs(a.mean() - b.mean()) < 4 * (a.var() / 400 + b.var() / 400).sqrt()
        assert abs(a.std() - b.std()) < 0.25 * b.std()


def test_flip_mirrors_half_of_the_images(drawn):
    preprocessing = Preprocessing((0, 0, 0), (1, 1, 1), 32, 32)
    loader = make_loaders(drawn, preprocessing, batch_size=50, augment="flip").train
    before = {bytes(image.numpy()) for image in drawn.train.images}
    mirrored = {bytes(image.flip(-1).contiguous().numpy()) for image in drawn.train.images}
    got = {bytes(image.contiguous().numpy()) for image in (gather(loader)[0] * 255).round().to(torch.uint8)}
    assert got <= before | mirrored
    assert 10 < len(got & mirrored) < 40


def test_strong_grays_a_part_of_one_image_in_four(drawn):
    black = Split(torch.arange(200) % 2, images=torch.zeros(200, 3, 32, 32, dtype=torch.uint8))
    preprocessing = Preprocessing((0, 0, 0), (1, 1, 1), 32, 32)
    loaders = make_loaders(Task("black", ("a", "b"), black, black), preprocessing, batch_size=200, augment="strong")
    gray = ((gather(loaders.train)[0] * 255).round() == 128).all(1).flatten(1).float().mean(1)
    assert 30 < ((gray > 0.01) & (gray < 0.4)).sum() < 90


def test_val_and_plain_are_never_augmented(drawn):
    bare, strong = (make_loaders(drawn, PREPROCESSING, augment=augment) for augment in (None, "strong"))
    assert torch.equal(gather(bare.val)[0], gather(strong.val)[0])
    assert torch.equal(gather(bare.plain)[0], gather(strong.plain)[0])


@pytest.mark.fault
def test_a_transform_that_changes_its_image_does_no_harm(photos):
    def spoil(image):
        return image.zero_()

    loaders = make_loaders(photos, PREPROCESSING, augment=spoil, mode="memory")
    before = gather(loaders.plain)[0]
    gather(loaders.train)
    assert torch.equal(gather(loaders.plain)[0], before)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (v2.RandomCrop(20), r"20, 20.*32 x 32"),
        (v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.1] * 3)]), "outside of"),
        (lambda image: None, "NoneType"),
    ],
)
@pytest.mark.fault
def test_transforms_that_give_something_else(drawn, augment, message):
    with pytest.raises(HelpersError, match=message):
        gather(make_loaders(drawn, PREPROCESSING, augment=augment).train)


@pytest.mark.parametrize("options", [{"augment": "heavy"}, {"augment": 3}, {"mode": "ram"}, {"batch_size": 0}])
@pytest.mark.fault
def test_arguments_that_make_no_sense(drawn, options):
    with pytest.raises(HelpersError, match=str(next(iter(options.values())))):
        make_loaders(drawn, PREPROCESSING, **options)


@pytest.mark.parametrize("changed", [{"resize_size": 31}, {"interpolation": "lanczos"}])
@pytest.mark.fault
def test_preprocessing_that_cannot_be_followed(drawn, changed):
    with pytest.raises(HelpersError, match=str(next(iter(changed.values())))):
        make_loaders(drawn, replace(PREPROCESSING, **changed))


@pytest.mark.parametrize("values", [{"crop": (0, 1)}, {"crop": (0.9, 0.5)}, {"flip": 50}])
@pytest.mark.fault
def test_augmentations_that_make_no_sense(values):
    with pytest.raises(HelpersError, match=next(iter(values))):
        Augment(**values)


def test_photos_are_decoded_once(photos, tmp_path):
    first = gather(make_loaders(photos, PREPROCESSING).plain)[0]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/images").glob("*.safetensors")}
    assert len(kept) == 2
    assert torch.equal(gather(make_loaders(photos, PREPROCESSING).plain)[0], first)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/images").glob("*.safetensors")} == kept


@pytest.mark.fault
def test_a_changed_photo_is_decoded_again(photos):
    before = gather(make_loaders(photos, PREPROCESSING).plain)[0]
    Image.new("RGB", (60, 40), "white").save(photos.train.files[3])
    after = gather(make_loaders(photos, PREPROCESSING).plain)[0]
    assert [i for i in range(12) if not torch.equal(before[i], after[i])] == [3]


@pytest.mark.parametrize("harm", ["flip a bit", "cut", "empty", "other file"])
@pytest.mark.fault
def test_a_damaged_cache_is_made_anew(photos, tmp_path, harm):
    before = gather(make_loaders(photos, PREPROCESSING).plain)[0]
    for path in (tmp_path / "cache/images").glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        if harm == "flip a bit":
            content[-1000] ^= 4
        harmed = {"cut": content[:-100], "empty": b"", "other file": b"x" * len(content)}.get(harm, content)
        path.write_bytes(harmed)
    with pytest.warns(HelpersWarning, match="is damaged and is made anew"):
        loaders = make_loaders(photos, PREPROCESSING)
    assert torch.equal(gather(loaders.plain)[0], before)


@pytest.mark.fault
def test_without_room_for_a_cache_photos_are_read_from_their_files(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(HelpersWarning, match="decoded anew in every epoch"):
        loaders = make_loaders(photos, PREPROCESSING)
    assert gather(loaders.plain)[0].shape == (12, 3, 32, 32)
    with pytest.raises(HelpersError, match="could not be written"):
        make_loaders(photos, PREPROCESSING, mode="memory")


def test_caches_keep_to_their_room(photos, tmp_path, monkeypatch):
    make_loaders(photos, PREPROCESSING)
    monkeypatch.setattr(image_cache, "ROOM", 250_000)
    loaders = make_loaders(photos, PREPROCESSING.with_size(48))
    kept = list((tmp_path / "cache/images").glob("*.safetensors"))
    assert sum(path.stat().st_size for path in kept) <= 250_000
    assert gather(loaders.plain)[0].shape == (12, 3, 48, 48)


@pytest.mark.fault
def test_photos_that_break_after_loading_are_all_named(photos, tmp_path):
    for i in (2, 7):
        photos.train.files[i].write_bytes(b"broken")
    with pytest.raises(HelpersError) as caught:
        make_loaders(photos, PREPROCESSING)
    assert all(str(photos.train.files[i]) in str(caught.value) for i in (2, 7))
    assert not list((tmp_path / "cache/images").glob("*.safetensors"))


@pytest.mark.fault
def test_a_photo_that_breaks_under_a_worker_is_named_without_a_traceback(photos):
    loader = make_loaders(photos, PREPROCESSING, mode="files", workers=1).val
    photos.val.files[1].write_bytes(b"broken")
    with pytest.raises(HelpersError) as caught:
        list(loader)
    assert str(caught.value).startswith(f"{photos.val.files[1]} cannot be read")


@pytest.mark.fault
def test_one_photo_saved_in_two_ways_is_named(photos):
    Image.open(photos.train.files[0]).save(photos.val.files[5].with_suffix(".png"))
    with pytest.warns(HelpersWarning, match=r"near copies, in two splits.*\n.*train/a/0\.jpg = .*val/a/5\.png"):
        load_task(photos.val.files[5].parents[2])


def test_accelerate_prepares_them(photos):
    loader = make_loaders(photos, PREPROCESSING, batch_size=4, augment="standard").train
    prepared = Accelerator(cpu=True).prepare(loader)
    expected = []
    for epoch in (3, 4):
        set_epoch(loader, epoch)
        expected.append(gather(loader)[0])
    set_epoch(prepared, 3)
    assert torch.equal(gather(prepared)[0], expected[0])
    assert torch.equal(gather(prepared)[0], expected[1])
    set_epoch(prepared, 3)
    assert torch.equal(gather(skip_first_batches(prepared, 2))[0], expected[0][8:])
    assert torch.equal(gather(prepared)[0], expected[1])
    assert batch_names(prepared, 3, 0) == batch_names(loader, 3, 0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_small_drawings_are_enlarged(drawn, interpolation):
    preprocessing = Preprocessing(PREPROCESSING.mean, PREPROCESSING.std, 56, 64, interpolation)
    images, _ = gather(make_loaders(drawn, preprocessing).val)
    preset = v2.Compose(
        [v2.Resize(64, interpolation=v2.InterpolationMode(interpolation), antialias=True), v2.CenterCrop(56)]
    )
    expected = v2.functional.normalize(preset(drawn.val.images) / 255, preprocessing.mean, preprocessing.std)
    assert (images - expected).abs().max() < 1e-5


@pytest.mark.fault
def test_a_cache_of_an_earlier_version_is_made_anew_without_a_word(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.data.photos.cache.VERSION", 1)
    make_loaders(photos, PREPROCESSING)
    monkeypatch.undo()
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))
    make_loaders(photos, PREPROCESSING)
