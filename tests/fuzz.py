"""`make fuzz`: 2,000 damaged photos, models, weights and folders; none may crash, hang, or pass as what it is not.

Every case is one file or folder, changed at random by a seed that is its number: `python -m tests.fuzz 17` repeats
case 17. A case ends in one of four ways: *refused* (one sentence), *warned* (work goes on, and the user is told), *the
same* (what was read is what stood there before the damage), or *other* (it is read as something else, in silence).
The last is a failure where the format has a checksum; JPEG, WebP and BMP have none, so those cases are only counted.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from random import Random

import torch
from PIL import Image
from tqdm import tqdm

from drawn import flowers
from helpers import load_backbone, load_task, replace_head
from helpers.data.photos.decoding import prepared_photo
from helpers.data.preprocessing import IMAGENET
from helpers.errors import HelpersError, HelpersWarning
from helpers.models.saved_models import load_model, save_model

CASES, SECONDS = 2000, 30
FORMATS = {".png": {}, ".tif": {"compression": "tiff_deflate"}, ".jpg": {}, ".webp": {}, ".bmp": {}, ".gif": {}}
CHECKED = (".png",)  # the format that holds a checksum of its pixels
PREPROCESSING = IMAGENET.with_size(32)
CLASSES, DAMAGED = ("left", "right"), "the-damaged-one"
SPLITS = {"train", "val", "Training", "Validation", "trn", "vld", "holdout"}
Damage = Callable[[bytes, Random], bytes]


def cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 3, 30))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def zeroed(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data))
    length = min(random.choice((4, 64, 2000)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def inserted(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data))
    return data[:place] + random.randbytes(random.choice((1, 16, 500))) + data[place:]


def swapped(data: bytes, random: Random) -> bytes:
    a, b = sorted(random.sample(range(len(data)), 2))
    return data[b:] + data[a:b] + data[:a]


def appended(data: bytes, random: Random) -> bytes:
    return data + random.randbytes(random.randrange(1, 500))


def another_kind(data: bytes, random: Random) -> bytes:
    return random.choice((b"", b"\0", b"<html>404 Not Found</html>", b"%PDF-1.7\n", random.randbytes(300), data[:4]))


DAMAGES: tuple[Damage, ...] = (cut, flipped, zeroed, inserted, swapped, appended, another_kind)


@cache
def photo(ending: str, number: int) -> bytes:
    """A drawn flower as a file."""
    file = io.BytesIO()
    pixels = flowers.draw([number % 2], 48, number)[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, Image.registered_extensions()[ending], **FORMATS[ending])
    return file.getvalue()


def photo_folder(folder: Path, ending: str) -> Path:
    """Two classes with six photos each."""
    for number in range(12):
        path = folder / "photos" / CLASSES[number % 2] / f"{number}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(ending, number))
    return folder / "photos"


def photo_case(folder: Path, random: Random) -> str:
    """One damaged photo among eleven whole ones."""
    ending = random.choice(list(FORMATS))
    photos = photo_folder(folder, ending)
    damaged = (photos / CLASSES[0] / f"0{ending}").rename(photos / CLASSES[0] / f"{DAMAGED}{ending}")
    before = prepared_photo(damaged, PREPROCESSING)
    damaged.write_bytes(random.choice(DAMAGES)(damaged.read_bytes(), random))
    task = load_task(photos)
    if damaged not in (*task.train.files, *task.val.files):
        raise AssertionError(f"{damaged.name} was left out in silence")
    same = torch.equal(prepared_photo(damaged, PREPROCESSING), before)
    return "the same" if same else f"other, {'which its checksum shows' if ending in CHECKED else 'no checksum'}"


@cache
def model_file(kind: str) -> bytes:
    """A trained model as `fit` keeps it, or plain weights as PyTorch saves them."""
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder) / f"model.{kind}", replace_head(load_backbone("embedded"), 2)
        if kind == "pth":
            torch.save(model.state_dict(), path)
        else:
            save_model(path, model, CLASSES, model.preprocessing)
        return path.read_bytes()


def model_case(folder: Path, random: Random) -> str:
    """A damaged file of weights."""
    kind = random.choice(("pth", "safetensors"))
    path, whole = folder / f"model.{kind}", folder / f"whole.{kind}"
    whole.write_bytes(model_file(kind))
    path.write_bytes(random.choice(DAMAGES)(whole.read_bytes(), random))
    read = partial(load_backbone, "embedded") if kind == "pth" else lambda file: load_model(file).model
    found, wanted = read(path).state_dict(), read(whole).state_dict()
    same = found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    return "the same" if same else "other, which its checksum shows"


def nest(photos: Path, random: Random) -> None:
    inner = photos / random.choice(CLASSES) / random.choice(("train", "more", "left", ".hidden", "a b"))
    inner.mkdir(exist_ok=True)
    for path in list(inner.parent.glob("1*"))[:2]:
        path.rename(inner / path.name)


def add_files(photos: Path, random: Random) -> None:
    place = random.choice((photos, photos / CLASSES[0], photos / CLASSES[1]))
    for name in random.sample(("notes.txt", ".DS_Store", "Thumbs.db", "a.jpg.part", "ü ñ.jpg", "labels.csv"), 2):
        (place / name).write_bytes(random.choice((b"", b"text", photo(".jpg", 0))))


def link(photos: Path, random: Random) -> None:
    target = random.choice((photos, photos / CLASSES[0], photos / "nowhere", Path("/")))
    (photos / CLASSES[1] / random.choice(("loop", "link.jpg"))).symlink_to(target)


def rename_class(photos: Path, random: Random) -> None:
    name = random.choice(("Left", "train", "val", "test", "0", "left ", "__pycache__", "a" * 200))
    if not (photos / name).exists():
        (photos / CLASSES[1]).rename(photos / name)


def empty(photos: Path, random: Random) -> None:
    for path in (photos / random.choice(CLASSES)).glob("*"):
        path.unlink() if path.is_symlink() or path.is_file() else None


def odd_file(photos: Path, random: Random) -> None:
    path = photos / CLASSES[0] / "odd.jpg"
    random.choice((os.mkfifo, os.mkdir, lambda place: place.write_bytes(b"")))(path)


def split_up(photos: Path, random: Random) -> None:
    names = random.choice((("train", "val"), ("Training", "Validation"), ("train", "holdout"), ("trn", "vld")))
    for part in names:
        for name in CLASSES:
            (photos / part / name).mkdir(parents=True, exist_ok=True)
            for i, path in enumerate(sorted((photos / name).glob("*"))):
                if path.is_file() and (i % 3 == 0) == (part == names[1]):
                    path.rename(photos / part / name / path.name)
    for name in CLASSES:
        with suppress(OSError):
            (photos / name).rmdir()


CHANGES = (nest, add_files, link, rename_class, empty, odd_file, split_up)


def folder_case(folder: Path, random: Random) -> str:
    """A folder of photos as nobody should keep one."""
    photos = photo_folder(folder, random.choice((".png", ".jpg")))
    for change in random.sample(CHANGES, random.choice((1, 2))):
        if all((photos / name).is_dir() for name in CLASSES):
            change(photos, random)
    task = load_task(photos)
    for part in (task.train, task.val, task.test):
        for path, label in zip(part.files, part.labels.tolist(), strict=True) if part else ():
            if task.classes[label] not in path.parts:
                raise AssertionError(f"{path} was taken as {task.classes[label]!r}")
    folders = [
        path for path in photos.rglob("*") if path.is_dir() and (path.parent == photos or path.parent.name in SPLITS)
    ]
    parts = {
        path.name for path in folders if path.name in SPLITS and not any(each.is_file() for each in path.iterdir())
    }
    if not set(task.classes) <= {path.name for path in folders} - parts:
        raise AssertionError(f"classes {task.classes}")
    return "the same"


KINDS = (photo_case, model_case, folder_case)


def outcome(number: int) -> tuple[str, str]:
    """The kind of a case and how it ended; anything that starts with FAILED is a fault of ours."""
    random = Random(number)
    case = random.choices(KINDS, (5, 2, 3))[0]
    signal.alarm(SECONDS)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", HelpersWarning)
            os.environ["HELPERS_CACHE"] = folder + "/cache"
            try:
                ended = case(Path(folder), random)
            except AssertionError as wrong:
                ended = f"other, {wrong}"
            except HelpersError as error:
                listed = all(line.startswith("  ") for line in str(error).splitlines()[1:])
                ended = "refused" if listed else f"FAILED: neither a sentence nor one with a list: {error}"
            if ended.startswith("other") and any(DAMAGED in str(each.message) for each in caught):
                ended = "warned"
            if ended.startswith("other") and ended != "other, no checksum":
                ended = f"FAILED: {ended}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        ended = "FAILED: " + "".join(traceback.format_exception(error)[-3:])
    finally:
        signal.alarm(0)
    return case.__name__, ended


def main() -> None:
    """Run the cases that are named, or all; the exit status is how many failed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _hang)
    counts, failed = Counter(), 0
    for number in tqdm([int(word) for word in sys.argv[1:]] or range(CASES)):
        kind, ended = outcome(number)
        counts[kind, ended.partition(":")[0]] += 1
        if ended.startswith("FAILED"):
            failed += 1
            tqdm.write(f"case {number}, {kind}: {ended}")
    for (kind, ended), count in sorted(counts.items()):
        print(f"{kind:12} {ended:40} {count}")
    sys.exit(min(failed, 100))


def _hang(*_: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} s")


if __name__ == "__main__":
    main()
