"""`fit` asks the doctor first: it refuses certain mistakes, and changes nothing of a run that it lets pass."""

import json
import time

import pytest
import torch
from torch import nn

from helpers import HelpersError, Phase, Settings, fit, load_backbone, load_task, replace_head
from helpers.commands import main
from helpers.data.loaders import make_loaders


@pytest.fixture(scope="module")
def task():
    return load_task("flowers").few(3)


def network(task):
    return replace_head(load_backbone("embedded"), len(task.classes))


def test_a_mistake_is_refused_before_the_first_step(task):
    model = network(task)
    model.fc = nn.Sequential(model.fc, nn.Softmax(dim=1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(HelpersError) as refusal:
        fit(model, task, [Phase("head", 1e-2, 1)], verbose=False)
    for part in ("softmax-before-loss", "Each row of outputs sums to 1", "nn.Identity()", "doctor=False"):
        assert part in str(refusal.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    run = fit(model, task, [Phase("head", 1e-2, 1)], verbose=False, doctor=False)
    assert len(run.history) == 1


def test_loaders_of_another_preparation_are_refused(task):
    model = network(task)
    plain = model.preprocessing.__class__(
        (0.0,) * 3, (1.0,) * 3, model.preprocessing.image_size, model.preprocessing.resize_size
    )
    loaders = make_loaders(task, plain)
    settings = Settings(preprocessing=model.preprocessing)
    with pytest.raises(HelpersError, match="not-normalized"):
        fit(model, task, [Phase("all", 1e-3, 1)], settings=settings, loaders=loaders, verbose=False)


def test_a_run_is_the_same_with_and_without(task):
    ends = []
    for doctor in (True, False):
        model = network(task)
        torch.manual_seed(5)
        strategy = [Phase("head", 1e-2, 1), Phase("all", 1e-3, 1, update_batchnorm=True)]
        fit(model, task, strategy, settings=Settings(mix="mixup", keep_best=False), verbose=False, doctor=doctor)
        ends.append((model.state_dict(), torch.get_rng_state()))
    assert torch.equal(ends[0][1], ends[1][1])
    assert all(torch.equal(value, ends[1][0][name]) for name, value in ends[0][0].items())


def test_a_run_that_goes_on_is_not_looked_at_again(task, tmp_path):
    def run(**options):
        model = network(task)
        model.fc = nn.Sequential(model.fc, nn.Softmax(dim=1))
        return fit(model, task, [Phase("head", 1e-2, 1)], out=tmp_path / "run", verbose=False, **options)

    with pytest.raises(HelpersError, match="softmax-before-loss"):
        run(resume=True)
    begun = run(doctor=False)
    assert run(resume=True).val_accuracy == begun.val_accuracy


def test_the_look_costs_little(task):
    model, seconds = network(task), []
    for _ in range(2):
        for doctor in (True, False):
            start = time.process_time()
            fit(model, task, [Phase("head", 1e-3, 1)], verbose=False, doctor=doctor)
            seconds.append((time.process_time() - start) * (1 if doctor else -1))
    assert sum(seconds[-2:]) < 2


@pytest.mark.filterwarnings("ignore:never predicted")  # after one epoch
def test_the_command_line_hands_the_wish_on(tmp_path, capsys):
    words = ["fit", "flowers", "--few", "2", "--strategy", "feature-extraction", "--epochs", "1", "--no-doctor"]
    assert main([*words, "--out", str(tmp_path / "run"), "--json"]) == 0
    assert main(["doctor", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert not [finding for finding in found["findings"] if finding["severity"] != "note"]


@pytest.mark.filterwarnings("ignore:never predicted")  # after one epoch
def test_the_command_ends_with_1_where_it_finds_an_error(tmp_path, capsys):
    run = str(tmp_path / "run")
    words = ["fit", "flowers", "--few", "2", "--epochs", "1", "--out", run]
    too_high = ["--optimizer", "sgd", "--schedule", "constant", "--lr", "0.1"]  # and not yet diverged
    assert main([*words, *too_high]) == 0
    assert main(["doctor", run]) == 1
    assert "ERROR rate-too-high" in capsys.readouterr().out
