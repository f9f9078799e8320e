"""How long an import takes, each time in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable


def importing(statement: str) -> Callable[[], int]:
    """One interpreter that runs the statement and ends."""

    def work() -> int:
        subprocess.run([sys.executable, "-c", statement], check=True)
        return 1

    return work
