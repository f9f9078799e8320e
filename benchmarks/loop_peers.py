"""Wrong training loops shown to `watch` and to the libraries that check training: who finds which.

Libraries that look at a model and a batch are asked where the loop's block begins and where it ends; one finds a wrong
loop when it reports something about it that it does not report about the right one. Those that read source find a
loop when they report anything about its code.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from benchmarks.doctor_peers import PEERS, Says
from tests.mistakes import Setup
from tests.mistakes.loops_register import LOOPS, Loop
from transfer_doctor.optimizers import each_optimizer

SUBJECTS = ("data", "modes", "schedule", "steps", "weights")
MODULES = [importlib.import_module(f"tests.mistakes.loops_{subject}") for subject in SUBJECTS]
READERS = {
    "TorchFix": ["flake8", "--isolated", "--select=TOR0,TOR1,TOR2"],
    "torch-preflight": ["torch_preflight", "check", "--fail-on", "warning"],
}
TITLE = f"wrong loops found, of {len(LOOPS)}"


class Asked:
    """Stands where `watch` stood, and asks a library when the block begins and when it ends."""

    def __init__(self, says: Says, model: nn.Module, optimizer: Any = None, *loaders: Any, **others: Any) -> None:
        first = next(iter(each_optimizer(optimizer)), None)
        self.says, self.reports = says, set()
        self.setup = Setup(model, first, *loaders[:2], criterion=others.get("criterion") or nn.CrossEntropyLoss())

    def __enter__(self) -> Asked:
        self.ask()
        return self

    def __exit__(self, *_error: object) -> None:
        self.ask()

    def ask(self) -> None:
        """Let the library look at a copy, so that the loop itself stays as it is."""
        self.reports |= self.says(copy.deepcopy(self.setup))


def measure() -> dict[str, int]:
    """Print a table of loops and libraries; returns how many each finds."""
    warnings.simplefilter("ignore")
    peers = {name: says for name, says in PEERS.items() if name != "doctor"}
    columns = ["doctor", *peers, *READERS]
    counts = dict.fromkeys(columns, 0)
    print(f"\n{TITLE}\n{'finding':32} {'loop':48} " + " ".join(f"{name:>15}" for name in columns))
    for loop in LOOPS:
        verdicts = {"doctor": _verdict(_watched, loop)}
        verdicts |= {name: _verdict(_asked, loop, says) for name, says in peers.items()}
        verdicts |= {name: _read(command, loop) for name, command in READERS.items()}
        for name, verdict in verdicts.items():
            counts[name] += verdict == "yes"
        print(f"{loop.code:32} {loop.name:48} " + " ".join(f"{verdicts[name]:>15}" for name in columns))
    print(f"{TITLE:81} " + " ".join(f"{counts[name]:>15}" for name in columns))
    return counts


def _verdict(reports: Callable[..., set[str]], loop: Loop, *given: Any) -> str:
    """`yes`, `-`, or `raises` where the library itself stops on the right loop."""
    try:
        right = reports(False, loop, *given)
    except Exception:  # whatever a library raises
        return "raises"
    try:
        return "yes" if reports(True, loop, *given) - right else "-"
    except Exception:  # it stops at the mistake, which tells of it
        return "yes"


def _watched(wrong: bool, loop: Loop) -> set[str]:
    return set(loop.run(wrong).diagnosis.codes)


def _asked(wrong: bool, loop: Loop, says: Says) -> set[str]:
    with ExitStack() as stack:
        for module in MODULES:
            stack.enter_context(mock.patch.object(module, "watch", partial(Asked, says)))
        return loop.run(wrong).reports


def _read(command: list[str], loop: Loop) -> str:
    """Whether a program that reads source reports anything about a loop's code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.py"
        path.write_text("import copy\n\nimport torch\nfrom torch import nn\n\n\n" + inspect.getsource(loop.run))
        done = subprocess.run(
            [sys.executable, "-m", *command, str(path)], capture_output=True, text=True, check=False, cwd=folder
        )
    if "No module named" in done.stderr:
        raise ModuleNotFoundError(f"{command[0]} is not installed; `make bench` installs benchmarks/requirements.txt")
    return "yes" if done.returncode else "-"


if __name__ == "__main__":
    measure()
