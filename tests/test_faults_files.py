"""Disks, folders and signals that fail: files stay whole, and a stopped run goes on bit for bit."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.errors import HelpersError
from helpers.files import atomic_write
from helpers.models.saved_models import load_model
from helpers.models.weights_files.checkpoints import load_checkpoint, save_checkpoint

pytestmark = [pytest.mark.fault, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")]

SMALL = ("--backbone", "embedded", "--image-size", 16)

# Long enough to be hit in the middle, short enough for a test: steps on 16 px images.
TRAINING = (*SMALL, "--strategy", "gradual-unfreezing", "--epochs", 6, "--batch-size", 2)


def start(*words: object, limit: int | None = None) -> subprocess.Popen:
    """A command in a process of its own; with `limit`, no file that it writes can grow beyond so many bytes."""

    def restrain() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "helpers", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=None if limit is None else restrain,
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def wait_for_epoch(process: subprocess.Popen, number: int) -> None:
    """Return when so many epochs have been reported."""
    for line in process.stderr:
        if line.startswith("phase"):
            number -= 1
        if number == 0:
            return
    raise AssertionError("the run ended before it could be stopped")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 6)):
        for number, label in enumerate(("blue", "red")):
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 120, (20, 20, 3), dtype=np.uint8)
                pixels[..., 2 * number] += 30
                Image.fromarray(pixels).save(folder / split / label / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    """The weights of a run that nothing disturbed."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    status, errors = finish(start("fit", photos, *TRAINING, "--out", run))
    assert status == 0, errors
    return load_model(run).model.state_dict()


def assert_ends_like(undisturbed: dict[str, torch.Tensor], run: Path) -> None:
    ended = load_model(run).model.state_dict()
    assert ended.keys() == undisturbed.keys()
    for name, value in ended.items():
        assert torch.equal(value, undisturbed[name]), name


@pytest.fixture
def unwritable(tmp_path) -> Path:
    """A place where nobody may write: a read-only folder, or for root, who may write there, the kernel's own."""
    if os.geteuid() == 0:
        if not Path("/sys/kernel").is_dir():
            pytest.skip("nothing is closed to root here")
        return Path("/sys/kernel/helpers-run")
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    return folder / "run"


@pytest.mark.parametrize("epochs", [1, 4])
def test_killed_in_training_a_run_goes_on_bit_for_bit(epochs, photos, undisturbed, tmp_path) -> None:
    process = start("fit", photos, *TRAINING, "--out", tmp_path / "run")
    wait_for_epoch(process, epochs)
    time.sleep(0.05 * epochs)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    status, errors = finish(start("fit", photos, *TRAINING, "--out", tmp_path / "run", "--resume"))
    assert status == 0, errors
    assert_ends_like(undisturbed, tmp_path / "run")


def test_ctrl_c_says_how_to_go_on_and_loses_no_step(photos, undisturbed, tmp_path) -> None:
    process = start("fit", photos, *TRAINING, "--out", tmp_path / "run")
    wait_for_epoch(process, 3)
    process.send_signal(signal.SIGINT)
    status, errors = finish(process)
    assert status == 130
    assert "--resume" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert leftovers(tmp_path) == []
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    status, errors = finish(start("fit", photos, *TRAINING, "--out", tmp_path / "run", "--resume"))
    assert status == 0, errors
    assert_ends_like(undisturbed, tmp_path / "run")


def test_a_full_disk_while_going_on_keeps_the_checkpoint(photos, undisturbed, tmp_path) -> None:
    process = start("fit", photos, *TRAINING, "--out", tmp_path / "run")
    wait_for_epoch(process, 2)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    before = digest(tmp_path / "run" / "checkpoint.pt")
    status, errors = finish(start("fit", photos, *TRAINING, "--out", tmp_path / "run", "--resume", limit=200_000))
    assert status == 2, errors
    assert "could not be written" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert digest(tmp_path / "run" / "checkpoint.pt") == before
    assert leftovers(tmp_path) == []
    assert finish(start("fit", photos, *TRAINING, "--out", tmp_path / "run", "--resume"))[0] == 0
    assert_ends_like(undisturbed, tmp_path / "run")


def test_a_run_folder_below_a_file(photos, refused, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    message = refused("fit", photos, *TRAINING, "--epochs", 1, "--out", tmp_path / "file" / "run")
    assert "file" in message
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_run_folder_that_may_not_be_written_is_found_before_training(photos, command, unwritable) -> None:
    outcome = command("fit", photos, *TRAINING, "--epochs", 1, "--out", unwritable)
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {unwritable}")
    assert len(outcome.err.splitlines()) == 1


def test_drawing_where_nothing_may_be_written(refused, unwritable) -> None:
    assert str(unwritable) in refused("draw", "slides", "--out", unwritable, "--count", 4)


def test_a_write_that_fails_midway_keeps_the_old_file(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, {"a": torch.arange(5)}, {"epoch": 1})
    before = path.read_bytes()

    def fail_midway(file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(HelpersError, match="No space left"):
        atomic_write(path, fail_midway)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_system_without_permissions_is_written_to(tmp_path, monkeypatch) -> None:
    """As on USB sticks, where chmod is refused. No such file system can be mounted in a test."""

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "chmod", refuse)
    atomic_write(tmp_path / "file", lambda file: file.write(b"content"))
    assert (tmp_path / "file").read_bytes() == b"content"


def test_no_room_for_stored_features(photos, command, refused, monkeypatch) -> None:
    import resource

    words = ("fit", photos, *SMALL, "--strategy", "feature-extraction", "--epochs", 1)
    assert command(*words).status == 0
    monkeypatch.setattr("helpers.training.features.IN_MEMORY_BYTES", 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        message = refused(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "MB of features" in message


def test_killed_while_saving_over_and_over_the_file_is_always_whole(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    code = (
        "import sys, torch; from helpers.models.weights_files.checkpoints import save_checkpoint\n"
        "for n in range(10**6): save_checkpoint(sys.argv[1], {'a': torch.full((300_000,), n)}, {'n': n})"
    )
    seen = set()
    for pause in (0.02, 0.11, 0.17):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause)
        process.kill()
        process.wait()
        tensors, description = load_checkpoint(path)
        assert (tensors["a"] == description["n"]).all()
        seen.add(description["n"])
        path.unlink()
    assert seen


def test_what_a_killed_save_left_behind_is_in_nobodys_way(photos, command, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".checkpoint.safetensors.abcd.tmp").write_bytes(b"half a checkpoint")
    words = (*SMALL, "--strategy", "feature-extraction", "--epochs", 1)
    assert command("fit", photos, *words, "--out", run).status == 0
    assert command("predict", run, next((photos / "val" / "red").iterdir())).status == 0


def test_a_damaged_cache_is_made_again(photos, command, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HELPERS_CACHE", str(tmp_path / "cache"))
    words = ("fit", photos, *SMALL, "--strategy", "feature-extraction", "--epochs", 2, "--json")
    first = command(*words).json["val_accuracy"]
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    outcome = command(*words)
    assert outcome.status == 0, outcome.err
    assert outcome.json["val_accuracy"] == first


def test_a_fault_of_our_own_shows_its_traceback(tmp_path) -> None:
    """A package that is broken is no mistake of the user's: status 1, and where it happened."""
    (tmp_path / "safetensors").mkdir()
    (tmp_path / "safetensors" / "__init__.py").write_text("raise RuntimeError('a broken installation')")
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "fit", "slides"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a broken installation" in done.stderr
