"""The command line: what it prints, how it ends, and that real photos and weights go through it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import models

from helpers.training.strategies import STRATEGIES

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIELDS = {
    "task", "backbone", "strategy", "seed", "classes", "train_images", "val_accuracy", "test_accuracy",
    "trainable_parameters", "total_parameters", "train_seconds", "images_per_second",
}  # fmt: skip


def python(*words: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with a network that tells drawn slides apart."""
    run = tmp_path_factory.mktemp("runs") / "slides"
    words = ("fit", "slides", "--strategy", "feature-extraction", "--out", run, "--json")
    done = python("-m", "helpers", *words)
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.parametrize("name", ["", "fit", "predict", "compare", "export", "doctor", "draw"])
def test_help_explains_each_command(name, command) -> None:
    outcome = command(*filter(None, [name]), "--help")
    assert outcome.status == 0
    assert "Usage: transfer" in outcome.out


@pytest.fixture(params=["helpers.py", "helpers/__init__.py", "helpers/own.py"])
def shadow(request, tmp_path) -> Path:
    """A folder with helpers of the learner's own."""
    own = tmp_path / request.param
    own.parent.mkdir(exist_ok=True)
    own.write_text("")
    return tmp_path


def test_the_command_works_beside_helpers_of_ones_own(shadow) -> None:
    script = Path(sys.executable).with_name("transfer")
    done = subprocess.run([script, "draw", "--help"], capture_output=True, text=True, check=False, cwd=shadow)
    assert "Usage: transfer draw" in done.stdout, done.stderr


def test_lessons_say_so_where_helpers_are_hidden(shadow) -> None:
    notebooks = [json.loads(file.read_text(encoding="utf-8"))["cells"] for file in NOTEBOOKS.glob("*.ipynb")]
    first = {next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code") for cells in notebooks}
    assert len(first) == 1
    done = python("-c", first.pop(), cwd=shadow)
    assert f"{shadow / 'helpers'}" in done.stderr.splitlines()[-1]
    assert "rename it" in done.stderr.splitlines()[-1]


def test_waiting_threads_do_not_spin_for_long() -> None:
    code = "import os, helpers; print(os.environ['GOMP_SPINCOUNT'])"
    free = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    assert python("-c", code, env=free).stdout == "1000\n"
    assert python("-c", code, env=free | {"GOMP_SPINCOUNT": "7"}).stdout == "7\n"


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from helpers.commands import main; main(['fit', '--help']); print('torch' in sys.modules)"
    assert python("-c", code).stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_learns_from_a_folder(name, command, photo_folder) -> None:
    words = ("--backbone", "embedded", "--epochs", 5, "--batch-size", 8, "--image-size", 32, "--json")
    outcome = command("fit", photo_folder(count=8), "--strategy", name, *words)
    assert outcome.status == 0, outcome.err
    assert outcome.json.keys() >= FIELDS
    assert outcome.json["val_accuracy"] > 0.7
    assert outcome.json["test_accuracy"] is None
    learning, total = outcome.json["trainable_parameters"], outcome.json["total_parameters"]
    assert learning < 2000 if name == "feature-extraction" else learning == total


def test_the_drawn_task_in_a_process_of_its_own(trained, command) -> None:
    outcome = command("compare", trained, trained)
    heading, *rows = outcome.out.splitlines()
    assert heading.split()[:3] == ["task", "strategy", "backbone"]
    assert rows[0] == rows[1]
    assert rows[0].startswith("slides  feature-extraction  embedded")


def test_predict_names_the_likeliest_classes_first(trained, command, tmp_path) -> None:
    assert command("draw", "slides", "--out", tmp_path / "new", "--count", 40, "--seed", 77).status == 0
    photos = sorted((tmp_path / "new").glob("*/*.png"))
    found = command("predict", trained, *photos, "--top", 4, "--json").json["predictions"]
    assert [Path(each["photo"]) for each in found] == photos
    for each in found:
        assert sum(each["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert each["probabilities"] == sorted(each["probabilities"], reverse=True)
    right = sum(each["classes"][0] == photo.parent.name for each, photo in zip(found, photos, strict=True))
    assert right > 20
    assert command("predict", trained, photos[0]).out.startswith(f"{photos[0]}: ")


def test_export_fits_the_architecture_without_this_package(tmp_path, command, photo_folder) -> None:
    run, out = tmp_path / "run", tmp_path / "export"
    common = ("--backbone", "squeezenet1_1", "--weights", "none", "--strategy", "feature-extraction")
    assert command("fit", photo_folder(), *common, "--epochs", 1, "--image-size", 64, "--out", run).status == 0
    assert command("export", run, "--out", out).status == 0
    network = models.squeezenet1_1(num_classes=2)
    network.load_state_dict(load_file(out / "weights.safetensors"))
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_draw_writes_equal_folders_for_equal_seeds(tmp_path, command) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ("--out", tmp_path / name, "--count", 21, "--size", 24, "--seed", seed)
        assert command("draw", "flowers", *words).status == 0
    contents = {
        name: {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).glob("*/*.png")}
        for name in "abc"
    }
    assert contents["a"] == contents["b"] != contents["c"]
    assert len(contents["a"]) == 21
    first = next((tmp_path / "a").glob("*/*.png"))
    with Image.open(first) as image:
        assert image.size == (24, 24)


def test_the_doctor_looks_at_a_run(trained, command) -> None:
    outcome = command("doctor", trained, "--json")
    assert outcome.status == 0, outcome.err
    assert [each for each in outcome.json["findings"] if each["severity"] == "error"] == []


def test_output_into_a_closed_pipe_is_no_fault(tmp_path) -> None:
    words = f"{sys.executable} -m helpers --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_photos_get_a_network_that_learned_from_photos(command, photo_folder) -> None:
    words = ("--strategy", "feature-extraction", "--epochs", 10, "--image-size", 32, "--json")
    outcome = command("fit", photo_folder(), *words)
    assert outcome.status == 0, outcome.err
    assert outcome.json["backbone"] == "efficientnet_lite0"
    assert outcome.json["val_accuracy"] > 0.7


@pytest.mark.parametrize(
    ("backbone", "weights", "least"),
    [
        ("efficientnet_lite0", None, 0.945),
        ("mobilenet_v2", "mobilenet_v2-coral.pth", 0.93),
        ("squeezenet1_1", "squeezenet1_1-caffe.pth", 0.86),
    ],
)
def test_real_ants_and_bees(backbone, weights, least, real, command) -> None:
    words = () if weights is None else ("--backbone", backbone, "--weights", real / "weights" / weights)
    outcome = command("fit", "ants-bees", *words, "--strategy", "feature-extraction", "--json")
    assert outcome.err.count("imageNotFound.gif") == 1
    assert outcome.json["backbone"] == backbone
    assert outcome.json["val_accuracy"] >= least


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="minutes; continuous integration runs it")
@pytest.mark.parametrize(("strategy", "least"), [("feature-extraction", 0.64), ("fine-tuning", 0.74)])
def test_real_flowers(strategy, least, real) -> None:
    """Flowers-102 in its official splits, photos of 64 px enlarged to 128."""
    words = ("flowers102", "--root", real / "flowers102-64px", "--image-size", 128, "--strategy", strategy)
    epochs = ("--epochs", 15) if strategy == "fine-tuning" else ()
    done = python("-m", "helpers", "fit", *words, *epochs, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["test_accuracy"] >= least
