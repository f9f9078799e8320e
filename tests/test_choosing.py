"""What lesson 6 measures with: costs of networks, the stored measurements, a segmenter and a detector."""

import math

import pytest
import torch
from torchvision import models

from course import dense
from course.model_table import MEASURED, Features, load_models, multiply_adds, regret, table
from data.workshop import cross
from data.workshop import dense as dense_runs
from helpers import HelpersError, load_backbone


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "mobilenet_v3_large"])
def test_multiply_adds_are_the_published_ones(name) -> None:
    published = models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert multiply_adds(models.get_model(name, weights=None), 224) / 1e9 == pytest.approx(published, abs=0.01)


def test_the_stored_measurements_are_whole_and_follow_the_code(tmp_path) -> None:
    """Cells of another protocol are not read, so that changed settings are measured again."""
    assert list(cross.read(tmp_path / "none", MEASURED)) == cross.PLAN
    runs = dense_runs.read(tmp_path / "none", dense.MEASURED)
    assert not any(dense_runs.missing(*place, runs) for place in dense_runs.PLACES)
    stored = load_models()
    assert not stored.missing
    for one in stored.features:
        assert len(one.accuracy) == len(one.log_me) == len(one.h_score) == len(cross.SEEDS)
    assert {one.stage for one in stored.select(source="embedded", target="flowers", last=True)} == {"layer4"}
    assert not any(one.pretrained for one in stored.select(source="lite0, random"))
    assert len(stored.accuracy("lite0", "flowers", 64, 128)) == 5


def test_what_was_not_measured_is_named() -> None:
    with pytest.raises(HelpersError, match="lite0 on flowers, drawn at 16 and seen at 64"):
        load_models().accuracy("lite0", "flowers", 16, 64)


@pytest.mark.parametrize("read", [load_models, lambda path: dense.measured("detection", "map", path)])
def test_missing_and_damaged_files_are_reported(read, tmp_path) -> None:
    with pytest.raises(HelpersError, match="make models"):
        read(tmp_path / "none.json")
    (tmp_path / "torn.json").write_text('{"cells": [')
    with pytest.raises(HelpersError, match="make models"):
        read(tmp_path / "torn.json")


def test_regret_is_what_the_favorite_lacks() -> None:
    def candidate(accuracy: float, score: float) -> Features:
        return Features("a", "b", 64, 64, "c", 8, (accuracy,) * 2, (score,) * 2, (-score,) * 2, 1, True)

    some = [candidate(0.7, 1.0), candidate(0.9, 0.5), candidate(0.8, 0.2)]
    assert regret(some, "log_me") == pytest.approx(0.2)
    assert regret(some, "h_score") == pytest.approx(0.1)


def test_rows_make_a_table() -> None:
    assert table([{"name": "a", "size": 1}, {"name": "b", "size": 2}]).rows == (("a", "1"), ("b", "2"))


def test_scenes_agree_with_themselves() -> None:
    scenes = dense.draw_scenes(8, species=4, seed=5)
    assert scenes.images.shape == (8, 3, 64, 64)
    for classes, target in zip(scenes.classes, scenes.targets, strict=True):
        assert set(classes.unique().tolist()) == {0, *target["labels"].tolist()}
        assert len(target["boxes"]) == len(target["labels"]) >= 1


def test_scores_of_perfect_and_of_wrong_answers() -> None:
    scenes = dense.draw_scenes(8, species=4, seed=5)
    found = [target | {"scores": torch.ones(len(target["labels"]))} for target in scenes.targets]
    assert dense.mean_iou(scenes.classes, scenes.classes, 5) == 1
    assert dense.mean_ap(found, scenes.targets)["map"] == pytest.approx(1)
    wrong = [target | {"labels": target["labels"] % 4 + 1} for target in found]
    assert dense.mean_ap(wrong, scenes.targets)["map"] == pytest.approx(0)
    assert dense.mean_iou(torch.zeros_like(scenes.classes), scenes.classes, 5) < 0.2


def test_both_heads_learn_on_the_embedded_backbone() -> None:
    scenes = dense.draw_scenes(32, species=2, seed=1)
    body = load_backbone()
    model = dense.segmenter(body, 3)
    before = dense.mean_iou(dense.segment(model, scenes.images, body.preprocessing), scenes.classes, 3)
    dense.train_segmenter(model, scenes, body.preprocessing, epochs=10, lr=3e-3)
    assert dense.mean_iou(dense.segment(model, scenes.images, body.preprocessing), scenes.classes, 3) > before + 0.2
    model = dense.detector(load_backbone(), 3)
    losses = model.train()(list(scenes.images / 255), scenes.targets)
    assert all(math.isfinite(loss.item()) for loss in losses.values())
    dense.train_detector(model, scenes, epochs=10, lr=1e-3)
    found = dense.detect(model, scenes.images)
    assert len(found) == 32
    assert all(one["boxes"].shape[1:] == (4,) for one in found)


def test_pictures_of_masks_and_boxes_change_what_they_mark() -> None:
    scenes = dense.draw_scenes(1, seed=3)
    image, classes, target = scenes.images[0], scenes.classes[0], scenes.targets[0]
    changed = (dense.with_mask(image, classes) != image).any(0)
    assert not changed[classes == 0].any()
    assert changed[classes > 0].float().mean() > 0.9
    large = dense.with_boxes(image, target)
    assert large.shape == (3, 192, 192)
    none = {"boxes": target["boxes"], "labels": target["labels"], "scores": torch.zeros(len(target["labels"]))}
    assert torch.equal(dense.with_boxes(image, none), image.repeat_interleave(3, 1).repeat_interleave(3, 2))
