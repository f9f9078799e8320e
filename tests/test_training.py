"""Training: what is frozen stays, features stand in for the backbone, runs repeat and resume bit for bit."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.data.loaders import make_loaders
from helpers.data.preprocessing import IMAGENET
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError, HelpersWarning
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.prediction import predict
from helpers.models.saved_models import load_model
from helpers.models.stages import stages
from helpers.models.weights_files.checkpoints import load_checkpoint
from helpers.training.checks import name_of
from helpers.training.evaluation import evaluate
from helpers.training.fit import fit
from helpers.training.loop import Settings, train
from helpers.training.runs.checkpoint import RunFolder
from helpers.training.runs.precision import choose_precision, supports_bf16
from helpers.training.strategies import STRATEGIES, Phase, make_strategy

CLASSES = 4
PREPROCESSING = IMAGENET.with_size(24)


def stripes(count: int, seed: int) -> Split:
    """Noisy images whose class is the color and direction of faint stripes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 200, (count, 3, 24, 24), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        view = image if label % 2 else image.transpose(1, 2)
        view[label // 2, ::4] += 55
    return Split(labels, images.to(torch.uint8))


def small_task() -> Task:
    return Task("stripes", tuple("abcd"), stripes(40, 1), stripes(24, 2), stripes(24, 3))


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    block = lambda inputs, outputs: nn.Sequential(  # noqa: E731
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
    network = nn.Sequential()
    for name, module in (
        ("layer1", block(3, 8)),
        ("layer2", block(8, 16)),
        ("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))),
        ("fc", nn.Linear(16, CLASSES)),
    ):
        network.add_module(name, module)
    network.preprocessing = PREPROCESSING
    return network


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


TWO_PHASES = [Phase("head", 1e-2, 2), Phase("all", 1e-3, 3, layer_decay=0.5, update_batchnorm=True)]


def test_only_the_chosen_stages_move() -> None:
    model, task = small_network(), small_task()
    before = weights_of(model)
    fit(
        model, task, [Phase(("layer2", "fc"), 1e-2, 2, update_batchnorm=True)], Settings(keep_best=False), verbose=False
    )
    moved = {name.split(".")[0] for name, value in weights_of(model).items() if not torch.equal(value, before[name])}
    assert moved == {"layer2", "fc"}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.fault
def test_a_refrozen_stage_is_not_moved_by_momentum(optimizer: str) -> None:
    task, model = small_task(), small_network()
    fit(model, task, [Phase("all", 1e-2, 1)], Settings(optimizer=optimizer, keep_best=False), verbose=False)
    before = weights_of(model)
    fit(model, task, [Phase("head", 1e-2, 2)], Settings(optimizer=optimizer, keep_best=False), verbose=False)
    moved = {name.split(".")[0] for name, value in weights_of(model).items() if not torch.equal(value, before[name])}
    assert moved == {"fc"}


def test_stages_that_join_later_learn_in_their_phase() -> None:
    task, model = small_task(), small_network()
    before = weights_of(model)
    fit(model, task, make_strategy("gradual-unfreezing", epochs=4), Settings(keep_best=False), verbose=False)
    after = weights_of(model)
    assert all(not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"]) for name in ("layer1.0", "fc"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_learns(name: str) -> None:
    task = small_task()
    model = small_network(seed=1)
    run = fit(model, task, make_strategy(name, epochs=6, lr=3e-3), Settings(batch_size=8), verbose=False)
    losses = run.history.column("train_loss")
    assert losses[-1] < losses[0]
    assert run.val_accuracy == max(run.history.column("val_accuracy"))
    assert run.val_accuracy == evaluate(model, make_loaders(task, PREPROCESSING).val).accuracy


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_named_strategy_does_not_starve_a_tiny_set(name: str) -> None:
    """An epoch may be a single step; then there are more epochs, unless they are given."""
    short, usual = make_strategy(name, steps_per_epoch=1), make_strategy(name)
    assert 60 <= sum(phase.epochs for phase in short) < 70
    assert make_strategy(name, steps_per_epoch=40) == usual
    assert make_strategy(name, epochs=5, steps_per_epoch=1) == make_strategy(name, epochs=5)


def test_fit_by_name_takes_enough_steps() -> None:
    run = fit(small_network(), small_task(), "fine-tuning", Settings(batch_size=1000), verbose=False)
    assert len(run.history.column("epoch")) == 60


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_schedules_keep_the_ratio_of_the_groups_rates(schedule: str, warmup: float) -> None:
    from helpers.training.optim import make_optimizer, make_scheduler

    model = small_network()
    phase = Phase("all", 1e-2, 1, layer_decay=0.5, schedule=schedule, warmup=warmup)
    optimizer = make_optimizer(model, phase, "sgd", 0.0)
    scheduler = make_scheduler(optimizer, phase, steps=12)
    seen = []
    for _ in range(12):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    ratios = torch.tensor(seen)[:, :-1] / torch.tensor(seen)[:, 1:]
    assert torch.allclose(ratios, torch.full_like(ratios, 0.5))
    assert max(rates[-1] for rates in seen) == pytest.approx(1e-2, rel=0.01)
    assert (seen[0][-1] < 5e-3) == (schedule == "one-cycle" or warmup > 0)


def test_stored_features_give_what_the_plain_loop_gives() -> None:
    task, runs = small_task(), []
    for cache_features in (True, False):
        model = small_network()
        run = fit(
            model,
            task,
            [Phase("head", 1e-2, 3)],
            Settings(batch_size=8, augment=None, cache_features=cache_features),
            verbose=False,
        )
        runs.append((run, weights_of(model)))
    (cached, cached_weights), (plain, plain_weights) = runs
    assert cached.history.column("val_accuracy") == plain.history.column("val_accuracy")
    assert all(torch.allclose(cached_weights[name], plain_weights[name], atol=1e-6) for name in plain_weights)


def test_a_head_phase_runs_the_backbone_once_for_each_view() -> None:
    task, model, seen = small_task(), small_network(), []
    # The work is done by a copy of the model, which carries the hook along.
    model.layer1.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    fit(model, task, [Phase("head", 1e-2, 6)], Settings(augment="standard", views=3), verbose=False)
    looked_at_the_model_once = 1
    assert sum(seen) == 3 * len(task.train) + len(task.val) + looked_at_the_model_once


@pytest.mark.fault
def test_augmentation_without_effect_is_announced() -> None:
    with pytest.warns(HelpersWarning, match="no effect"):
        fit(
            small_network(),
            small_task(),
            [Phase("head", 1e-2, 1)],
            Settings(augment="standard", views=1),
            verbose=False,
        )


@pytest.mark.parametrize("mix", [None, "mixup", "cutmix", "both"])
def test_two_runs_are_the_same_to_the_bit_and_leave_the_global_generator_alone(mix: str | None) -> None:
    task, found = small_task(), []
    for noise in range(2):
        model = small_network()
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        settings = Settings(augment="standard", mix=mix, batch_size=8)
        fit(model, task, TWO_PHASES, settings, verbose=False)
        assert torch.equal(state, torch.get_rng_state())
        found.append(weights_of(model))
    assert_same_bits(*found)


def test_early_stopping_keeps_the_best_weights() -> None:
    task, model = small_task(), small_network()
    run = fit(
        model, task, [Phase("all", 0.5, 30, schedule="constant")], Settings(optimizer="sgd", patience=2), verbose=False
    )
    assert len(run.history) < 30
    assert run.best in run.history.rows[:-2]
    assert evaluate(model, make_loaders(task, PREPROCESSING).val).accuracy == run.val_accuracy


@pytest.mark.fault
def test_a_loss_that_is_not_finite_stops_the_run_and_gives_the_last_good_weights_back() -> None:
    task, model = small_task(), small_network()
    fit(model, task, [Phase("all", 1e-3, 1)], verbose=False)
    good = weights_of(model)
    with pytest.raises(HelpersError, match=r"loss became .* phase 1, epoch \d, batch \d.*learning rate"):
        fit(model, task, [Phase("all", 1e30, 3, schedule="constant")], Settings(optimizer="sgd"), verbose=False)
    assert_same_bits(good, weights_of(model))
    assert all(module.training for module in model.train().modules())


@pytest.mark.fault
def test_a_image_that_is_not_finite_is_named() -> None:
    def broken(image: torch.Tensor) -> torch.Tensor:
        return image / 255 * (float("nan") if image.min() == 255 else 1.0)

    task = small_task()
    task.train.images[7] = 255
    with pytest.raises(HelpersError, match="image 7 holds values that are not finite"):
        fit(small_network(), task, [Phase("all", 1e-3, 1)], Settings(augment=broken, batch_size=8), verbose=False)


NO_DECAY = {"weight_decay": float("nan")}


@pytest.mark.fault
def test_what_cannot_be_is_refused() -> None:
    task, model = small_task(), small_network()
    with pytest.raises(HelpersError, match=r"replace_head\(model, 4\)"):
        fit(replace_head(model, 7), task, [Phase("head", 1e-2, 1)], verbose=False)
    for phase in ({"lr": -1.0}, {"epochs": 0}, {"schedule": "cosinus"}, {"warmup": 1.0}, {"layer_decay": 0.0}):
        with pytest.raises(HelpersError):
            Phase(**({"trainable": "all", "lr": 1e-2, "epochs": 1} | phase))
    for trainable in ("layer9", 9, ()):
        with pytest.raises(HelpersError, match="layer1"):
            fit(small_network(), task, [Phase(trainable, 1e-2, 1)], verbose=False)
    for options in ({"optimizer": "adam-w"}, {"label_smoothing": 1.0}, {"mix": "blend"}, {"views": 0}, NO_DECAY):
        with pytest.raises(HelpersError):
            fit(small_network(), task, [Phase("all", 1e-2, 1)], Settings(**options), verbose=False)


TESTS = Path(__file__).parent
ENVIRONMENT = os.environ | {
    "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}",
    "OMP_NUM_THREADS": str(torch.get_num_threads()),  # results are the same to the bit on the same number of threads
}
PROGRAM = """
    import sys, torch
    from tests.test_training import TWO_PHASES, small_network, small_task
    import helpers.training.fit as fit_module
    from helpers.training.loop import Settings

    fit_module.SECONDS_BETWEEN_SAVES = 0.0
    model, settings = small_network(), Settings(batch_size=8, augment="standard", mix="mixup")
    fit_module.fit(model, small_task(), TWO_PHASES, settings, out=sys.argv[1], resume=True)
    torch.save(model.state_dict(), sys.argv[2])
"""


def start(folder: Path, result: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), folder, result]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.fault
def test_a_stopped_run_ends_like_one_that_was_never_stopped(tmp_path, which: signal.Signals) -> None:
    whole = small_network()
    fit(whole, small_task(), TWO_PHASES, Settings(batch_size=8, augment="standard", mix="mixup"), verbose=False)
    process = start(tmp_path / "run", tmp_path / "result.pt")
    for line in process.stderr:
        if line.startswith("phase 2  epoch   1"):
            time.sleep(0.03)
            process.send_signal(which)
            break
    process.stderr.read()
    assert process.wait() != 0
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["progress"]["rows"]
    again = start(tmp_path / "run", tmp_path / "result.pt")
    lines = again.stderr.read()
    assert again.wait() == 0, lines
    assert "phase 1" not in lines
    assert_same_bits(weights_of(whole), torch.load(tmp_path / "result.pt", weights_only=True))


@pytest.mark.fault
def test_a_run_folder_is_neither_overwritten_nor_mixed_up(tmp_path) -> None:
    task, strategy = small_task(), [Phase("all", 1e-3, 1)]
    first = fit(small_network(), task, strategy, out=tmp_path / "run", verbose=False)
    with pytest.raises(HelpersError, match="already holds a run"):
        fit(small_network(), task, strategy, out=tmp_path / "run", verbose=False)
    with pytest.raises(HelpersError, match="another run: its settings seed was 0, now it is 1"):
        fit(small_network(), task, strategy, out=tmp_path / "run", resume=True, seed=1, verbose=False)
    again = fit(small_network(seed=5), task, strategy, out=tmp_path / "run", resume=True, verbose=False)
    assert again.history.rows == first.history.rows


def test_a_saved_model_knows_its_classes_and_preprocessing(tmp_path) -> None:
    from torchvision.io import write_png

    task = Task("stripes", tuple("abcd"), stripes(8, 1), stripes(8, 2))
    model = replace_head(load_backbone("squeezenet1_1", weights=None), CLASSES, hidden=8, dropout=0.1)
    model.preprocessing = model.preprocessing.with_size(48)
    fit(model, task, [Phase("head", 1e-3, 1)], out=tmp_path, verbose=False)
    saved = load_model(tmp_path)
    assert saved.classes == task.classes
    assert saved.preprocessing == model.preprocessing
    assert_same_bits(weights_of(model), weights_of(saved.model))
    write_png(task.val.images[0], str(tmp_path / "photo.png"))
    (prediction,) = predict(saved, [tmp_path / "photo.png"], top=9)
    logits = evaluate(model, make_loaders(task, model.preprocessing).val).logits[0]
    assert prediction.classes[0] == task.classes[int(logits.argmax())]
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)


def test_two_processes_give_the_result_of_one(tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import sys
        from tests.test_training import small_network, small_task
        from helpers.training.strategies import Phase
        from helpers.training.fit import fit
        from helpers.training.loop import Settings

        model = small_network()
        model.pool[2].p = 0.0
        strategy = [Phase("head", 1e-2, 2), Phase("all", 1e-3, 2)]
        settings = Settings(batch_size=10, augment="flip")
        run = fit(model, small_task(), strategy, settings, out=sys.argv[1], verbose=False)
        """)
    )
    single = [sys.executable, str(program), str(tmp_path / "one")]
    double = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
    double += ["--mixed_precision=no", "--dynamo_backend=no", str(program), str(tmp_path / "two")]
    for command in (single, double):
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one[0].items():
        assert torch.allclose(value, two[0][name], atol=1e-5), name
    assert one[1]["best"]["val_accuracy"] == two[1]["best"]["val_accuracy"]


@pytest.mark.fault
def test_two_processes_by_torchrun_speak_with_one_voice(tmp_path, photo_folder) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "helpers"]
    words = ["fit", str(photo_folder()), "--strategy", "feature-extraction", "--epochs", "2", "--image-size", "16"]
    words += ["--batch-size", "4", "--json", "--out", str(tmp_path / "run")]
    done = subprocess.run([*torchrun, *words], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["batch_size"] == 4
    assert sum(line.startswith("phase 1") for line in done.stderr.splitlines()) == 2


def test_the_history_is_a_plain_table() -> None:
    run = fit(small_network(), small_task(), TWO_PHASES, verbose=False)
    assert run.history.column("phase") == [1, 1, 2, 2, 2]
    assert json.loads(json.dumps(run.history.rows)) == run.history.rows
    assert len(str(run.history).splitlines()) == len(run.history) == 5


def test_stages_of_the_small_network() -> None:
    assert [stage.name for stage in stages(small_network())][-1] == "fc"


@pytest.mark.fault
def test_bf16_is_not_used_where_its_gradients_would_be_garbage() -> None:
    """At 16 px the last strided convolution sees one pixel, and oneDNN leaves most of its bf16 gradient unwritten."""
    cpu = torch.device("cpu")
    assert choose_precision("auto", 16, cpu) == "fp32"
    assert choose_precision("auto", 224, cpu) == ("bf16" if supports_bf16(cpu) else "fp32")
    with pytest.raises(HelpersError, match="at least 32 px"):
        choose_precision("bf16", 16, cpu)
    assert choose_precision("bf16", 32, cpu) == "bf16"


def test_fit_is_the_loop_with_things_around_it() -> None:
    """The same weights to the bit: a learner who reads `train` has read what `fit` does."""
    task, settings, found = small_task(), Settings(batch_size=8, cache_features=False), []
    for with_fit in (True, False):
        model = small_network()
        if with_fit:
            history = fit(model, task, TWO_PHASES, settings, verbose=False).history
        else:
            model.to(memory_format=torch.channels_last)
            loaders = make_loaders(task, model.preprocessing, batch_size=8, augment=settings.augment)
            history = train(model, TWO_PHASES, loaders, settings)
        found.append((weights_of(model), history.column("val_loss")))
    assert_same_bits(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.fault
def test_a_checkpoint_of_the_first_version_says_what_to_do(tmp_path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(HelpersError, match=r"first version.*new run in another folder"):
        fit(small_network(), small_task(), TWO_PHASES, out=tmp_path, resume=True, verbose=False)


@pytest.mark.fault
def test_a_damaged_checkpoint_is_named(tmp_path) -> None:
    model = small_network()
    fit(model, small_task(), [Phase("head", 1e-2, 1)], out=tmp_path, verbose=False)
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[content.index(model.fc.weight.detach().numpy().tobytes()[:8])] ^= 1
    path.write_bytes(content)
    with pytest.raises(HelpersError, match=r"checkpoint\.pt is damaged"):
        fit(small_network(), small_task(), [Phase("head", 1e-2, 1)], out=tmp_path, resume=True, verbose=False)


def _brighter(image: torch.Tensor) -> torch.Tensor:
    return (image.float() / 255 + 0.1).clamp(0, 1)


@pytest.mark.fault
def test_a_run_augmented_by_a_function_is_known_again_in_another_process() -> None:
    """By its name; its address is another one in each process."""
    assert name_of(_brighter) == "tests.test_training._brighter"
    assert name_of("light") == "'light'"


@pytest.mark.fault
def test_two_processes_do_not_write_to_one_run(tmp_path) -> None:
    first, second = (RunFolder(tmp_path, {}) for _ in range(2))
    first.open()
    with pytest.raises(HelpersError, match="another process is training"):
        second.open()
    first.close()
    second.open()
    second.close()


@pytest.mark.fault
def test_after_fit_plain_pytorch_finds_nothing_held_back() -> None:
    model = small_network()
    fit(model, small_task(), [Phase("all", 1e-2, 1)], Settings(batch_size=8), verbose=False)
    assert not model.training
    model.train()
    assert all(module.training for module in model.modules())
