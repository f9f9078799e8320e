"""Random seeds from several numbers: the same numbers give the same seed, different ones unrelated seeds."""

from __future__ import annotations

import numpy as np
import torch


def seed_from(*numbers: int) -> int:
    """One seed, 0 to 2**64 - 1, from several numbers, such as (seed, epoch, step); by NumPy's `SeedSequence`."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def seeded(*numbers: int) -> torch.Generator:
    """A generator on the CPU that depends on these numbers alone."""
    return torch.Generator().manual_seed(seed_from(*numbers))
