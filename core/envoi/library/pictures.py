"""Checks uploaded pictures and makes them anew: smaller, without metadata, of one frame or few.

What a file says it is does not count. Its header is read first, and nothing is decoded before
the header has promised a sane size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from itertools import count

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from envoi.errors import Problem, ValidationFailedError

MAX_BYTES = 5 * 1024 * 1024
MAX_WIDTH = 1600
MAX_PIXELS = 24_000_000
MAX_FRAMES = 100
MAX_FRAME_PIXELS = 50_000_000
"""Of all frames of an animation together."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_SVG = (b"<svg", b"<?xml", b"<!doctype svg", b"\x1f\x8b")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Picture:
    """A picture as it is stored and sent."""

    data: bytes
    media_type: str
    width: int
    height: int


def read_picture(data: bytes) -> Picture:
    """Check a picture and make it anew.

    WebP becomes PNG or JPEG, which every mail program shows.

    Raises:
        ValidationFailedError: It is no picture, or not one to send; the message says why.
    """
    if len(data) > MAX_BYTES:
        raise refused("The picture is larger than 5 MB. Make it smaller.")
    image = _opened(data)
    try:
        frames = _frames(image)
        return _animation(image, frames) if frames > 1 else _still(image)
    except _BOMB:
        raise _too_large() from None
    except _BROKEN:
        raise refused("The picture is damaged or cut off. Save it anew and upload it.") from None


def refused(message: str) -> ValidationFailedError:
    """The error for a file that is not taken."""
    return ValidationFailedError([Problem("file", message)])


def _opened(data: bytes) -> ImageFile.ImageFile:
    kind = _kind(data)
    try:
        image = Image.open(BytesIO(data), formats=[kind])
    except _BOMB:
        raise _too_large() from None
    except (UnidentifiedImageError, *_BROKEN):
        raise refused("The picture is damaged. Save it anew and upload it.") from None
    if image.width * image.height > MAX_PIXELS:
        raise _too_large()
    return image


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_SVG):
        raise refused(
            "SVG can carry scripts, and mail programs do not show it. Save the picture as PNG."
        )
    raise refused("This is no PNG, JPEG, GIF or WebP, whatever its name says.")


def _too_large() -> ValidationFailedError:
    return refused("The picture has more than 24 megapixels. Make it smaller.")


def _frames(image: ImageFile.ImageFile) -> int:
    """Count the frames of an animated GIF; of other formats the first one is taken."""
    if image.format != "GIF":
        return 1
    for number in count(1):
        if number > MAX_FRAMES or number * image.width * image.height > MAX_FRAME_PIXELS:
            raise refused("The animation is too long. Make it shorter or smaller.")
        try:
            image.seek(number)
        except EOFError:
            break
    image.seek(0)
    return number


def _still(image: Image.Image) -> Picture:
    image.load()
    shown = _resized(ImageOps.exif_transpose(image))
    is_photo = image.format in ("JPEG", "WEBP") and not shown.has_transparency_data
    shown = shown.convert("RGB" if is_photo else _plain_mode(shown))
    # What else the file said of itself, where it was taken for one, stays behind.
    shown.info = {}
    out = BytesIO()
    if is_photo:
        shown.save(out, "JPEG", quality=85, optimize=True, progressive=True)
    else:
        shown.save(out, "PNG", optimize=True)
    return _made(out, "image/jpeg" if is_photo else "image/png", shown.size)


def _plain_mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"


def _animation(image: ImageFile.ImageFile, frames: int) -> Picture:
    shown, durations = [], []
    for number in range(frames):
        image.seek(number)
        frame = _resized(image.convert("RGBA"))
        frame.info = {}
        shown.append(frame)
        durations.append(int(image.info.get("duration", 100)))
    out = BytesIO()
    shown[0].save(
        out, "GIF", save_all=True, append_images=shown[1:], duration=durations, loop=0, disposal=2
    )
    return _made(out, "image/gif", shown[0].size)


def _resized(image: Image.Image) -> Image.Image:
    if image.width <= MAX_WIDTH:
        return image
    height = max(1, round(image.height * MAX_WIDTH / image.width))
    smooth = image if image.mode in ("RGB", "RGBA", "L") else image.convert(_plain_mode(image))
    return smooth.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)


def _made(out: BytesIO, media_type: str, size: tuple[int, int]) -> Picture:
    data = out.getvalue()
    if len(data) > MAX_BYTES:
        raise refused("The picture stays above 5 MB. Save it as JPEG or make it smaller.")
    return Picture(data, media_type, *size)
