"""All checks of loops, in the order in which the book explains them: importing a module registers its checks."""

from transfer_doctor.watching import (  # noqa: F401, I001  (the order is that of the book's chapter)
    finds_modes,
    finds_steps,
    finds_gradients,
    finds_schedule,
    finds_data,
    finds_weights,
    finds_results,
)
from transfer_doctor.watching.checks import CHECKS

__all__ = ["CHECKS"]
