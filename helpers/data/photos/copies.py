"""Near copies of photos: saved again, resized, brightened, barely cropped, or the next frame of one film.

Found by a perceptual hash (ImageHash's `phash`) and the mean color; in images too smooth for it by 8 x 8 gray values.
Measured on 2,000 photos of flowers and 397 of insects: a photo saved at quality 20, halved or brightened by a fifth
differs from itself in at most 24 of the 256 bits, two different photos in at least 76.
"""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from helpers.errors import note

MOST_BITS, SAME_GRAY, MOST_COLOR = 32, 0.998, 40
"""Near copies differ in at most so many bits or correlate so well, and their mean colors are so close (of 255)."""

MOST_PHOTOS = 30_000
"""Photos that are compared, each with each (half a minute)."""


def fingerprint(image: Image.Image) -> str:
    """What stays nearly the same when an "RGB" photo is saved again, in hexadecimal digits; "" for a blank image."""
    gray = image.convert("L")
    if np.asarray(gray).std() < 2:
        return ""
    color = np.asarray(image).reshape(-1, 3).mean(0).astype(np.uint8)
    small = gray.resize((8, 8), Image.Resampling.BOX)
    return f"{imagehash.phash(gray, hash_size=16)}{color.tobytes().hex()}{small.tobytes().hex()}"


def near_copies(fingerprints: Sequence[str]) -> list[int]:
    """A number for each photo: near copies, and near copies of these, have the same; "" is a copy of nothing."""
    places = np.array([i for i, one in enumerate(fingerprints) if one], dtype=int)[:MOST_PHOTOS]
    if len(fingerprints) > MOST_PHOTOS:
        note(f"only the first {MOST_PHOTOS:,} photos are searched for near copies.")
    codes = np.frombuffer(bytes.fromhex("".join(fingerprints[i] for i in places)), np.uint8).reshape(-1, 99)
    bits, colors = np.ascontiguousarray(codes[:, :32]).view(np.uint64), codes[:, 32:35].astype(int)
    grays = codes[:, 35:] - codes[:, 35:].mean(1, dtype=np.float32, keepdims=True)
    grays /= np.linalg.norm(grays, axis=1, keepdims=True) + 1e-6
    pairs = [np.empty((2, 0), int)]
    for i in range(len(places) - 1):
        same = np.bitwise_count(bits[i + 1 :] ^ bits[i]).sum(1) <= MOST_BITS
        same |= grays[i + 1 :] @ grays[i] >= SAME_GRAY
        near = i + 1 + np.flatnonzero(same)
        near = near[np.abs(colors[near] - colors[i]).mean(1) <= MOST_COLOR]
        pairs.append(np.stack([np.full(len(near), places[i]), places[near]]))
    ones, others = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(ones)), (ones, others)), shape=(len(fingerprints),) * 2)
    return connected_components(graph, directed=False)[1].tolist()
