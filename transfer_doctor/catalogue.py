"""All checks, in the order in which the book explains them: importing a module registers its checks."""

from transfer_doctor import (  # noqa: F401, I001  (the order is that of the book's chapter)
    model_head,
    model_outputs,
    model_loss,
    model_weights,
    model_partial,
    model_freezing,
    model_batchnorm,
    model_modes,
    optimizer_parameters,
    optimizer_rates,
    optimizer_steps,
    optimizer_schedule,
    data_images,
    data_normalization,
    data_labels,
    data_order,
    data_sampling,
    data_splits,
)
from transfer_doctor.findings import CHECKS

__all__ = ["CHECKS"]
