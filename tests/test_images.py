"""Photos of every kind, made here with Pillow and read back as a person would see them."""

import io
import struct
from base64 import b64decode

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional

from helpers.data.photos.decoding import decode_file, quiet_decoders
from helpers.data.transforms import resize_short_side
from helpers.errors import HelpersError

SIDE = 48


def read_photo(path, short_side=None):
    with quiet_decoders():
        photo = decode_file(path, short_side)
    return photo if short_side is None else resize_short_side(photo, short_side)


@pytest.fixture
def scene():
    """Red above, green below on the left, blue below on the right; smooth, so that JPEG keeps it."""
    pixels = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    pixels[: SIDE // 2] = 200, 30, 30
    pixels[SIDE // 2 :, :SIDE] = 30, 180, 40
    pixels[SIDE // 2 :, SIDE:] = 30, 40, 190
    return Image.fromarray(pixels)


def shown(image):
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()


def assert_close(photo, image, tolerance):
    assert photo.dtype == torch.uint8
    assert photo.shape == shown(image).shape
    assert (photo.float() - shown(image)).abs().mean() <= tolerance


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.jpg", {"quality": 95}, 3),
        ("a.JPEG", {"quality": 95, "progressive": True}, 3),
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.ppm", {}, 0),
        ("a.mpo", {"quality": 95}, 3),
    ],
)
def test_formats(tmp_path, scene, name, options, tolerance):
    scene.save(tmp_path / name, **options)
    assert_close(read_photo(tmp_path / name), scene, tolerance)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA"])
@pytest.mark.fault
def test_modes_look_the_same(tmp_path, scene, mode):
    stored = scene.convert("L").convert(mode) if mode in ("1", "LA") else scene.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    stored.save(path)
    expected = scene.convert("L") if mode == "L" else stored.convert("RGB")
    assert_close(read_photo(path), expected, 1)


def test_gray_jpeg_has_three_equal_colors(tmp_path, scene):
    scene.convert("L").save(tmp_path / "a.jpg", quality=95)
    photo = read_photo(tmp_path / "a.jpg")
    assert_close(photo, scene.convert("L"), 3)
    assert torch.equal(photo[0], photo[2])


@pytest.mark.fault
def test_adobe_cmyk_jpeg_is_not_inverted(tmp_path, scene):
    scene.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert_close(read_photo(tmp_path / "a.jpg"), scene, 4)


@pytest.mark.parametrize("kind", ["RGBA", "palette", "LA"])
@pytest.mark.fault
def test_transparent_parts_are_white(tmp_path, kind):
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.paste((200, 0, 0, 0), (4, 0, 8, 8))
    if kind == "palette":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([10, 20, 30, 200, 0, 0])
        image.paste(1, (4, 0, 8, 8))
        image.info["transparency"] = 1
    image = image.convert("LA") if kind == "LA" else image
    image.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert (photo[:, :, 4:] == 255).all()
    assert (photo[:, :, :4] < 40).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.fault
def test_sixteen_bits_keep_their_shades(tmp_path, name):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    Image.fromarray(ramp).save(tmp_path / name)
    photo = read_photo(tmp_path / name)
    assert torch.equal(photo[0], torch.from_numpy(np.rint(ramp / 257)).to(torch.uint8))


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
@pytest.mark.fault
def test_floating_point_keeps_its_shades(tmp_path, white):
    ramp = np.tile(np.linspace(0, white, 64, dtype=np.float32), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert (photo[1].float() - torch.linspace(0, 255, 64)).abs().max() <= 0.51


@pytest.mark.fault
def test_floating_point_beyond_all_scales_is_stretched(tmp_path):
    ramp = np.tile(np.linspace(-3, 5, 64, dtype=np.float32), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert photo.min() == 0
    assert photo.max() == 255


@pytest.mark.fault
def test_not_a_number_is_an_error(tmp_path):
    values = np.full((16, 16), np.nan, np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(HelpersError, match=r"a\.tif.*not finite"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.fault
def test_photos_stand_upright(tmp_path, scene, ending, orientation):
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = scene.transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else scene
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{ending}", exif=exif, **({"lossless": True} if ending == "webp" else {}))
    assert_close(read_photo(tmp_path / f"a.{ending}"), scene, 4)


@pytest.mark.fault
def test_large_photos_stand_upright_too(tmp_path, scene):
    large = scene.resize((1920, 960))
    exif = Image.Exif()
    exif[0x0112] = 6
    large.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif)
    assert_close(read_photo(tmp_path / "a.jpg", SIDE), scene, 4)


@pytest.mark.fault
def test_damaged_exif_does_not_hide_the_image(tmp_path, scene):
    scene.save(tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00*garbage that is no directory")
    assert_close(read_photo(tmp_path / "a.png"), scene, 0)


def test_first_frame_of_an_animation(tmp_path, scene):
    scene.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", scene.size)])
    assert_close(read_photo(tmp_path / "a.gif"), scene, 4)


@pytest.mark.fault
def test_content_decides_not_the_name(tmp_path, scene):
    scene.save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.jpg")
    assert_close(read_photo(tmp_path / "b.jpg"), scene, 0)


def test_large_photos_are_decoded_smaller_with_the_same_result(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
    coarse.resize((2400, 1800), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=90)
    fast = read_photo(tmp_path / "a.jpg", 128)
    exact = functional.resize(decode_image(tmp_path / "a.jpg", ImageReadMode.RGB), [128], antialias=True)
    assert fast.shape == exact.shape
    assert (fast.float() - exact.float()).abs().max() <= 3


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tif", "gif"])
@pytest.mark.fault
def test_cut_off_files_are_errors(tmp_path, ending):
    path = tmp_path / f"cut.{ending}"
    Image.effect_noise((64, 64), 80).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(HelpersError, match=path.name):
        read_photo(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"<html>404 Not Found</html>", "no image"), (b"\xff\xd8\xff\xe0" + bytes(60), "")],
)
@pytest.mark.fault
def test_files_that_are_no_images(tmp_path, content, why):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(HelpersError, match=rf"a\.jpg.*{why}"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.fault
def test_a_fault_within_a_jpeg_is_told_without_the_decoders_source(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 80).convert("RGB").save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd8" * 8 + content[len(content) // 2 :])
    with pytest.raises(HelpersError, match=r"\(Invalid JPEG file structure: two SOI markers\)"):
        read_photo(path)


HEIC = """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERA
AAEAAQAAAAABegABAAAAAAAAABwAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAA
AHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq
SSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgA
AAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACRtZGF0AAAAGCgBrxOA5qhw0//95FH/3B54ffr+tJ5v3w==
"""
"""A flat image of 64 x 64 pixels, red 200, green 30, blue 60, as iPhones save photos."""


def test_heic_is_read(tmp_path):
    (tmp_path / "a.heic").write_bytes(b64decode(HEIC))
    assert_close(read_photo(tmp_path / "a.heic"), Image.new("RGB", (64, 64), (200, 30, 60)), 4)


def test_avif_is_read(tmp_path, scene):
    scene.save(tmp_path / "a.avif", quality=95)
    assert_close(read_photo(tmp_path / "a.avif"), scene, 4)


XYZ = {
    "sRGB": [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]],
    "Display P3": [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]],
    "Adobe RGB": [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]],
}
"""Columns: red, green and blue of each color space, at the white point D50."""


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def icc_profile(space, gamma=2.2):
    """An ICC profile (version 2) of three primaries and a gamma."""

    def fixed(*numbers):
        return b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)

    columns = zip(*XYZ[space], strict=True)
    tags = {f"{c}XYZ": b"XYZ \0\0\0\0" + fixed(*column) for c, column in zip("rgb", columns, strict=True)}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"
    tags |= {f"{c}TRC": curve for c in "rgb"} | {"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    tags["desc"] = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags["cprt"] = b"text\0\0\0\0none\0\0\0\0"
    table, content, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", start + len(content), len(data))
        content += data.ljust(-(-len(data) // 4) * 4, b"\0")
    header = struct.pack(">I4sI", start + len(content), b"none", 0x02100000) + b"mntrRGB XYZ " + bytes(12)
    header += b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + content


def seen(color, space, gamma=2.2):
    """What a color of that space is in sRGB, by the formulas."""
    xyz = np.array(XYZ[space]) @ (np.array(color) / 255) ** gamma
    linear = np.clip(np.linalg.inv(XYZ["sRGB"]) @ xyz, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif"])
@pytest.mark.fault
def test_colors_are_those_that_the_profile_means(tmp_path, space, name):
    color = 160, 90, 60
    Image.new("RGB", (64, 48), color).save(tmp_path / name, quality=100, icc_profile=icc_profile(space))
    found = read_photo(tmp_path / name).float().mean((1, 2))
    assert np.abs(np.array(color) - seen(color, space)).max() > 8
    assert np.abs(found.numpy() - seen(color, space)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
@pytest.mark.fault
def test_profiles_of_other_modes(tmp_path, mode):
    gray = (120, 120, 120)
    Image.new("RGB", (16, 16), gray).convert(mode).save(tmp_path / "a.png", icc_profile=icc_profile("sRGB", 1.8))
    assert np.abs(read_photo(tmp_path / "a.png").float().mean((1, 2)).numpy() - seen(gray, "sRGB", 1.8)).max() <= 2


@pytest.mark.parametrize("profile", [SRGB, icc_profile("Adobe RGB")[:300], b"no profile"])
@pytest.mark.fault
def test_profiles_that_change_nothing_or_are_damaged(tmp_path, scene, profile):
    scene.save(tmp_path / "a.png", icc_profile=profile)
    assert_close(read_photo(tmp_path / "a.png"), scene, 0)


@pytest.mark.fault
def test_dark_sixteen_bits_are_dark_in_either_order_of_bytes(tmp_path):
    dark = np.full((20, 20), 200, np.uint16)
    Image.fromarray(dark).save(tmp_path / "little.tif")
    Image.frombytes("I;16B", (20, 20), dark.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    for name in ("little.tif", "big.tif"):
        assert (read_photo(tmp_path / name) == 1).all()


@pytest.mark.fault
def test_places_that_are_no_files(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(HelpersError, match="it is a folder"):
        read_photo(tmp_path / "folder.jpg")
    with pytest.raises(HelpersError, match=r"no such file.*check the path"):
        read_photo(tmp_path / "link.jpg")


@pytest.mark.fault
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "BMP")
    header = bytearray(small.getvalue())
    header[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "bomb.bmp").write_bytes(header)
    with pytest.raises(HelpersError, match="more pixels"):
        read_photo(tmp_path / "bomb.bmp")
