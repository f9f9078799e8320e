"""The source images: their shapes, that they never change, and that classes look like themselves."""

import hashlib

import pytest
import torch

from drawn import source

FAMILIES = {name.rsplit(" ", 1)[0]: i for i, name in reversed(list(enumerate(source.CLASSES)))}


def test_there_are_many_classes_and_no_flower_or_slide_among_them():
    assert len(source.CLASSES) == len(set(source.CLASSES)) == 1000
    assert set(FAMILIES) == {"contour", "figure", "texture", "fractal", "curve", "leaves", "arrangement"}


def test_images_have_the_size_asked_for_and_are_not_blank():
    for size in (16, 64, 100):
        images = source.draw(list(FAMILIES.values()), size, seed=3)
        assert images.shape == (7, 3, size, size)
        assert images.dtype == torch.uint8
        assert (images.float().flatten(1).std(1) > 4).all()


def test_an_image_depends_on_its_label_place_size_and_seed_alone():
    a = source.draw([5, 400, 700], 32, seed=1)
    assert torch.equal(a, source.draw([5, 400, 700], 32, seed=1))
    assert torch.equal(a[1], source.draw([9, 400], 32, seed=1)[1])
    assert not torch.equal(a[1], source.draw([400], 32, seed=1)[0])
    assert not torch.equal(a, source.draw([5, 400, 700], 32, seed=2))


def test_images_are_the_same_on_every_machine():
    images = source.draw(range(0, 1000, 20), 64, seed=0)
    assert (
        hashlib.sha256(images.numpy().tobytes()).hexdigest()
        == "67a2781e48db172a57c989898393523271fc7b500245c4814d72f5b6375a6826"
    )


def test_own_colors_tell_texture_classes_apart():
    """An image's mean color finds its class among 60 at least five times as often as chance would."""
    labels = list(range(FAMILIES["texture"], FAMILIES["texture"] + 60))
    first, second = (source.draw(labels, 32, seed).float().mean((2, 3)) for seed in (0, 1))
    nearest = torch.cdist(first, second).argmin(1)
    assert (nearest == torch.arange(60)).float().mean() > 5 / 60


@pytest.mark.parametrize(("labels", "size", "word"), [([1000], 32, "labels"), ([-1], 32, "labels"), ([0], 4, "size")])
def test_labels_and_sizes_that_do_not_exist_are_named(labels, size, word):
    with pytest.raises(ValueError, match=word):
        source.draw(labels, size, 0)
