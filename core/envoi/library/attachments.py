"""Which files may go with a message, and under which names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from envoi.library.pictures import refused

MAX_BYTES = 10 * 1024 * 1024
MAX_NAME = 120

_ZIP = b"PK\x03\x04"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
TYPES: dict[str, tuple[str, bytes]] = {
    ".pdf": ("application/pdf", b"%PDF-"),
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".gif": ("image/gif", b"GIF8"),
    ".docx": (f"{_OFFICE}.wordprocessingml.document", _ZIP),
    ".xlsx": (f"{_OFFICE}.spreadsheetml.sheet", _ZIP),
    ".pptx": (f"{_OFFICE}.presentationml.presentation", _ZIP),
    ".odt": (f"{_OPEN}.text", _ZIP),
    ".ods": (f"{_OPEN}.spreadsheet", _ZIP),
    ".txt": ("text/plain; charset=utf-8", b""),
    ".csv": ("text/csv; charset=utf-8", b""),
    ".ics": ("text/calendar; charset=utf-8", b"BEGIN:VCALENDAR"),
}
"""The types that mail servers let through, with how such a file begins; no type runs programs."""

_UNSAFE = re.compile(r"[^\w .()+,=@&-]+")


def read_attachment(name: str, data: bytes) -> tuple[str, str]:
    """Check an attachment and return its name and type as they are sent.

    Raises:
        ValidationFailedError: It is too large, or of no type that may be sent.
    """
    if len(data) > MAX_BYTES:
        raise refused("The file is larger than 10 MB. Put it on your site and link to it.")
    if not data:
        raise refused("The file is empty. Choose another one.")
    safe = safe_name(name)
    ending = PurePosixPath(safe).suffix.lower()
    if ending not in TYPES:
        raise refused(
            "Files of this type cannot be attached. PDF, office documents, pictures, text, CSV"
            " and calendar entries can."
        )
    media_type, beginning = TYPES[ending]
    if not data.startswith(beginning) or (media_type.startswith("text/") and not _is_text(data)):
        raise refused("The file is not what its name says. Save it anew in the right format.")
    return safe, media_type


def safe_name(name: str) -> str:
    """A file's name without folders and without what file systems and headers stumble over."""
    last = re.split(r"[/\\]", name)[-1]
    path = PurePosixPath(_UNSAFE.sub("_", last).strip(" .") or "file")
    return path.stem[: MAX_NAME - len(path.suffix)] + path.suffix[:MAX_NAME]


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
