"""Boxes and masks of drawn flowers: they belong to the pixels that are drawn."""

import pytest
import torch

from drawn import flowers
from drawn.annotations import annotate
from drawn.species import TABLE
from drawn.stamps import Scene, draw_all

LABELS = list(range(20))


@pytest.fixture(scope="module")
def annotated():
    return annotate(LABELS, 64, seed=3)


def test_annotating_leaves_the_images_as_they_are(annotated) -> None:
    before = flowers.draw(LABELS, 64, seed=3)
    annotate(LABELS, 64, seed=3)
    assert torch.equal(flowers.draw(LABELS, 64, seed=3), before)


def test_each_box_encloses_its_flower_and_no_more(annotated) -> None:
    for mask, boxes in annotated:
        assert mask.max() == len(boxes) >= 1
        for flower, box in enumerate(boxes.int().tolist(), 1):
            left, top, right, bottom = box
            rows, columns = (mask == flower).nonzero(as_tuple=True)
            assert (left, top) == (columns.min(), rows.min())
            assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
            assert (mask == flower).float().mean() >= 0.01


def test_an_annotation_depends_on_its_image_alone(annotated) -> None:
    (alone,) = annotate([7], 64, seed=3, first=7)
    assert torch.equal(alone.mask, annotated[7].mask)
    assert torch.equal(alone.boxes, annotated[7].boxes)


def test_a_larger_image_has_the_same_annotation(annotated) -> None:
    for small, large in zip(annotated, annotate(LABELS, 128, seed=3), strict=True):
        same = (small.mask > 0) == (large.mask[::2, ::2] > 0)
        assert same.float().mean() > 0.97
        if len(small.boxes) == len(large.boxes):
            assert (small.boxes - large.boxes / 2).abs().max() <= 3


def test_masks_cover_what_flowers_change() -> None:
    """Without its flowers an image differs under the mask, and elsewhere at most by a shadow."""

    def bare(i: int, label: int) -> Scene:
        parts = flowers.parts(TABLE[label], flowers.generator(3, i, label), 64)
        return Scene(
            parts.ground, [*parts.behind, *parts.front], lambda image: (255 * image.clip(0, 1)).astype("uint8")
        )

    def whole(i: int, label: int) -> Scene:
        parts = flowers.parts(TABLE[label], flowers.generator(3, i, label), 64)
        layers = [*parts.behind, *(layer for flower in parts.flowers for layer in flower), *parts.front]
        return Scene(parts.ground, layers, lambda image: (255 * image.clip(0, 1)).astype("uint8"))

    without, with_flowers = draw_all(LABELS, 64, bare).float(), draw_all(LABELS, 64, whole).float()
    changed = (with_flowers - without).abs().amax(1) > 40
    inside = torch.stack([one.mask > 0 for one in annotate(LABELS, 64, seed=3, least=0)])
    near = torch.nn.functional.max_pool2d(inside[:, None].float(), 7, 1, 3)[:, 0] > 0
    assert changed[inside].float().mean() > 0.6
    assert changed[~near].float().mean() < 0.02


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="labels holds 99"):
        annotate([99])
