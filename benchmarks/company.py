"""A small training alone, and two of them at once on the same cores, as on a shared server."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable

from benchmarks.contest import answer, waiting

EPOCHS = 5
SPINNING = "300000"
"""What libgomp does by default: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html."""


def alone(spins: str | None = None) -> Callable[[], int]:
    """Fine-tuning the embedded backbone on 200 drawn flowers; `spins` None takes what `helpers` sets."""
    os.environ.pop("GOMP_SPINCOUNT", None)
    if spins is not None:
        os.environ["GOMP_SPINCOUNT"] = spins
    from helpers import Phase, fit, load_backbone, load_task, replace_head

    task = load_task("flowers")
    model = replace_head(load_backbone("embedded"), len(task.classes))

    def work() -> int:
        fit(model, task, [Phase("all", 1e-3, EPOCHS)], verbose=False, doctor=False)
        return EPOCHS * len(task.train)

    return work


def together(spins: str | None = None) -> Callable[[], int]:
    """Two such trainings in processes of their own; the work is done when both are."""
    processes = contextlib.ExitStack()
    atexit.register(processes.close)
    lines = [processes.enter_context(waiting(("company.alone", {"spins": spins}))) for _ in range(2)]
    for line in lines:
        answer("a training in company", line)

    def work() -> int:
        for line in lines:
            line.send("go")
        return max(answer("a training in company", line)[1] for line in lines)

    return work
