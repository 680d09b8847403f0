"""Uploaded pictures and attachments: what is taken, what is refused, and what is left of them."""

from __future__ import annotations

import random
import struct
import time
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from envoi.errors import ValidationFailedError
from envoi.library.addresses import PictureToken, picture_path
from envoi.library.attachments import MAX_BYTES as MAX_ATTACHMENT
from envoi.library.attachments import read_attachment, safe_name
from envoi.library.pictures import MAX_BYTES, MAX_WIDTH, read_picture


def drawn(
    kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object
) -> bytes:
    out = BytesIO()
    Image.new(mode, size, 128 if mode == "L" else None).save(out, kind, **options)
    return out.getvalue()


def claimed(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its few bytes do not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/png"), ("WEBP", "image/jpeg")],
)
def test_pictures_are_made_anew(kind: str, media_type: str) -> None:
    made = read_picture(drawn(kind))
    assert (made.media_type, made.width, made.height) == (media_type, 40, 30)
    assert Image.open(BytesIO(made.data)).size == (40, 30)
    assert read_picture(made.data).data == made.data or media_type == "image/jpeg"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_every_kind_of_colour(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert read_picture(drawn(kind, mode=mode)).width == 40


def test_wide_pictures_become_narrower() -> None:
    made = read_picture(drawn("JPEG", (4000, 2000)))
    assert (made.width, made.height) == (MAX_WIDTH, 800)


def test_metadata_stays_behind() -> None:
    told = PngInfo()
    told.add_text("Comment", "taken at home SECRET")
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    exif[0x0112] = 6
    for data in (
        drawn("PNG", pnginfo=told),
        drawn("JPEG", exif=exif, comment=b"SECRET"),
        drawn("WEBP", exif=exif),
        drawn("GIF", comment=b"SECRET"),
        drawn("JPEG") + b"<script>SECRET</script>",
    ):
        assert b"SECRET" in data
        assert b"SECRET" not in read_picture(data).data
    # What the camera said of its position has been carried out, not only forgotten.
    assert read_picture(drawn("JPEG", exif=exif)).width == 30


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
            "Save the picture as PNG",
        ),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG"),
        (b"%PDF-1.7", "no PNG"),
        (b"<html>", "no PNG"),
        (b"", "no PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
        (b"\xff\xd8\xff" + b"GIF89a" * 20, "damaged"),
        (claimed(8000, 5000), "24 megapixels"),
        (claimed(2**31 - 1, 2**31 - 1), "24 megapixels"),
        (b"x" * (MAX_BYTES + 1), "5 MB"),
        (claimed(100, 100), "damaged"),
    ],
    ids=[
        "svg",
        "svg-xml",
        "pdf",
        "html",
        "empty",
        "broken",
        "lie",
        "40mp",
        "bomb",
        "large",
        "hollow",
    ],
)
def test_what_is_refused_and_why(data: bytes, said: str) -> None:
    began = time.process_time()
    with pytest.raises(ValidationFailedError, match=said):
        read_picture(data)
    assert time.process_time() - began < 1


def test_a_cut_off_picture_is_refused() -> None:
    noise = random.Random(7)
    whole = BytesIO()
    Image.frombytes("RGB", (200, 200), noise.randbytes(120_000)).save(whole, "JPEG")
    with pytest.raises(ValidationFailedError, match="cut off"):
        read_picture(whole.getvalue()[: len(whole.getvalue()) // 2])


def animated(frames: int, size: tuple[int, int]) -> bytes:
    out = BytesIO()
    pictures = [Image.new("P", size, n % 200) for n in range(frames)]
    for n, picture in enumerate(pictures):
        picture.putpalette([n % 256, 0, 0] * 256)
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=50)
    return out.getvalue()


def test_animations_move_within_bounds() -> None:
    made = read_picture(animated(5, (60, 40)))
    shown = Image.open(BytesIO(made.data))
    assert (made.media_type, getattr(shown, "n_frames", 1)) == ("image/gif", 5)
    for frames, size in ((101, (4, 4)), (20, (2000, 1500))):
        with pytest.raises(ValidationFailedError, match="too long"):
            read_picture(animated(frames, size))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"]),
)
def test_rubbish_never_breaks_anything(data: bytes, signature: bytes) -> None:
    with pytest.raises(ValidationFailedError):
        read_picture(signature + data)


@pytest.mark.parametrize(
    ("name", "data", "taken"),
    [
        ("plan.pdf", b"%PDF-1.7 x", "application/pdf"),
        ("C:\\folder\\Größe 1.PDF", b"%PDF-1.7", "application/pdf"),
        ("../../etc/list.csv", "a;б".encode(), "text/csv; charset=utf-8"),
        ("plan.pdf", b"MZ\x90", None),
        ("plan.exe", b"MZ\x90", None),
        ("plan.pdf.exe", b"%PDF-", None),
        ("page.html", b"<html>", None),
        ("list.csv", b"\xff\xfe\0", None),
        ("list.txt", b"a\0b", None),
        ("plan.pdf", b"", None),
        ("noending", b"%PDF-", None),
        ("large.txt", b"x" * (MAX_ATTACHMENT + 1), None),
    ],
)
def test_attachments_by_type(name: str, data: bytes, taken: str | None) -> None:
    if taken is None:
        with pytest.raises(ValidationFailedError):
            read_attachment(name, data)
        return
    safe, media_type = read_attachment(name, data)
    assert media_type == taken
    assert "/" not in safe
    assert "\\" not in safe


@given(st.text(max_size=300))
def test_names_are_safe(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= 240
    assert not set(safe) & set('/\\"\r\n\0<>:|?*')
    assert safe_name(safe) == safe


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_tokens_of_pictures(tenant_id: int, file_id: int, digest: bytes) -> None:
    path = picture_path(tenant_id, file_id, digest.hex())
    token = PictureToken.read(path.removeprefix("/i/"))
    assert token is not None
    assert (token.tenant_id, token.file_id) == (tenant_id, file_id)
    assert digest.hex().startswith(token.digest)


@given(st.text(max_size=50))
def test_no_token_is_none(text: str) -> None:
    assert PictureToken.read(text) is None or len(text) == 36
