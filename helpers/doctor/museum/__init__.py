"""The museum: every mistake that the doctor knows, built on purpose, beside the same thing done right.

Each exhibit is one small function of a `World` (a pretrained network and pictures) that builds the wrong set-up or its
repaired twin. The tests build them in small worlds of several architectures; `python -m helpers.doctor.museum` trains
them on the embedded flowers and measures what each mistake costs.
"""

from helpers.doctor.museum.exhibits import CORRECT, EXHIBITS, Exhibit
from helpers.doctor.museum.halls import correct_data, correct_training, data, model, optimizer  # noqa: F401  (register)
from helpers.doctor.museum.worlds import Setup, World

__all__ = ["CORRECT", "EXHIBITS", "Exhibit", "Setup", "World"]
