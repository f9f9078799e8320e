"""The doctor: find the common mistakes of transfer learning in the objects of a training script.

A library of its own: it needs PyTorch and NumPy only. Weights of torchvision and timm and class folders of images are
understood where these libraries are in use; nothing of them is imported.

The checks stand in modules named after what they look at: `model_*`, `optimizer_*`, `data_*`. A new check is one
function under `@check` in one of them; `catalogue` lists them all.
"""

from transfer_doctor.diagnose import diagnose, guard
from transfer_doctor.findings import DiagnosisError, Finding
from transfer_doctor.report import Diagnosis
from transfer_doctor.watching import watch

__all__ = ["Diagnosis", "DiagnosisError", "Finding", "diagnose", "guard", "watch"]
