"""Every mistake that the doctor knows, built on purpose, beside the same thing done right.

Each mistake is one small function of a `World` (a pretrained network and images) that builds the wrong set-up or its
corrected counterpart. The tests build them in small worlds of several architectures; `python -m tests.mistakes` trains
them on the embedded flowers and measures what each mistake costs.
"""

from tests.mistakes import correct_data, correct_training, wrong_data, wrong_model, wrong_optimizer  # noqa: F401  (register)
from tests.mistakes.mistakes import CORRECT, MISTAKES, Mistake
from tests.mistakes.worlds import Setup, World

__all__ = ["CORRECT", "MISTAKES", "Mistake", "Setup", "World"]
