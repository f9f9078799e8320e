"""One process or several: accelerate chooses the device and shares each batch among them."""

from __future__ import annotations

import os
import warnings

import torch

from helpers.errors import HelpersError

with warnings.catch_warnings():
    # In a notebook without widgets, accelerate's import warns of a progress bar that is not used here.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches

__all__ = ["Accelerator", "make_accelerator", "skip_first_batches"]


def make_accelerator(batch_size: int) -> Accelerator:
    """The device of this process; under `torchrun` or `accelerate launch` it takes its part of each batch.

    Raises:
        HelpersError: if the processes cannot share a batch equally.
    """
    # Without a GPU, accelerate takes no notice of torchrun unless it is told to use the processor.
    shared = int(os.environ.get("WORLD_SIZE", "1")) > 1
    config = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=shared and not torch.cuda.is_available(), dataloader_config=config)
    if batch_size % accelerator.num_processes:
        raise HelpersError(
            f"batches of {batch_size} cannot be shared equally by {accelerator.num_processes} processes; "
            "choose a batch size that can"
        )
    return accelerator
