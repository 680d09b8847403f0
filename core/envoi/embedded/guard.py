"""Become another program that dies with its parent; run as a script, imports nothing of ours.

    python -I -S guard.py SIGNAL PARENT IDENTITY COMMAND...

SIGNAL is what the program gets when the process PARENT ends, even by SIGKILL (Linux only).
IDENTITY is `same`, `map:UID` (a user namespace in which root appears as UID, but owns the
same files) or `become:UID:GID`.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Take on the identity, tie this process to its parent, and become the command."""
    signal, parent, identity, *command = arguments
    assume(identity)
    # Programs name files by path: the new user must be able to walk to them.
    os.chdir(Path.cwd())
    if sys.platform == "linux":
        # Last of the preparations: a change of credentials clears it.
        libc_call("prctl", PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("The parent process ended before the program was started.")
    os.execv(command[0], command)  # noqa: S606 - an argument list, no shell


def assume(identity: str) -> None:
    """Change the user this process runs as."""
    kind, *numbers = identity.split(":")
    if kind == "map":
        user, group = os.geteuid(), os.getegid()
        libc_call("unshare", CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{numbers[0]} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{numbers[0]} {group} 1")
    elif kind == "become":
        os.setgroups([])
        os.setgid(int(numbers[1]))
        os.setuid(int(numbers[0]))


def libc_call(name: str, *arguments: int) -> None:
    """Call a function of the C library that Python 3.11 does not offer."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1:])
