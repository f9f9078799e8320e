"""What several rooms' tests share: an own cache, one thread, tiny photo folders, the command line."""

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.commands import main
from helpers.errors import HelpersWarning

REAL = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory):
    """Nothing is read from or left in the user's own cache; processes that tests start inherit this."""
    os.environ["HELPERS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(1)


@pytest.fixture
def real(monkeypatch) -> Path:
    """The folder of real photos and weights, where there is one; `TRANSFER_DATA` names it for the test."""
    if not REAL.is_dir():
        pytest.skip("no real photos and weights beside the repository")
    monkeypatch.setenv("TRANSFER_DATA", str(REAL))
    return REAL


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of the output."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def command(capsys) -> Callable[..., Outcome]:
    """Runs a command in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default", HelpersWarning)  # shown, as in a process of its own
            status = main([str(word) for word in words])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def refused(command) -> Callable[..., str]:
    """Runs a command that must end with status 2 and one line of explanation; hands the line back."""

    def run(*words: object) -> str:
        outcome = command(*words)
        assert outcome.status == 2, outcome
        lines = outcome.err.splitlines()
        assert lines[-1].startswith("error: "), outcome.err
        assert "Traceback" not in outcome.err
        assert sum(line.startswith("error: ") for line in lines) == 1
        return lines[-1]

    return run


@pytest.fixture
def photo_folder(tmp_path) -> Callable[..., Path]:
    """Makes a folder with train and val folders of class folders: noise whose color tells the class."""

    def make(name: str = "photos", classes: tuple[str, ...] = ("blue", "red"), count: int = 6) -> Path:
        folder = tmp_path / name
        generator = np.random.default_rng(len(name))
        for split in ("train", "val"):
            for number, label in enumerate(classes):
                home = folder / split / label
                home.mkdir(parents=True)
                for index in range(count):
                    pixels = generator.integers(0, 120, (40, 48, 3), dtype=np.uint8)
                    pixels[..., number % 3] += 100
                    Image.fromarray(pixels).save(home / f"{index}.png")
        return folder

    return make
