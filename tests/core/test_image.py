"""Decoding against files that Pillow wrote, hostile ones included."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from insightedit.core.errors import InputError, Unfit
from insightedit.core.image import (
    MENDS,
    OUTPUTS,
    Limits,
    decode,
    decode_own,
    encode,
    encode_jpeg,
    encode_mask_png,
    fit_within,
    read,
)

SMALL = Limits(min_side=8)
TAG_ORIENTATION = 0x0112


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Smooth, with no symmetry; uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(20, 236, (4, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def saved(image: np.ndarray | Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **how)
    return buffer.getvalue()


def reason(data: bytes, limits: Limits = SMALL) -> str:
    with pytest.raises(Unfit) as caught:
        decode(data, limits)
    return caught.value.reason


def close(one: np.ndarray, other: np.ndarray, levels: float = 3.0) -> bool:
    return one.shape == other.shape and np.abs(one.astype(int) - other).mean() < levels


# --- what photographs come as ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
    ],
)
def test_lossless_files_decode_to_their_very_pixels(kind, how):
    image, size = decode(saved(picture(), kind, **how), SMALL)
    np.testing.assert_array_equal(image, picture())
    assert size == (56, 40) and image.dtype == np.uint8


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_files_decode_to_nearly_their_pixels(kind):
    assert close(decode(saved(picture(), kind), SMALL)[0], picture(), 12)


def test_a_jpeg_with_a_preview_is_one_picture():
    preview = Image.fromarray(picture(10, 14))
    data = saved(picture(), "MPO", save_all=True, append_images=[preview])
    assert close(decode(data, SMALL)[0], picture(), 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_decoded_upright(orientation, kind):
    upright = Image.fromarray(picture())
    undo = {  # how the sensor must have lain for this orientation to turn it upright
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    raw = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[TAG_ORIENTATION] = orientation
    how = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image, size = decode(saved(raw, kind, exif=exif, **how), SMALL)
    assert size == (56, 40)
    assert close(image, picture(), 1.5)


def test_an_orientation_that_does_not_exist_turns_nothing():
    exif = Image.Exif()
    exif[TAG_ORIENTATION] = 77
    image, size = decode(saved(picture(), "PNG", exif=exif), SMALL)
    np.testing.assert_array_equal(image, picture())
    assert size == (56, 40)


def test_cmyk_becomes_rgb():
    image, _ = decode(saved(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95), SMALL)
    assert close(image, picture(), 6)


@pytest.mark.parametrize("mode", ["L", "1", "YCbCr"])
def test_other_colour_models_become_rgb(mode):
    original = Image.fromarray(picture()).convert(mode)
    image, _ = decode(saved(original, "TIFF"), SMALL)
    np.testing.assert_array_equal(image, np.asarray(original.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_whole_range(kind):
    ramp = np.linspace(0, 65535, 40 * 56).reshape(40, 56).astype(np.uint16)
    image, _ = decode(saved(Image.fromarray(ramp), kind), SMALL)
    np.testing.assert_allclose(image[..., 0], ramp / 257, atol=0.51)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_sixteen_bit_rgb_keeps_its_whole_range():
    ramp = np.linspace(0, 65535, 40 * 56 * 3).reshape(40, 56, 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in ramp)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 56, 40, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    np.testing.assert_allclose(decode(data, SMALL)[0], ramp.astype(int) / 257, atol=1)


def test_floating_point_grey_is_scaled_to_eight_bits():
    ramp = np.linspace(0, 3.5, 40 * 56, dtype=np.float32).reshape(40, 56)
    image, _ = decode(saved(Image.fromarray(ramp), "TIFF"), SMALL)
    np.testing.assert_allclose(image[..., 1], ramp / 3.5 * 255, atol=0.51)


def test_a_palette_is_looked_up():
    indexed = Image.fromarray(picture()).quantize(32)
    image, _ = decode(saved(indexed, "PNG"), SMALL)
    np.testing.assert_array_equal(image, np.asarray(indexed.convert("RGB")))


def test_another_colour_space_is_converted_to_srgb():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    swapped = bytearray(lab.tobytes())
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"  # a space in which red is called green
    name = bytes(swapped).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")
    reds = np.full((40, 56, 3), (200, 20, 20), np.uint8)
    image, _ = decode(saved(reds, "PNG", icc_profile=name), SMALL)
    assert image[0, 0, 1] > 150 > 100 > image[0, 0, 0]


def test_a_profile_that_does_not_parse_changes_nothing():
    image, _ = decode(saved(picture(), "PNG", icc_profile=b"nonsense"), SMALL)
    np.testing.assert_array_equal(image, picture())


def test_opaque_alpha_is_dropped():
    image, _ = decode(saved(Image.fromarray(picture()).convert("RGBA"), "PNG"), SMALL)
    np.testing.assert_array_equal(image, picture())
    grey = Image.fromarray(picture()).convert("LA")
    np.testing.assert_array_equal(decode(saved(grey, "PNG"), SMALL)[0], np.asarray(grey.convert("RGB")))


def test_transparency_is_refused():
    glass = np.dstack([picture(), np.full((40, 56), 255, np.uint8)])
    glass[10:20, 10:20, 3] = 0
    assert reason(saved(glass, "PNG")) == "transparent"
    assert reason(saved(glass, "WEBP", lossless=True)) == "transparent"
    indexed = Image.fromarray(picture()).quantize(16)
    assert reason(saved(indexed, "PNG", transparency=int(np.asarray(indexed)[0, 0]))) == "transparent"
    whites = picture().copy()
    whites[0, 0] = (1, 2, 3)
    assert reason(saved(whites, "PNG", transparency=(1, 2, 3))) == "transparent"


def test_a_transparent_colour_that_occurs_nowhere_hides_nothing():
    image, _ = decode(saved(picture(), "PNG", transparency=(1, 2, 3)), SMALL)
    np.testing.assert_array_equal(image, picture())


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(kind):
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    assert reason(saved(frames[0], kind, save_all=True, append_images=frames[1:])) == "animated"


def test_an_empty_file_is_called_empty():
    assert reason(b"") == "empty_file"


@pytest.mark.parametrize("data", [b"not a photograph at all\n" * 20, b"<svg></svg>", b"%PDF-1.4", b"%!PS-Adobe", b"\0"])
def test_other_files_are_refused_whatever_their_name(data):
    assert reason(data) == "not_an_image"


def test_no_decoder_is_used_that_runs_another_program():
    assert reason(saved(picture(), "EPS")) == "not_an_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_file_cut_short_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(noise, kind)
    for part in (0.5, 0.9):
        assert reason(data[: int(len(data) * part)]) in ("truncated", "not_an_image"), part


def huge_png(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b"")


def huge_jpeg(width: int, height: int) -> bytes:
    data = bytearray(saved(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [huge_png(20_000, 10_000), huge_jpeg(20_000, 10_000), huge_png(11_000, 10_000), huge_png(2**31 - 1, 2**31 - 1)],
    ids=["200 MP png", "200 MP jpeg", "110 MP png", "4 EP png"],
)
def test_a_bomb_is_refused_by_its_header(data):
    tracemalloc.start()
    started = time.perf_counter()
    assert reason(data, Limits()) == "too_many_pixels"
    assert time.perf_counter() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_size_limits_are_those_given():
    data = saved(picture(40, 56), "PNG")
    assert reason(data, Limits(min_side=41)) == "too_small"
    assert reason(data, Limits(min_side=8, max_pixels=40 * 56 - 1)) == "too_many_pixels"
    assert reason(data, Limits(min_side=8, max_bytes=len(data) - 1)) == "too_many_bytes"
    assert decode(data, Limits(min_side=40, max_pixels=40 * 56, max_bytes=len(data)))[1] == (56, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "JPEG2000"])
def test_damaged_files_are_refused_or_decoded_and_nothing_else(kind):
    data, rng = saved(picture(), kind), np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), int(rng.choice([40, len(data)]))), 3):
            damaged[at] = int(rng.integers(256))
        try:
            image, (width, height) = decode(bytes(damaged), SMALL)
        except Unfit:
            continue
        assert image.shape == (height, width, 3) and image.dtype == np.uint8


# --- our own files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [75, 95, 100])
def test_pictures_that_differ_in_some_blocks_decode_equal_in_all_others(quality):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        height, width = (int(side) for side in rng.integers(20, 90, 2))
        source = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        edited, blocks = source.copy(), np.zeros((height, width), bool)
        for _ in range(int(rng.integers(1, 4))):
            y, x = int(rng.integers(0, height)) // 8 * 8, int(rng.integers(0, width)) // 8 * 8
            edited[y : y + 8, x : x + 8] = rng.integers(0, 256, edited[y : y + 8, x : x + 8].shape)
            blocks[y : y + 8, x : x + 8] = True
        one, other = decode_own(encode_jpeg(source, quality)), decode_own(encode_jpeg(edited, quality))
        np.testing.assert_array_equal(one[~blocks], other[~blocks], err_msg=f"seed {seed}")


def test_equal_pictures_are_equal_bytes_and_sixteen_levels_survive():
    assert encode_jpeg(picture()) == encode_jpeg(picture().copy())
    assert close(decode_own(encode_jpeg(picture())), picture(), 1)


def test_our_jpeg_has_no_subsampled_chroma():
    image = Image.open(io.BytesIO(encode_jpeg(picture())))
    assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


def test_a_mask_picture_is_black_and_white_and_comes_back():
    mask = np.random.default_rng(0).random((33, 21)) < 0.4
    values = decode_own(encode_mask_png(mask))
    np.testing.assert_array_equal(values, np.where(mask, 255, 0))


@pytest.mark.parametrize(
    ("size", "limit", "wanted"),
    [
        ((100, 50), 40, (40, 20)),
        ((50, 100), 40, (20, 40)),
        ((100, 50), 100, (100, 50)),
        ((100, 50), 200, (100, 50)),
        ((100, 50), 0, (100, 50)),
        ((333, 100), 100, (100, 30)),
        ((500, 1), 100, (100, 1)),
    ],
)
def test_fitting_within_shrinks_the_longer_side_to_the_limit_and_never_enlarges(size, limit, wanted):
    width, height = size
    fitted = fit_within(np.zeros((height, width, 3), np.uint8), limit)
    assert (fitted.shape[1], fitted.shape[0]) == wanted


def test_fitting_keeps_what_is_seen():
    large = picture(400, 560)
    assert close(fit_within(large, 56), np.asarray(Image.fromarray(large).resize((56, 40), Image.Resampling.BOX)), 2)


# --- files that a user named, and files that are written ------------------------------------------------------------


def test_read_is_decode_of_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(picture(), "PNG"))
    assert np.array_equal(read(tmp_path / "a.png", SMALL), decode(saved(picture(), "PNG"), SMALL)[0])


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "empty_file"),
        (b"hello", "not_an_image"),
        (saved(picture(), "JPEG")[:700], "truncated"),
        (saved(picture(4, 4), "PNG"), "too_small"),
        (saved(Image.new("RGBA", (30, 30), (1, 2, 3, 4)), "PNG"), "--background"),
    ],
)
def test_an_unfit_file_is_an_error_with_its_own_mend(tmp_path, data, part):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.png", SMALL)
    assert part in str(caught.value) and caught.value.mend in MENDS.values() and "\n" not in str(caught.value)


def test_a_file_too_large_is_not_read_and_a_missing_one_is_said(tmp_path):
    with (tmp_path / "a.png").open("wb") as handle:
        handle.truncate(10**10)  # sparse
    with pytest.raises(InputError, match="too_many_bytes"):
        read(tmp_path / "a.png")
    for place in (tmp_path / "b.png", tmp_path):
        with pytest.raises(InputError, match="no such file"):
            read(place)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_a_background_shows_through_what_is_transparent(mode):
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    clear.paste((200, 200, 200, 255), (0, 0, 10, 20))
    laid = decode(saved(clear.convert(mode), "PNG" if mode != "PA" else "TIFF"), SMALL, (9, 8, 7))[0]
    assert laid[5, 15].tolist() == [9, 8, 7] and laid[5, 5].tolist() == [200, 200, 200]


def test_half_transparent_pixels_are_mixed():
    laid = decode(saved(Image.new("RGBA", (20, 20), (200, 0, 100, 128)), "PNG"), SMALL, (0, 100, 0))[0]
    assert np.abs(laid[3, 3].astype(int) - [100, 50, 50]).max() <= 1


@pytest.mark.parametrize("suffix", sorted(OUTPUTS))
def test_what_is_encoded_decodes_to_the_picture(suffix):
    assert close(decode(encode(picture(), suffix.upper()), SMALL)[0], picture(), 0.5 if suffix == ".png" else 3.0)
