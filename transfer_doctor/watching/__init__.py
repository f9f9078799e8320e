"""Watch a training loop: the doctor for code rather than for objects.

`watch` is the door. `record` is what happened; `loaders`, `model_calls`, `functions`, `gradients`, `schedulers` and
`weights` observe it; the modules `finds_*` hold the checks, `catalogue` lists them.
"""

from transfer_doctor.watching.block import watch
from transfer_doctor.watching.watcher import Watch

__all__ = ["Watch", "watch"]
