"""Say what is on photos: the network in this folder, without the package that trained it.

    python predict.py PHOTO_OR_FOLDER ...

prints one line of CSV for each photo: its name, the likeliest class, and the probability of every class. Needed are
NumPy, Pillow, and what model.json names under "needs".
"""

import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

HERE = Path(__file__).resolve().parent
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
SRGB = ImageCms.createProfile("sRGB")
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def load() -> tuple[Callable[[np.ndarray], np.ndarray], dict]:
    """The network, from pixels 0 to 255, float32 (N, 3, S, S), to probabilities (N, classes); and model.json."""
    about = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    path = HERE / about["weights"]["file"]
    if about["format"] == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
        return lambda pixels: session.run(None, {"pixels": pixels})[0], about
    import torch

    if about["format"] == "torchscript":
        network = torch.jit.load(str(path), map_location="cpu")
    else:
        sys.path.insert(0, str(HERE))
        from network import load as network_of

        network = network_of(path)
    return torch.inference_mode()(lambda pixels: network(torch.from_numpy(pixels)).numpy()), about


def read(path: Path, preprocessing: dict) -> np.ndarray:
    """A photo as the network expects it: upright, sRGB, resized, its central square; float32 (3, S, S), 0 to 255."""
    resize, size = preprocessing["resize_size"], preprocessing["image_size"]
    with Image.open(path) as image:
        if image.format in ("JPEG", "MPO") and min(image.size) >= 6 * resize:
            image.draft(None, (2 * resize, 2 * resize))
        image = _rgb(ImageOps.exif_transpose(image), preprocessing.get("value_range"))
    how, known = preprocessing.get("resize", "crop"), min(image.size)
    if how == "pad":
        known = max(image.size)
        wanted = tuple(max(1, round(resize * side / known)) for side in image.size)
    else:
        wanted = tuple(
            resize if side == known or how == "squash" else int(resize * side / known) for side in image.size
        )
    image = image.resize(wanted, FILTERS.get(preprocessing["interpolation"], Image.NEAREST))
    if how == "pad":
        square = Image.new("RGB", (resize, resize), tuple(round(255 * value) for value in preprocessing["mean"]))
        square.paste(image, ((resize - image.width) // 2, (resize - image.height) // 2))
        image = square
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _rgb(image: Image.Image, value_range: list[float] | None) -> Image.Image:
    if image.mode[0] in "IF":
        values = np.asarray(image).astype(np.float64)
        usual = 65535 if image.mode.startswith("I;16") or values.max() > 255 else 255 if values.max() > 1 else 1
        black, white = value_range or (0, usual)
        scaled = (values - black) * (255 / max(white - black, 1e-12))
        return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8)).convert("RGB")
    profile, spaces = image.info.get("icc_profile"), {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
    if profile and profile[16:20] == spaces.get(image.mode):
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        with suppress(ImageCms.PyCMSError):  # a damaged profile
            image = ImageCms.profileToProfile(image, io.BytesIO(profile), SRGB, outputMode=mode)
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def main(words: list[str]) -> None:
    """Print a table of predictions."""
    network, about = load()
    photos = []
    for place in map(Path, words):
        inner = sorted(place.rglob("*")) if place.is_dir() else [place]
        photos += [file for file in inner if file == place or file.suffix.lower() in ENDINGS]
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["photo", "class", *about["classes"]])
    for start in range(0, len(photos), 16):
        batch = photos[start : start + 16]
        chances = network(np.stack([read(photo, about["preprocessing"]) for photo in batch]))
        for photo, row in zip(batch, chances, strict=True):
            table.writerow([photo, about["classes"][int(row.argmax())], *(f"{value:.6f}" for value in row)])


if __name__ == "__main__":
    main(sys.argv[1:])
