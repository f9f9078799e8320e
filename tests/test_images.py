"""Photos of every kind, made here with Pillow and read back as a person would see them."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional

from helpers.data.photos.decoding import read_photo
from helpers.errors import HelpersError

SIDE = 48


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


@pytest.mark.fault
def test_heic_is_called_by_its_name(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300))
    with pytest.raises(HelpersError, match="HEIC is not read here: save the photo as JPEG"):
        read_photo(tmp_path / "a.heic")


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
