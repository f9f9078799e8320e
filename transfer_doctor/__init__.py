"""The doctor: common mistakes of transfer learning, found in the learner's own objects.

The checks stand in modules named after what they look at: `model_*`, `optimizer_*`, `data_*`. A new check is one
function under `@check` in one of them; `catalogue` lists them all.
"""

from transfer_doctor.diagnose import diagnose, guard
from transfer_doctor.findings import Finding
from transfer_doctor.report import Diagnosis

__all__ = ["Diagnosis", "Finding", "diagnose", "guard"]
