"""Putting pictures and attachments into the library, changing and deleting them."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.library.attachments import MAX_BYTES, read_attachment, safe_name
from envoi.library.models import StoredFile
from envoi.library.pictures import Picture, read_picture
from envoi.library.queries import uses_of

IMAGE, ATTACHMENT, LOGO = "image", "attachment", "logo"
MAX_ALT = 500
MAX_FOLDER = 100


def store_picture(
    session: Session,
    tenant_id: int,
    *,
    name: str,
    data: bytes,
    folder: str = "",
    alt: str = "",
    kind: str = IMAGE,
    account_id: int | None = None,
) -> StoredFile:
    """Check a picture and keep it; the same one uploaded again is the one already there.

    Raises:
        ValidationFailedError: It is no picture, or not one to send; the message says why.
    """
    picture = read_picture(data)
    digest = sha256(picture.data).hexdigest()
    known = _with_digest(session, tenant_id, kind, digest)
    if known is not None:
        return known
    made = _picture_row(tenant_id, kind, name, picture, digest)
    made.folder, made.alt, made.created_by = _folder(folder), _alt(alt), account_id
    return _added(session, made)


def store_attachment(
    session: Session, tenant_id: int, *, name: str, data: bytes, account_id: int | None = None
) -> StoredFile:
    """Check an attachment and keep it; the same file of the same name is kept once.

    Raises:
        ValidationFailedError: It is too large, or of no type that may be sent.
    """
    safe, media_type = read_attachment(name, data)
    digest = sha256(f"{safe}\0".encode() + data).hexdigest()
    known = _with_digest(session, tenant_id, ATTACHMENT, digest)
    if known is not None:
        return known
    made = StoredFile(
        tenant_id=tenant_id,
        kind=ATTACHMENT,
        name=safe,
        media_type=media_type,
        size=len(data),
        digest=digest,
        data=data,
        created_by=account_id,
    )
    return _added(session, made)


def check_attachments(session: Session, tenant_id: int, file_ids: list[int]) -> None:
    """Raise `ValidationFailedError` for attachments that are too large together."""
    c = table(StoredFile).c
    query = select(c.size).where(c.tenant_id == tenant_id, c.id.in_(file_ids))
    if sum(session.scalars(query)) > MAX_BYTES:
        message = "The attachments are larger than 10 MB together. Remove one."
        raise ValidationFailedError([Problem("attachments", message)])


def get_file(session: Session, tenant_id: int, file_id: int) -> StoredFile:
    """Return a file with its bytes, or raise `NotFoundError`."""
    found = session.get(StoredFile, (tenant_id, file_id))
    if found is None:
        raise NotFoundError("There is no such file. It may have been deleted.")
    return found


def edit_file(
    session: Session, tenant_id: int, file_id: int, *, name: str, alt: str, folder: str
) -> StoredFile:
    """Change what people call a file; its content and address stay."""
    found = get_file(session, tenant_id, file_id)
    found.name = safe_name(name) if name.strip() else found.name
    found.alt, found.folder = _alt(alt), _folder(folder)
    return found


def delete_file(session: Session, tenant_id: int, file_id: int) -> None:
    """Delete a file that nothing uses.

    Raises:
        ConflictError: A mailing or a template uses it; sent messages would lose their picture.
    """
    found = get_file(session, tenant_id, file_id)
    uses = uses_of(session, tenant_id, [file_id])[file_id]
    if uses:
        names = ", ".join(use.name for use in uses[:3])
        raise ConflictError(
            f"The file is used by {names}. Take it out there first; what was sent needs it too."
        )
    session.delete(found)


def _picture_row(tenant_id: int, kind: str, name: str, picture: Picture, digest: str) -> StoredFile:
    return StoredFile(
        tenant_id=tenant_id,
        kind=kind,
        name=safe_name(name),
        media_type=picture.media_type,
        width=picture.width,
        height=picture.height,
        size=len(picture.data),
        digest=digest,
        data=picture.data,
    )


def _with_digest(session: Session, tenant_id: int, kind: str, digest: str) -> StoredFile | None:
    c = table(StoredFile).c
    query = select(StoredFile).where(c.tenant_id == tenant_id, c.kind == kind, c.digest == digest)
    return session.scalars(query).first()


def _added(session: Session, made: StoredFile) -> StoredFile:
    session.add(made)
    session.flush()
    return made


def _alt(alt: str) -> str:
    return " ".join(alt.split())[:MAX_ALT]


def _folder(folder: str) -> str:
    return " ".join(folder.split())[:MAX_FOLDER]
