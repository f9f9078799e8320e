"""Download files: resumed after a break, checked by hash, put in place in one step; unpack archives safely."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

from helpers.errors import HelpersError, warn

ATTEMPTS = 5
"""How many connections in a row may bring nothing new before we give up."""

PAUSE = 0.25
"""Seconds before the second attempt; each further pause is twice as long."""

PATIENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""

CHUNK = 1 << 20
BREAKS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
"""What a broken connection raises."""


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    progress: bool = True,
) -> Path:
    """Download a file, unless it is there already.

    What has arrived is kept beside the target, in `<name>.part`, and taken up again after a break where the server
    allows it (HTTP range requests, RFC 9110, section 14). The target appears only when it is whole and its hash is
    right. Several processes may ask for the same file; one fetches it.

    Args:
        url: an http or https address.
        path: where to put the file; its folder is created.
        sha256: expected SHA-256, or its first digits, as in the names of PyTorch's weights.
        md5: expected MD5, for publishers who give no better.
        progress: show a progress bar (on a terminal).

    Returns:
        `path`.

    Raises:
        HelpersError: if the file cannot be fetched or written, or what comes has another hash.
    """
    from filelock import FileLock

    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise HelpersError(f"{url} is no web address; give one that begins with http:// or https://.")
    expected = ("sha256", sha256.lower()) if sha256 else ("md5", md5.lower()) if md5 else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_there(path, expected):
            return path
        lock = path.with_name(f".{path.name}.lock")
        with FileLock(lock):
            if not _is_there(path, expected):
                _fetch_checked(url, path, expected, progress)
        lock.unlink(missing_ok=True)
    except OSError as error:
        raise HelpersError(
            f"{path} could not be written ({error.strerror or error}); free some space, or choose a folder that you "
            "may write to."
        ) from error
    return path


def _matches(path: Path, expected: tuple[str, str] | None) -> bool:
    """Whether a file has the hash (algorithm, first digits) that it must have, if any."""
    if expected is None:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, expected[0]).hexdigest().startswith(expected[1])


def _is_there(path: Path, expected: tuple[str, str] | None) -> bool:
    there = path.exists()
    if there and not _matches(path, expected):
        warn(f"{path} is not what was published (its hash differs); it is fetched anew.")
        return False
    return there


def _fetch_checked(url: str, path: Path, expected: tuple[str, str] | None, progress: bool) -> None:
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    if not (resumed and expected and _matches(part, expected)):
        _fetch(url, path, part, progress)
    if resumed and not _matches(part, expected):
        part.unlink()  # the first half may be another file's
        _fetch(url, path, part, progress)
    if not _matches(part, expected):
        part.unlink()
        raise HelpersError(
            f"{url} gave a file whose {expected[0].upper()} does not begin with {expected[1]}, so it is not what was "
            f"published, and it was not kept; try again, or {_by_hand(url, path)}"
        )
    part.replace(path)


def _fetch(url: str, path: Path, part: Path, progress: bool) -> None:
    """Bring the whole file into `part`, over several connections if need be."""
    failures = 0
    while failures < ATTEMPTS:
        before = _size(part)
        try:
            if _receive(url, part, progress):
                return
            why = "the connection broke off"
        except urllib.error.HTTPError as error:
            error.close()
            why = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # the part does not fit this file
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                break
        except BREAKS as error:
            why = str(getattr(error, "reason", error)) or type(error).__name__
            if failures and not _size(part):
                break  # not a byte in two attempts: there is no network
        failures = 0 if _size(part) > before else failures + 1
        time.sleep(PAUSE * 2**failures / 2)
    kept = f" What has arrived is kept in {part.name} and taken up next time." if part.exists() else ""
    raise HelpersError(f"{url} could not be fetched ({why}); {_by_hand(url, path)}{kept}")


def _by_hand(url: str, path: Path) -> str:
    return f"fetch it by hand, put it at {path.absolute()}, and run this again."


def _receive(url: str, part: Path, progress: bool) -> bool:
    """Append what one connection gives to `part`; whether the file is whole then."""
    from tqdm import tqdm

    have = _size(part)
    headers = {"User-Agent": "transfer-learning-course"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener()  # a new one reads the proxy settings of now, not of the first download
    with opener.open(request, timeout=PATIENCE) as response:
        have = have if response.status == 206 else 0  # anything else is the file from its beginning
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        if total and total - have > shutil.disk_usage(part.parent).free:
            raise HelpersError(f"{part.parent} has no room for {total / 1e6:.0f} MB; free some space.")
        bar = tqdm(
            total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None if progress else True
        )
        with bar, open(part, "r+b" if have else "wb") as file:
            file.seek(have)
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    return total is None or _size(part) == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def extract(archive: str | Path, folder: str | Path, inner: str) -> Path:
    """Unpack the folder `inner` of a zip or tar archive as `folder`, which appears whole or not at all.

    Raises:
        HelpersError: if the archive is damaged, wants to write outside of the folder, or has no `inner`.
    """
    archive, folder = Path(archive), Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
        safely = {} if archive.suffix == ".zip" else {"filter": "data"}  # zip archives never lead out of the folder
        try:
            shutil.unpack_archive(archive, temporary, **safely)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OSError, zlib.error) as error:
            raise HelpersError(f"{archive} cannot be unpacked ({error}); remove it, and run this again.") from error
        unpacked = Path(temporary) / inner
        if not unpacked.is_dir():
            raise HelpersError(f"{archive} holds no folder {inner}; remove it, and run this again.")
        try:
            unpacked.replace(folder)
        except OSError as error:
            raise HelpersError(f"{folder} is in the way of what {archive.name} holds; move it away.") from error
    return folder
