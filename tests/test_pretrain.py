"""How the embedded backbone is made: schedule, augmentation, a run that is killed, and the shipped weights."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from data.workshop import card
from data.workshop.pretrain import augmented, normalized, one_cycle, pretrain
from drawn import source
from helpers import HelpersError
from helpers.files import sha256
from helpers.models.embedded import PREPROCESSING, WEIGHTS, build
from helpers.models.weights_files.reading import read_preprocessing

TINY = {"classes": 4, "rounds": 8, "epochs": 3, "batch_size": 8, "workers": 0}
CODE = f"from data.workshop.pretrain import pretrain; import sys; pretrain(sys.argv[1], save_every=0.0, **{TINY!r})"


def test_the_rate_rises_then_falls_to_nothing():
    rates = [one_cycle(step, 100, 0.2) for step in range(100)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.2, rel=1e-6)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 2e-4


def test_augmentation_is_a_function_of_its_generator():
    images = normalized(source.draw([0, 500, 990], 64, seed=0))
    one, two, other = (augmented(images, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == images.shape


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    pretrain(whole, **TINY, report=lambda line: None)
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, str(broken)], env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    )
    checkpoint = tmp_path / "broken.safetensors.work" / "checkpoint.pt"
    end = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert checkpoint.exists()
    assert not broken.exists()
    lines = []
    pretrain(broken, **TINY, report=lines.append)
    assert any(line.startswith("going on from step") for line in lines)
    expected = load_file(whole)
    assert all(torch.equal(value, expected[name]) for name, value in load_file(broken).items())


def test_training_lowers_the_loss(tmp_path):
    result = pretrain(tmp_path / "b.safetensors", **{**TINY, "epochs": 25}, lr=0.05, report=lambda line: None)
    assert result["loss"] < 1.2
    assert result["images"] == 25 * 32


def test_too_few_images_for_a_batch_are_refused(tmp_path):
    with pytest.raises(HelpersError, match="batch"):
        pretrain(tmp_path / "b.safetensors", classes=2, rounds=3, batch_size=128)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_weights_fit_in_and_say_what_they_are():
    model = build(len(source.CLASSES))
    model.load_state_dict(load_file(WEIGHTS))
    assert sum(p.numel() for name, p in model.named_parameters() if not name.startswith("fc.")) < 3_000_000
    assert WEIGHTS.stat().st_size < 8e6
    with safe_open(WEIGHTS, framework="pt") as file:
        about = file.metadata()
    assert json.loads(about["classes"]) == list(source.CLASSES)
    assert read_preprocessing(WEIGHTS) == PREPROCESSING
    images = source.draw(range(0, 1000, 5), 64, seed=20_000)
    right = (model.eval()(normalized(images)).argmax(1) == torch.arange(0, 1000, 5)).float().mean().item()
    promised = json.loads(about["result"])["accuracy"]
    assert right == pytest.approx(promised, abs=0.12)


def test_the_card_speaks_of_the_weights_beside_it():
    figures = json.loads(card.FIGURES.read_text(encoding="utf-8"))
    assert figures["sha256"] == sha256(WEIGHTS)
    text = card.CARD.read_text(encoding="utf-8")
    assert all(table in text for table in card.tables(figures).values())


def test_a_card_without_a_place_for_a_table_is_refused(tmp_path):
    figures = json.loads(card.FIGURES.read_text(encoding="utf-8"))
    page = tmp_path / "card.md"
    page.write_text("<!-- file -->\n<!-- end -->\n", encoding="utf-8")
    with pytest.raises(HelpersError, match="families"):
        card.write(figures, page)
