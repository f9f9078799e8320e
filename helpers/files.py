"""Files that are either whole or not there: atomic writes, hashes, and the place for caches."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from helpers.errors import HelpersError


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader, a crash or a full disk never meets half of it.

    The bytes go to a temporary file beside the target, reach the disk, and then take the target's name in one
    step (`os.replace`). On failure the temporary file is removed and the previous target stays whole.

    Args:
        path: the file to write; its folder is created.
        write: called with the open binary file.

    Raises:
        HelpersError: if the folder or the disk does not let us write.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # some file systems (USB sticks, network shares) know no permissions
            Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise HelpersError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged. "
            "Free some space, or choose a folder that you may write to."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_json(path: str | Path, data: Any) -> None:
    """Write `data` as indented UTF-8 JSON, atomically."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    content = text.encode(errors="backslashreplace")  # bytes of file names that are no UTF-8: as JSON's own escapes
    atomic_write(path, lambda file: file.write(content))


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder; as it is, where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where things that can be made again are kept: `$HELPERS_CACHE`, else the platform's cache folder."""
    if "HELPERS_CACHE" in os.environ:
        return Path(os.environ["HELPERS_CACHE"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "transfer-learning-course"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
