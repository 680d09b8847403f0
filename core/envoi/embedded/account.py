"""Which user an embedded PostgreSQL runs as: it refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from envoi.embedded.child import SAME_USER, guarded
from envoi.errors import ConfigurationError

SERVICE_USERS = ("postgres", "nobody")


def server_identity(folder: Path, program: Path) -> str:
    """Find the identity that can run `program` on `folder`, and give it the folder.

    An ordinary user runs the server as itself. Root tries a user namespace first, because
    there the files go on belonging to root, then a service user; an existing folder of
    another user decides by itself. No folder but `folder` changes its owner or mode.

    Raises:
        ConfigurationError: If nothing works on this machine.
    """
    if os.geteuid() != 0:
        return SAME_USER
    before = folder.stat()
    for identity in _candidates(before.st_uid):
        if identity.startswith("become:"):
            _give(folder, *map(int, identity.split(":")[1:]))
        if _works(identity, folder, program):
            return identity
    _give(folder, before.st_uid, before.st_gid)
    raise ConfigurationError(
        "The embedded PostgreSQL does not run as root, and this machine allows neither a user "
        f"namespace nor a service user that can reach {folder} and {program}. Start Envoi as an "
        "ordinary user, or set ENVOI_DATABASE_URL to a PostgreSQL server of your own."
    )


def _candidates(owner: int) -> Iterator[str]:
    users = {user.pw_name: user for user in pwd.getpwall()}
    if owner == 0:
        if nobody := users.get("nobody"):
            yield f"map:{nobody.pw_uid}"
        for name in SERVICE_USERS:
            if user := users.get(name):
                yield f"become:{user.pw_uid}:{user.pw_gid}"
    for user in users.values():
        if user.pw_uid == owner != 0:
            yield f"become:{user.pw_uid}:{user.pw_gid}"


def _give(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_uid != uid and not path.is_symlink():
            shutil.chown(path, uid, gid)


def _works(identity: str, folder: Path, program: Path) -> bool:
    attempt = subprocess.run(
        guarded([str(program), "--version"], identity=identity),
        cwd=folder,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return attempt.returncode == 0
