"""Set up `.venv` from a lock file: `python3 tools/install.py run|dev`.

Needs nothing but Python's standard library. Returns at once when the environment already
matches the lock, the project's metadata, its folder and the interpreter.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "installed"
PIP_SETTINGS = {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
# The development lock contains everything of the one to run with.
SUFFICIENT = {"run": {"run", "dev"}, "dev": {"dev"}}


def main(group: str) -> None:
    """Bring the environment up to date for running or for development."""
    current = fingerprint()
    if PYTHON.exists() and STAMP.exists():
        installed, _, installed_fingerprint = STAMP.read_text().partition(" ")
        if installed_fingerprint == current and installed in SUFFICIENT[group]:
            return
    say("Setting up .venv (about a minute, only when dependencies change)")
    create_environment()
    STAMP.unlink(missing_ok=True)
    # What builds comes first and from a lock, too: nothing else is fetched during a build.
    install("--require-hashes", "--only-binary=:all:", "-r", "requirements/build.lock")
    install("--require-hashes", "-r", f"requirements/{group}.lock")
    install("--no-deps", "--no-index", "--editable", ".")
    STAMP.write_text(f"{group} {current}")
    say("Setting up is complete")


def fingerprint() -> str:
    """Everything that an installed environment depends on, as one short text."""
    digest = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for path in (*sorted((ROOT / "requirements").glob("*.lock")), ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def create_environment() -> None:
    """Make the environment; an existing one of another interpreter or folder is replaced."""
    if PYTHON.exists() and run_quietly([str(PYTHON), "-m", "pip", "--version"]):
        return
    if not run_quietly([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]):
        sys.exit(
            f"{sys.executable} cannot make a virtual environment: its venv module is missing or "
            "incomplete. On Debian and Ubuntu install the package python3-venv, then try again."
        )


def install(*arguments: str) -> None:
    """Install into the environment with pip, which prints only what goes wrong."""
    options = ["--quiet", "--no-input", "--no-build-isolation", "--use-pep517"]
    result = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", *options, *arguments],
        cwd=ROOT,
        env={**os.environ, **PIP_SETTINGS},
        check=False,
    )
    if result.returncode != 0:
        sys.exit("The installation failed, see above. Nothing was started.")


def run_quietly(command: list[str]) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def say(line: str) -> None:
    """Tell the person who waits what is going on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
