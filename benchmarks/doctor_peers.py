"""The doctor's mistakes shown to the libraries that find parts of it: who finds which mistake.

A library finds a mistake when it reports something about the wrong set-up that it does not report about the corrected
counterpart. TorchFix reads source instead; it finds a mistake when it reports anything about the code that builds it.
"""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from helpers import diagnose
from tests.mistakes import MISTAKES, Mistake, Setup
from tests.mistakes.small import small_world

Says = Callable[[Setup], set[str]]


def doctor(setup: Setup) -> set[str]:
    return {finding.code for finding in diagnose(**setup.arguments()).findings}


def torchtest2(setup: Setup) -> set[str]:
    from torchtest2 import check_model

    images, labels = next(iter(setup.train_loader))
    report = check_model(
        setup.model, images, labels, loss_fn=setup.criterion, optimizer=setup.optimizer, overfit_steps=30
    )
    return {result.name for result in [*report.failures, *report.warnings]}


def guardtower(setup: Setup) -> set[str]:
    from guardtower import audit

    images, labels = next(iter(setup.train_loader))
    found = audit(
        setup.model,
        lambda: setup.criterion(setup.model(images), labels),
        optimizer=setup.optimizer,
        inputs=images,
    )
    return {finding.check for finding in found if finding.severity.label != "info"}


def torch_audit(setup: Setup) -> set[str]:
    from torch_audit import audit_dynamic

    images, labels = next(iter(setup.train_loader))
    with audit_dynamic(setup.model, optimizer=setup.optimizer, every_n_steps=1, reporters=[]) as auditor:
        auditor.audit_static()
        auditor.audit_init()
        auditor.audit_data(images)
        loss = setup.criterion(auditor.forward(images), labels)
        auditor.backward(loss)
        auditor.optimizer_step()
    return {finding.rule_id for finding in auditor.findings}


TITLE = f"mistakes found, of {len(MISTAKES)}"
PEERS: dict[str, Says] = {
    "doctor": doctor,
    "torchtest2": torchtest2,
    "guardtower": guardtower,
    "torch-audit": torch_audit,
}


def measure() -> dict[str, int]:
    """Print a table of mistakes and libraries; returns how many each finds."""
    warnings.simplefilter("ignore")
    columns = [*PEERS, "TorchFix"]
    counts = dict.fromkeys(columns, 0)
    print(f"\n{TITLE}")
    print(f"{'finding':32} {'mistake':40} " + " ".join(f"{name:>11}" for name in columns))
    for mistake in MISTAKES:
        architecture = mistake.only[0] if mistake.only else "resnet"
        verdicts = {name: _finds(mistake, architecture, says) for name, says in PEERS.items()}
        verdicts["TorchFix"] = _torchfix(mistake)
        for name, verdict in verdicts.items():
            counts[name] += verdict == "yes"
        print(f"{mistake.code:32} {mistake.name:40} " + " ".join(f"{verdicts[name]:>11}" for name in columns))
    print(f"{'found, of ' + str(len(MISTAKES)):73} " + " ".join(f"{counts[name]:>11}" for name in columns))
    return counts


def _finds(mistake: Mistake, architecture: str, says: Says) -> str:
    """`yes`, `-`, or `raises` where the library itself stops on both the wrong and the right set-up."""
    reports = []
    for wrong in (True, False):
        torch.manual_seed(0)
        setup = mistake.build(small_world(architecture), wrong)
        setup.model = copy.deepcopy(setup.model) if setup.optimizer is None else setup.model
        setup.criterion = setup.criterion or nn.CrossEntropyLoss()
        try:
            reports.append(says(setup))
        except Exception as error:
            reports.append({f"raises {type(error).__name__}"})
    if any(name.startswith("raises") for name in reports[1]):
        return "raises"
    return "yes" if reports[0] - reports[1] else "-"


def _torchfix(mistake: Mistake) -> str:
    """Whether TorchFix reports anything about a mistake's source."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mistake.py"
        path.write_text("import torch\nfrom torch import nn\n\n" + textwrap.dedent(inspect.getsource(mistake.build)))
        command = [sys.executable, "-m", "flake8", "--isolated", "--select=TOR0,TOR1,TOR2", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        raise ModuleNotFoundError("TorchFix is not installed; `make bench` installs benchmarks/requirements.txt")
    return "yes" if done.stdout.strip() else "-"


if __name__ == "__main__":
    measure()
