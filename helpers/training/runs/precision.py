"""Making good use of the machine: device, number format, memory layout, memory allocator."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from helpers.errors import HelpersError
from helpers.files import cache_dir, write_json

PRECISIONS = ("fp32", "bf16", "auto")
SMALLEST_FOR_BF16 = 32


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


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context in which forward passes run: bfloat16 where `precision` says so, else unchanged."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def supports_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def choose_precision(precision: str, model: nn.Module, shape: tuple[int, ...], device: torch.device) -> str:
    """What `"auto"` means here: the faster of fp32 and bf16 in a short trial, remembered for the next time.

    The outcome is kept in the cache folder under the architecture, batch shape, threads and processor, so that
    two runs on one machine make the same choice.

    Args:
        precision: `"fp32"`, `"bf16"` (both handed back as they are) or `"auto"`.
        model: left as it was; the trial works without updating anything.
        shape: of one batch, (B, 3, H, W).
        device: where the work will run.

    Raises:
        HelpersError: for an unknown precision, and for bfloat16 on the CPU with images under 32 px.
    """
    if precision not in PRECISIONS:
        raise HelpersError(f"precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    # Where a feature map has shrunk to one pixel, bfloat16 on the CPU (oneDNN, seen in torch 2.15) leaves memory that
    # nobody wrote in the gradients of those weights that only ever meet the padding.
    too_small = device.type == "cpu" and min(shape[2:]) < SMALLEST_FOR_BF16
    if precision == "bf16" and too_small:
        raise HelpersError(
            f"bf16 needs images of at least {SMALLEST_FOR_BF16} px on the CPU, and these have {min(shape[2:])}; "
            'take precision="fp32"'
        )
    if precision != "auto":
        return precision
    if too_small or not supports_bf16(device):
        return "fp32"
    size = sum(parameter.numel() for parameter in model.parameters())
    facts = (type(model).__name__, size, shape, device.type, torch.get_num_threads(), torch.__version__, _processor())
    key = "|".join(map(str, facts))
    memory = cache_dir() / "precision.json"
    known = _read_choices(memory)
    if key not in known:
        times = _trial(model, shape, device)
        known[key] = min(times, key=times.get)
        with contextlib.suppress(HelpersError):  # a cache that cannot be written only costs a trial next time
            write_json(memory, known)
    return known[key]


def _trial(model: nn.Module, shape: tuple[int, ...], device: torch.device, repeats: int = 3) -> dict[str, float]:
    """Median seconds of one forward and backward pass in each format."""
    images = torch.zeros(shape, device=device).to(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    was_training = model.training
    model.eval()
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for repeat in range(repeats + 1):
        for precision, seconds in times.items():
            elapsed = timed(lambda p=precision: _pass(model, images, parameters, p))
            if repeat:
                seconds.append(elapsed)
    model.train(was_training)
    return {precision: statistics.median(seconds) for precision, seconds in times.items()}


def _pass(model: nn.Module, images: torch.Tensor, parameters: list[nn.Parameter], precision: str) -> None:
    with torch.set_grad_enabled(bool(parameters)), autocast(precision, images.device):
        loss = model(images).float().sum()
    if parameters:
        torch.autograd.grad(loss, parameters, allow_unused=True)
    loss.item()


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work()` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read_choices(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in known.items() if value in PRECISIONS} if isinstance(known, dict) else {}
