"""Say what is on photos: the network in this folder, without the package that trained it.

    python predict.py PHOTO_OR_FOLDER_OF_PHOTOS ...

prints one line of CSV for each photo: its name, the likeliest class, and the probability of every class. Needed are
NumPy, Pillow, and onnxruntime (for model.onnx) or PyTorch (for model.pt).
"""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

HERE = Path(__file__).resolve().parent
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def load(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """The network, from pixels 0 to 255, float32 (N, 3, S, S), to probabilities (N, classes)."""
    if path.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
        return lambda pixels: session.run(None, {"pixels": pixels})[0]
    import torch

    network = torch.jit.load(path, map_location="cpu")
    return torch.inference_mode()(lambda pixels: network(torch.from_numpy(pixels)).numpy())


def read(path: Path, preprocessing: dict) -> np.ndarray:
    """A photo as the network expects it: upright, sRGB, resized, its central square; float32 (3, S, S), 0 to 255."""
    resize, size, how = (preprocessing[name] for name in ("resize_size", "image_size", "resize"))
    with Image.open(path) as image:
        if image.format in ("JPEG", "MPO") and min(image.size) >= 6 * resize:
            image.draft(None, (2 * resize, 2 * resize))
        image = rgb(ImageOps.exif_transpose(image), preprocessing["value_range"])
    (width, height), resampling = image.size, FILTERS.get(preprocessing["interpolation"], Image.NEAREST)
    if how == "pad":
        color = tuple(round(255 * value) for value in preprocessing["mean"])
        image = ImageOps.pad(image, (resize, resize), resampling, color, centering=(0.4999, 0.4999))
    else:
        short = image.size if how == "squash" else (min(width, height),) * 2
        image = image.resize((int(resize * width / short[0]), int(resize * height / short[1])), resampling)
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def rgb(image: Image.Image, value_range: list[float] | None) -> Image.Image:
    """An image in sRGB, transparent parts on white; gray values beyond 8 bits from black to white of `value_range`."""
    if image.mode[0] in "IF":
        black, white = value_range or (0, 65535)
        values = (np.asarray(image).astype(np.float64) - black) * (255 / (white - black))
        return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8)).convert("RGB")
    profile, spaces = image.info.get("icc_profile"), {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
    if profile and profile[16:20] == spaces.get(image.mode):
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


if __name__ == "__main__":
    about = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    network, table = load(str(HERE / about["network"])), csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["photo", "class", *about["classes"]])
    for place in map(Path, sys.argv[1:]):
        for photo in sorted(place.glob("*.*")) if place.is_dir() else [place]:
            (chances,) = network(read(photo, about["preprocessing"])[None])
            table.writerow([photo, about["classes"][int(chances.argmax())], *(f"{value:.6f}" for value in chances)])
