"""The public address of a picture: it names the content, so it never changes its meaning."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from struct import Struct

PATH = "/i/"
TOKEN = re.compile(r"[A-Za-z0-9_-]{36}", re.ASCII)

_HEAD = Struct(">IQ")
_DIGEST_BYTES = 15


@dataclass(frozen=True, slots=True)
class PictureToken:
    """Whose picture, which one, and the beginning of its digest, which nobody can guess.

    No key takes part: a message's pictures outlive every change of keys.
    """

    tenant_id: int
    file_id: int
    digest: str

    def __str__(self) -> str:
        raw = _HEAD.pack(self.tenant_id, self.file_id) + bytes.fromhex(self.digest)[:_DIGEST_BYTES]
        return urlsafe_b64encode(raw).decode("ascii")

    @classmethod
    def read(cls, text: str) -> PictureToken | None:
        """What a token says, or None for what is none; the digest is yet to be compared."""
        if not TOKEN.fullmatch(text):
            return None
        raw = urlsafe_b64decode(text)
        tenant_id, file_id = _HEAD.unpack(raw[: _HEAD.size])
        is_known = tenant_id < 2**31 and file_id < 2**63
        return cls(tenant_id, file_id, raw[_HEAD.size :].hex()) if is_known else None


def picture_path(tenant_id: int, file_id: int, digest: str) -> str:
    """The path of a picture's public address."""
    return f"{PATH}{PictureToken(tenant_id, file_id, digest)}"
