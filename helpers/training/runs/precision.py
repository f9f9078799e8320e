"""Number formats and memory: bfloat16 where it pays, and an allocator that keeps what it was given."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from helpers.errors import HelpersError

PRECISIONS = ("auto", "fp32", "bf16")
SMALLEST_FOR_BF16 = 32
"""Side in pixels. Where a feature map has shrunk to one pixel, bfloat16 on the CPU (oneDNN, seen in torch 2.15) leaves
memory that nobody wrote in the gradients of those weights that only ever meet the padding."""
SIDE_WORTH_BF16 = 96
"""Side in pixels from which bfloat16 is the faster one on processors that have it; see `make bench`."""


@functools.cache
def tune_allocator() -> None:
    """Keep glibc from handing large tensors back to the system after every step (Linux with glibc only).

    By default each large block is its own memory mapping, which the kernel must clear page by page every time
    it is asked for again. With mappings off (`M_MMAP_MAX` = 0) and a high trim threshold the blocks are reused. See
    `man 3 mallopt`. The process then keeps its peak memory until it ends.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)


def choose_precision(precision: str, side: int, device: torch.device) -> str:
    """The number format for images of so many pixels a side: `"fp32"` or `"bf16"`.

    `"auto"` means bfloat16 where the device multiplies it in hardware and the images have at least `SIDE_WORTH_BF16`
    pixels a side (on a GPU: any size), else float32.

    Raises:
        HelpersError: for an unknown precision, and for bfloat16 on the CPU with images under 32 px.
    """
    if precision not in PRECISIONS:
        raise HelpersError(f"precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        worthwhile = device.type != "cpu" or side >= SIDE_WORTH_BF16
        return "bf16" if worthwhile and supports_bf16(device) else "fp32"
    if precision == "bf16" and device.type == "cpu" and side < SMALLEST_FOR_BF16:
        raise HelpersError(
            f"bf16 needs images of at least {SMALLEST_FOR_BF16} px on the CPU, and these have {side}; "
            'take precision="fp32"'
        )
    return precision


def supports_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(precision: str, images: Tensor) -> AbstractContextManager:
    """The context for a forward pass on images (B, 3, H, W): bfloat16 where `choose_precision` says so."""
    if choose_precision(precision, min(images.shape[2:], default=0), images.device) == "bf16":
        return torch.autocast(images.device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
